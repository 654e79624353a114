/**
 * Bad luck and bad input that only the development homeserver can be made to give: nonsense, limits for one path, a token revoked, a
 * disk that is full. Nothing is lost, and it is said. What any homeserver can be asked for is in test/faults/.
 */
import assert from "node:assert/strict";
import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { JsonObject } from "../../src/protocol/json.ts";
import type { Sender } from "../../demo/sender/sender.ts";
import { startDevServer } from "../../devserver/server.ts";
import { ExitCode } from "../../src/errors.ts";
import { BotProcess, DEFAULT_YAML } from "../support/botProcess.ts";
import { startConversation } from "../support/conversation.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";

const request = (from: Sender, more: JsonObject = {}): JsonObject => ({
  "m.request.status": { from_device: from.deviceId, lifetime: 90_000, ...more },
});

/** Requests that send a room event, as the bot. */
const SENDS = /\/rooms\/.*\/send\//;

test("a limit for messages holds back every answer; one for key requests holds back its own room alone", async (t) => {
  const { server, alice, room, account } = await startConversation(t);
  const [encrypted, plain, other] = [await room({ encrypted: true }), await room(), await room()];
  // Longer than the client repeats by itself, and than anybody waits here.
  const shares = server.fault({
    path: /\/sendToDevice\//,
    userId: account.userId,
    times: 1,
    action: { kind: "rateLimited", retryAfterMs: 600_000 },
  });
  const slow = await alice.send(encrypted, "org.example.report", request(alice));
  await server.waitFor(() => shares.hits === 1, 60_000, "the refused key share");
  await alice.waitForResponse(await alice.send(plain, "org.example.report", request(alice)));
  assert.deepEqual(alice.responsesTo(slow), [], "the plain room did not wait");

  const first = server.requests({ path: SENDS, userId: account.userId }).length;
  server.fault({ path: SENDS, userId: account.userId, action: { kind: "rateLimited", retryAfterMs: 1_500 } });
  await alice.send(plain, "org.example.report", request(alice));
  const limited = await server.waitFor(
    () => server.requests({ path: SENDS, userId: account.userId })[first],
    60_000,
    "a limited answer",
  );
  await alice.waitForResponse(await alice.send(other, "org.example.report", request(alice)));
  const next = server.requests({ path: SENDS, userId: account.userId })[first + 1];
  assert(
    limited.endedAt && next && next.startedAt - limited.endedAt >= 1_450,
    "no answer of any room before the server's time",
  );
});

test("an answer into a room that the bot was removed from is dropped with a reason", async (t) => {
  const { server, alice, room, account, bot, restart } = await startConversation(t);
  const roomId = await room();
  // Both come with the same sync, the first one after the restart.
  await bot.stop();
  await alice.send(roomId, "org.example.report", request(alice));
  server.remove(roomId, alice.userId, account.userId);
  const again = await restart();
  const line = await again.line((candidate) => /^answer (sent|dropped)$/.test(candidate.msg), "the answer's end");
  assert.deepEqual([line.msg, line["reason"]], ["answer dropped", "not_in_room"]);
});

test("a homeserver that is down at start is waited for, and the bot says so", async (t) => {
  const server = await startDevServer();
  t.after(() => server.stop());
  const account = server.createAccount("docket");
  await server.pause();
  const bot = new BotProcess({ homeserver: server.url, ...account, directory: temporaryDirectory(t) });
  t.after(() => bot.kill());
  const line = await bot.line((candidate) => /does not answer yet/.test(candidate.msg), "it said so");
  assert.equal(line["code"], "SERVER_UNREACHABLE");
  await server.resume();
  await bot.running();
  assert.equal(await bot.stop(), ExitCode.ok);
});

test("a bot that waits for its homeserver stops at once when it is told to", async (t) => {
  const server = await startDevServer();
  t.after(() => server.stop());
  const account = server.createAccount("docket");
  await server.pause();
  const bot = new BotProcess({ homeserver: server.url, ...account, directory: temporaryDirectory(t) });
  t.after(() => bot.kill());
  await bot.line((candidate) => /does not answer yet/.test(candidate.msg), "it waits");
  assert.equal(await bot.stop(), ExitCode.ok);
});

test("a token that is refused at the start ends the process with 77 and says what to do", async (t) => {
  const server = await startDevServer();
  t.after(() => server.stop());
  const account = server.createAccount("docket");
  const bot = new BotProcess({
    homeserver: server.url,
    userId: account.userId,
    accessToken: "wrong",
    directory: temporaryDirectory(t),
  });
  t.after(() => bot.kill());
  assert.equal((await bot.ended()).code, ExitCode.tokenRefused);
  assert.match(bot.stderr, /token/i);
  assert(!bot.stderr.includes("wrong"));
});

