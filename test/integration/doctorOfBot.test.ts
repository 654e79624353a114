/** `docket doctor` on a bot that runs: what is well is said to be well, and each fault that is planted has its finding. */
import assert from "node:assert/strict";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Sender } from "../../demo/sender/sender.ts";
import type { JsonObject } from "../../src/protocol/json.ts";
import { startConversation } from "../support/conversation.ts";
import { docket } from "../support/docketCommand.ts";
import { examine } from "../support/doctorReport.ts";
import { DEFAULT_YAML } from "../support/botProcess.ts";

const request = (from: Sender): JsonObject => ({
  "m.request.status": { from_device: from.deviceId, lifetime: 90_000 },
});

test("a bot that is well has a page on which nothing is wrong, and the command changes nothing and sends nothing", async (t) => {
  const { bot, server, alice, account, directory, room } = await startConversation(t, { deviceId: "docket1" });
  const roomId = await room({ encrypted: true });
  const eventId = await alice.send(roomId, "org.example.report", request(alice));
  await alice.waitForResponse(eventId);
  await bot.line(({ msg }) => msg === "ready", "it was ready");
  await bot.line(({ msg }) => /^capabilities are published/.test(msg), "the profile said so");
  const before = server.requests({ userId: account.userId }).at(-1)?.id ?? 0;

  const { code, report, checks, finding } = await examine(directory);
  assert.equal(code, 0);
  assert.deepEqual(
    [report.format, report.by, report.user, report.device, report.homeserver],
    [1, "bot", account.userId, "docket1", server.url],
  );
  assert.deepEqual(checks("wrong"), []);
  assert.deepEqual(checks("warning"), ["recovery_key"]);
  assert.deepEqual(checks("unknown"), ["send_limit"]);
  assert.deepEqual(checks("off"), []);
  assert.match(finding("power_levels").found, /in the room that it is in/);
  assert.match(finding("send_limit").found, /has not met a limit since its start/);
  assert.match(
    finding("send_limit").command ?? "",
    /curl -X POST .*ADMIN_TOKEN[^]*_synapse\/admin\/v1\/users\/@docket:localhost\/override_ratelimit/,
  );
  // Receipts, new one-time keys and backed-up room keys are the bot's own business, whoever looks at it meanwhile.
  const changing = server.requests({ userId: account.userId }, before).filter(({ method, path, body }) => {
    const isUpload = /\/keys\/upload$/.test(path) && Object.keys(body ?? {}).length > 0;
    return method !== "GET" && !/\/keys\/query$|\/receipt\/|\/room_keys\/keys/.test(path) && !isUpload;
  });
  assert.deepEqual(changing, []);

  const page = await docket("doctor", "--config", join(directory, "config.yaml"));
  assert.deepEqual([page.code, page.stderr], [0, ""]);
  assert.match(page.stdout, /^Nothing is wrong; 1 warning\.\n@docket:localhost, device docket1, on http/);
  for (const text of [page.stdout, JSON.stringify(report)]) assert(!text.includes(account.accessToken));
});