test("a token that is revoked while the bot runs ends the process with 77", async (t) => {
  const { server, account, bot } = await startConversation(t);
  server.revokeToken(account.accessToken);
  server.cutConnections();
  assert.equal((await bot.ended()).code, ExitCode.tokenRefused);
});

test("a token of another account is a configuration error that names both", async (t) => {
  const server = await startDevServer();
  t.after(() => server.stop());
  const { accessToken } = server.createAccount("somebody");
  const bot = new BotProcess({
    homeserver: server.url,
    userId: "@docket:localhost",
    accessToken,
    directory: temporaryDirectory(t),
  });
  t.after(() => bot.kill());
  assert.equal((await bot.ended()).code, ExitCode.configuration);
  assert.match(bot.stderr, /@somebody:localhost.*@docket:localhost/s);
});

test("a data directory of another device is refused with 73, and one in use too", async (t) => {
  const { server, account, bot, directory } = await startConversation(t);
  const second = new BotProcess({ homeserver: server.url, ...account, directory });
  t.after(() => second.kill());
  assert.equal((await second.ended()).code, ExitCode.dataDirectory);
  assert.match(second.stderr, /in use by another Docket process/);
  await bot.stop();
  const other = server.signIn(account.userId, "OTHERDEVICE");
  const third = new BotProcess({ homeserver: server.url, ...other, directory });
  t.after(() => third.kill());
  assert.equal((await third.ended()).code, ExitCode.dataDirectory);
  assert.match(third.stderr, /DOCKETBOT.*OTHERDEVICE/s);
});

test(
  "an empty data directory for a device that has keys already is refused with 73, and the old one goes on",
  { timeout: 120_000 },
  async (t) => {
    const { server, account, bot, directory, restart } = await startConversation(t);
    await bot.stop();
    const elsewhere = new BotProcess({ homeserver: server.url, ...account, directory: temporaryDirectory(t) });
    t.after(() => elsewhere.kill());
    assert.equal((await elsewhere.ended()).code, ExitCode.dataDirectory);
    assert.match(elsewhere.stderr, /DOCKETBOT has keys on the homeserver .* sign in again/s);
    await restart({ directory });
  },
);

test(
  "a database that is deleted while the bot runs ends it with 74: it does not go on saying success",
  { timeout: 120_000 },
  async (t) => {
    const { directory, bot } = await startConversation(t);
    rmSync(join(directory, "data", "docket.db"));
    assert.equal((await bot.ended()).code, ExitCode.storage);
    assert.match(bot.stderr, /docket\.db was deleted or replaced/);
  },
);

test("a join that hangs does not hold up another invitation", async (t) => {
  const { server, alice, account } = await startConversation(t);
  const [stuck, free] = [await alice.createRoom({}), await alice.createRoom({})];
  const joins = server.fault({ path: new RegExp(`/join/${stuck}`), times: Infinity, action: { kind: "hang" } });
  await alice.invite(stuck, account.userId);
  await server.waitFor(() => joins.hits > 0, 60_000, "the hanging join");
  await alice.invite(free, account.userId);
  await alice.waitForJoin(free, account.userId);
  const attempts = server.requests({ path: new RegExp(`/join/${encodeURIComponent(stuck)}`) });
  assert.deepEqual(
    attempts.map(({ outcome }) => outcome),
    ["open"],
  );
  assert.equal(server.membership(stuck, account.userId), "invite");
});

test("a bot whose output nobody reads still ends when it is told to", async (t) => {
  const { server, alice, room, bot } = await startConversation(t, { bot: { yaml: `${DEFAULT_YAML}log: debug\n` } });
  const roomId = await room();
  bot.child.stdout?.pause();
  for (let count = 0; count < 400; count += 1)
    server.append(roomId, { type: "org.example.noise", sender: alice.userId, content: {} });
  await alice.send(roomId, "org.example.report", request(alice));
  const ended = new Promise((resolve) => bot.child.once("exit", resolve));
  bot.child.kill("SIGTERM");
  assert.equal(await ended, ExitCode.ok);
});

for (const [what, text] of [
  ["truncated", '{"next_batch": "s1", "rooms": {"jo'],
  ["no object", "[]"],
  ["without a token", '{"rooms": {}}'],
  ["mistyped", '{"next_batch": "s999999", "rooms": {"join": []}}'],
] as const) {
  test(`a sync response that is ${what} is said, asked for again, and loses nothing`, async (t) => {
    const { server, alice, room, account, bot } = await startConversation(t);
    const roomId = await room();
    server.answerNextSync(account.userId, text);
    const eventId = await alice.send(roomId, "org.example.report", request(alice));
    await alice.waitForResponse(eventId);
    await bot.line((line) => line.msg === "the sync failed; trying again", "it said so");
  });
}