test("a rate limit that the bot has met is told, and whether it is exempt is asked with an administrator's token", async (t) => {
  const { bot, server, alice, account, directory, room } = await startConversation(t);
  const roomId = await room();
  server.fault({
    path: /\/rooms\/.*\/send\//,
    userId: account.userId,
    action: { kind: "rateLimited", retryAfterMs: 100 },
  });
  const eventId = await alice.send(roomId, "org.example.report", request(alice));
  await alice.waitForResponse(eventId);
  const met = (await examine(directory)).finding("send_limit");
  assert.equal(met.state, "warning");
  assert.match(met.found, /has refused 1 message of the bot for its rate limit/);

  const admin = server.createAccount("admin");
  const tokenFile = join(directory, "admin_token");
  writeFileSync(tokenFile, `${admin.accessToken}\n`);
  const answers = (status: number, body: JsonObject) =>
    server.fault({ path: /override_ratelimit$/, userId: admin.userId, action: { kind: "answer", status, body } });
  answers(200, { messages_per_second: 0, burst_count: 0 });
  const exempt = await examine(directory, { args: ["--admin-token-file", tokenFile] });
  assert.deepEqual([exempt.finding("send_limit").state, exempt.finding("send_limit").command], ["ok", null]);
  answers(200, {});
  const withEnv = { env: { DOCKET_ADMIN_TOKEN: admin.accessToken } };
  const not = (await examine(directory, withEnv)).finding("send_limit");
  assert.equal(not.state, "warning");
  assert.match(not.found, /^The bot is not exempt/);
  answers(200, { messages_per_second: 3, burst_count: 5 });
  assert.match(
    (await examine(directory, withEnv)).finding("send_limit").found,
    /limits the bot to 3 messages a second/,
  );
  answers(403, { errcode: "M_FORBIDDEN", error: "You are not a server admin" });
  const refused = (await examine(directory, withEnv)).finding("send_limit");
  assert.equal(refused.state, "warning");
  assert.match(refused.found, /has refused 1 message.*administrator's token did not help: .*403 M_FORBIDDEN/);
  assert(!JSON.stringify(refused).includes(admin.accessToken));
  assert.doesNotMatch(bot.lines.map((line) => JSON.stringify(line)).join(), new RegExp(admin.accessToken));
});

test("a room in which the bot may not answer is named, with what it needs there", async (t) => {
  const { alice, directory, room, account } = await startConversation(t);
  await room();
  const plain = await room();
  const encrypted = await room({ encrypted: true });
  const levels = (events: JsonObject): JsonObject => ({ users: { [alice.userId]: 100 }, events_default: 0, events });
  const set = async (roomId: string, events: JsonObject): Promise<void> => {
    await alice.http.call("PUT", `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/state/m.room.power_levels`, {
      body: levels(events),
    });
  };
  await set(plain, { "m.response.status": 50 });
  await set(encrypted, { "m.room.encrypted": 50 });
  const { code, finding } = await examine(directory);
  const { state, found, details } = finding("power_levels");
  assert.deepEqual([code, state], [1, "wrong"]);
  assert.match(found, /In 2 rooms of 3/);
  assert.deepEqual(
    new Map(details.map((detail) => [detail.about, detail.found])),
    new Map([
      [plain, "The bot's power level is 0; m.response.status needs 50."],
      [encrypted, "The bot's power level is 0; m.room.encrypted needs 50."],
    ]),
  );
  // In an encrypted room what is inside does not count, and elsewhere what only encrypted events need.
  await set(plain, { "m.room.encrypted": 50 });
  await set(encrypted, { "m.response.status": 50 });
  assert.equal((await examine(directory)).finding("power_levels").state, "ok");
  assert(account.userId !== alice.userId);
});

test("events that can't be decrypted, a gap and a dropped answer are counted, with room and reason", async (t) => {
  const { bot, server, alice, account, directory, room } = await startConversation(t);
  const encrypted = await room({ encrypted: true });
  server.holdToDevice(account.userId, account.deviceId);
  await alice.send(encrypted, "org.example.report", {});
  await bot.line(({ msg }) => /^parked/.test(msg), "it was parked");
  const plain = await room();
  const gone = server.fault({
    path: /\/rooms\/.*\/send\//,
    userId: account.userId,
    action: { kind: "answer", status: 413, body: { errcode: "M_TOO_LARGE", error: "no" } },
  });
  await alice.send(plain, "org.example.report", request(alice));
  await bot.line(({ msg }) => msg === "answer dropped", "it was dropped");
  assert.equal(gone.hits, 1);
  await server.pause();
  for (let n = 0; n < 120; n += 1)
    server.append(plain, { type: "m.room.message", sender: alice.userId, content: { n } });
  await server.resume();
  await bot.line(({ msg }) => /gap is recorded/.test(msg), "the gap was recorded");

  const { code, finding } = await examine(directory);
  assert.equal(code, 0, "these are warnings");
  const parked = finding("undecryptable");
  assert.equal(parked.state, "warning");
  assert.match(parked.found, /^1 event waits for its key, the oldest for \d+ s \(no_session 1\)/);
  const dropped = finding("dropped_answers");
  assert.equal(dropped.state, "warning");
  assert.match(dropped.found, /^1 answer was dropped since yesterday \(too_large 1\)/);
  assert.deepEqual(
    [finding("gaps").state, finding("gaps").details],
    ["warning", [{ about: plain, found: "1 open gap." }]],
  );
  server.releaseToDevice(account.userId, account.deviceId);
});

test("a clock that is off is told with its direction and its size, and one that is off by less than can be seen is not", async (t) => {
  const { server, directory } = await startConversation(t);
  const clock = async () => (await examine(directory)).finding("clock");
  assert.equal((await clock()).state, "ok");
  server.shiftDate(-5_500);
  const ahead = await clock();
  assert.equal(ahead.state, "warning");
  assert.match(ahead.found, /^This machine's clock is [45] s or more ahead/);
  server.shiftDate(60_000);
  const behind = await clock();
  assert.equal(behind.state, "wrong");
  assert.match(behind.found, /^This machine's clock is (59|60) s or more behind/);
});

test("files that others can read, and a configuration with mistakes, are told while the bot runs", async (t) => {
  const { directory } = await startConversation(t);
  const data = join(directory, "data");
  chmodSync(join(data, "docket.db"), 0o644);
  const shielded = (await examine(directory)).finding("files");
  assert.equal(shielded.state, "warning");
  assert.deepEqual(shielded.details, [{ about: join(data, "docket.db"), found: "mode 0644, expected 0600." }]);
  chmodSync(data, 0o755);
  const exposed = await examine(directory);
  assert.deepEqual([exposed.code, exposed.finding("files").details.length], [1, 2]);
  chmodSync(data, 0o700);
  chmodSync(join(data, "docket.db"), 0o600);

  const config = join(directory, "config.yaml");
  writeFileSync(config, `homeserver: nonsense\ndata:\n  directory: ./data\n${DEFAULT_YAML}`);
  const { code, report, finding } = await examine(directory);
  assert.deepEqual([code, report.by, report.findings[0]?.check], [1, "bot", "configuration"]);
  assert.equal(finding("configuration").state, "wrong");
  assert(finding("configuration").details.some(({ about }) => about === `${config}:1:13: homeserver`));
  assert.equal(finding("token").state, "ok", "the bot goes on with what it has read before");
});

test("a homeserver that hangs or is away is told in a bounded time, and what depends on it is not known", async (t) => {
  const { bot, server, directory } = await startConversation(t);
  await bot.line(({ msg }) => msg === "ready", "it was ready");
  const hang = server.fault({ path: /versions$|whoami$/, times: Infinity, action: { kind: "hang" } });
  const hanging = await examine(directory);
  assert.equal(hanging.code, 1);
  assert.match(hanging.finding("homeserver").found, /did not answer within 5000 ms/);
  for (const check of ["token", "clock", "device_keys", "power_levels"])
    assert.equal(hanging.finding(check).found, "Not known, because the homeserver does not answer.");
  assert(hanging.checks("ok").includes("undecryptable"));
  hang.remove();
  hang.release();
  await server.pause();
  const away = await examine(directory);
  assert.deepEqual([away.code, away.finding("homeserver").state], [1, "wrong"]);
  assert.match(away.finding("homeserver").found, /ECONNREFUSED/);
});

test("a bot that waits for its homeserver is examined all the same", async (t) => {
  const { bot, server, directory, restart } = await startConversation(t);
  assert.equal(await bot.stop(), 0);
  await server.pause();
  const waiting = restart();
  waiting.catch(() => undefined);
  const config = join(directory, "config.yaml");
  for (;;) {
    const { stdout } = await docket("health", "--config", config);
    if (/SERVER_UNREACHABLE/.test(stdout)) break;
  }
  const { report, finding } = await examine(directory);
  assert.equal(report.by, "bot");
  assert.deepEqual([finding("homeserver").state, finding("bot").state], ["wrong", "wrong"]);
  await server.resume();
  await waiting;
});