test("events with missing, mistyped or oversized fields are set aside, and their neighbours are answered", async (t) => {
  const { server, alice, room, bot } = await startConversation(t);
  const roomId = await room();
  for (const event of [
    7,
    {},
    { type: "org.example.report", content: {} },
    { event_id: "$odd1", type: 7, sender: "@a:b", origin_server_ts: 0, content: {} },
    { event_id: "$odd2", type: "x", sender: "@a:b", origin_server_ts: "now", content: {} },
    { event_id: `$${"x".repeat(10_000)}`, type: "x", sender: "@a:b", origin_server_ts: 0, content: {} },
    {
      event_id: "$odd3",
      type: "m.room.encrypted",
      sender: "@a:b",
      origin_server_ts: 0,
      content: { algorithm: 7, ciphertext: {} },
    },
    { event_id: "$odd4", type: "m.room.encrypted", sender: "", origin_server_ts: 0, content: {} },
  ]) {
    server.inject(roomId, event);
  }
  const eventId = await alice.send(roomId, "org.example.report", request(alice));
  await alice.waitForResponse(eventId);
  assert.equal(bot.lines.filter((line) => /set aside/.test(line.msg)).length, 7);
});

test("a limited timeline is recorded as a gap, and said", async (t) => {
  const { server, alice, room, bot, account, restart } = await startConversation(t);
  const roomId = await room();
  await bot.stop();
  for (let count = 0; count < 120; count += 1)
    server.append(roomId, { type: "org.example.noise", sender: alice.userId, content: {} });
  const again = await restart();
  const line = await again.line((candidate) => /gap is recorded/.test(candidate.msg), "the gap was said");
  assert.equal(line["roomId"], roomId);
  assert.equal(server.membership(roomId, account.userId), "join");
});

test("SIGTERM ends the long poll at once", async (t) => {
  const { server, account, bot } = await startConversation(t);
  const poll = await server.waitFor(
    () =>
      server
        .requests({ path: /\/sync$/, userId: account.userId })
        .find((sync) => sync.endedAt === null && sync.query["timeout"]?.[0] !== "0"),
    60_000,
    "a long poll",
  );
  assert.equal(await bot.stop(), ExitCode.ok);
  await server.waitFor(() => poll.endedAt !== null, 60_000, "the end of the poll");
  assert.notEqual(poll.status, 200);
});

test("a disk with less room than the operator asks for ends the bot with 74 and a reason", async (t) => {
  const server = await startDevServer();
  t.after(() => server.stop());
  const account = server.createAccount("docket");
  const bot = new BotProcess({
    homeserver: server.url,
    ...account,
    directory: temporaryDirectory(t),
    yaml: `${DEFAULT_YAML}limits:\n  free_disk: 1000000GiB\n`,
  });
  t.after(() => bot.kill());
  assert.equal((await bot.ended()).code, ExitCode.storage);
  assert.match(bot.stderr, /limits\.free_disk/);
});

for (const dataDirectory of ["/sys/docket-data", "/proc/docket-data/deeper"]) {
  test(`a data directory that can't be made (${dataDirectory}) ends the bot with 74 and a reason`, async (t) => {
    const server = await startDevServer();
    t.after(() => server.stop());
    const account = server.createAccount("docket");
    const bot = new BotProcess({
      homeserver: server.url,
      ...account,
      directory: temporaryDirectory(t),
      // In these file systems even the superuser can make no directory.
      dataDirectory,
    });
    t.after(() => bot.kill());
    assert.equal((await bot.ended()).code, ExitCode.storage);
    assert(bot.stderr.includes(dataDirectory));
  });
}

test("a disk that is full ends the bot with 74 and a reason, and nothing is lost: with room again it takes up everything", async (t) => {
  const { alice, room, bot, restart } = await startConversation(t, { bot: { fileSizeLimitKiB: 1_200 } });
  const roomId = await room();
  const sent: string[] = [];
  // One by one: each is on the server before the next, whether the bot still runs or not.
  for (let count = 0; count < 40; count += 1) {
    sent.push(
      await alice.send(roomId, "org.example.report", {
        ...request(alice, { lifetime: 600_000 }),
        padding: "x".repeat(40_000),
      }),
    );
  }
  assert.equal((await bot.ended()).code, ExitCode.storage);
  assert.match(bot.stderr, /database in .* failed/);
  await restart({ fileSizeLimitKiB: undefined });
  for (const eventId of sent) await alice.waitForResponse(eventId);
  assert.deepEqual(
    sent.map((eventId) => alice.responsesTo(eventId).length),
    sent.map(() => 1),
  );
});

test("the files of a running bot are readable by their owner only", async (t) => {
  const { directory } = await startConversation(t);
  const names = readdirSync(join(directory, "data"));
  assert(names.includes("docket.db"));
  for (const name of names) {
    assert.equal(statSync(join(directory, "data", name)).mode & 0o077, 0, name);
  }
});
