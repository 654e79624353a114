/** Health, metrics and control of a bot that runs: what its operator, a probe and a scraper get to see. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdirSync, statSync } from "node:fs";
import { connect, createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import type { Sender } from "../../demo/sender/sender.ts";
import { startDevServer } from "../../devserver/server.ts";
import { ExitCode } from "../../src/errors.ts";
import type { HealthReport } from "../../src/ops/readiness.ts";
import type { JsonObject } from "../../src/protocol/json.ts";
import { BotProcess, DEFAULT_YAML, type LogLine } from "../support/botProcess.ts";
import { startConversation } from "../support/conversation.ts";
import { docket } from "../support/docketCommand.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";

const SENDS = /\/rooms\/.*\/send\//;

const request = (from: Sender): JsonObject => ({
  "m.request.status": { from_device: from.deviceId, lifetime: 90_000 },
});

async function readyz(bot: BotProcess): Promise<{ status: number; report: HealthReport }> {
  const response = await fetch(`${await bot.operationsUrl()}/readyz`);
  return { status: response.status, report: (await response.json()) as HealthReport };
}

/** The next change after `before`, or the first one. */
function change(bot: BotProcess, to: "ready" | "not ready any more", before?: LogLine): Promise<LogLine> {
  const from = before === undefined ? 0 : bot.lines.indexOf(before) + 1;
  return bot.line((line) => line.msg === to && bot.lines.indexOf(line) >= from, to);
}

test("a bot is ready after its start, not while its homeserver is away, and again afterwards; each change is logged once", async (t) => {
  const { bot, server } = await startConversation(t);
  const first = await change(bot, "ready");
  const well = await readyz(bot);
  assert.deepEqual([well.status, well.report.ready, well.report.problem], [200, true, null]);
  assert(Object.values(well.report.checks).every(({ ok, problem }) => ok && problem === null));
  await server.pause();
  const away = await change(bot, "not ready any more", first);
  const ill = await readyz(bot);
  assert.deepEqual([ill.status, ill.report.ready, ill.report.checks.syncing.ok], [503, false, false]);
  assert.match(ill.report.checks.syncing.problem ?? "", /SERVER_UNREACHABLE.*look at the homeserver/);
  assert.equal(ill.report.checks.writing.ok, true);
  await server.resume();
  await change(bot, "ready", away);
  assert.equal((await readyz(bot)).status, 200);
  const changes = bot.lines.filter(({ msg }) => /^(not )?ready/.test(msg)).map(({ msg }) => msg);
  assert.deepEqual(changes, ["ready", "not ready any more", "ready"]);
});

test("health answers while the homeserver is still away, and readiness says so", async (t) => {
  const server = await startDevServer();
  t.after(() => server.stop());
  const account = server.createAccount("docket");
  await server.pause();
  const bot = new BotProcess({ homeserver: server.url, ...account, directory: temporaryDirectory(t) });
  t.after(() => bot.kill());
  await bot.line((line) => /does not answer yet/.test(line.msg), "it said so");
  assert.equal((await fetch(`${await bot.operationsUrl()}/healthz`)).status, 200);
  const { status, report } = await readyz(bot);
  assert.deepEqual([status, report.phase], [503, "starting"]);
  assert.match(report.checks.syncing.problem ?? "", /SERVER_UNREACHABLE/);
  assert.match(report.checks.decrypting.problem ?? "", /does not run yet/);
  assert.match(await (await fetch(`${await bot.operationsUrl()}/metrics`)).text(), /^docket_ready 0$/m);
  assert.equal(await bot.stop(), 0);
});

test("a bot whose answers do not go out is not ready, and is again when they do", async (t) => {
  const { bot, server, account, alice, room } = await startConversation(t);
  const roomId = await room();
  await change(bot, "ready");
  const fault = server.fault({
    path: SENDS,
    userId: account.userId,
    times: Infinity,
    action: { kind: "answer", status: 502, body: {} },
  });
  const eventId = await alice.send(roomId, "org.example.report", request(alice));
  const not = await change(bot, "not ready any more");
  assert.match(String(not["reasons"]), /attempts to send failed/);
  const { status, report } = await readyz(bot);
  assert.deepEqual([status, report.checks.sending.ok, report.checks.syncing.ok], [503, false, true]);
  fault.remove();
  await alice.waitForResponse(eventId);
  await change(bot, "ready", not);
});

test("a bot that can decrypt nothing that it is sent is not ready, until the keys come", async (t) => {
  const { bot, server, account, alice, room } = await startConversation(t);
  const roomId = await room({ encrypted: true });
  // Else a bot that was not ready yet would not say that it is not ready any more.
  await change(bot, "ready");
  server.holdToDevice(account.userId, account.deviceId);
  for (let count = 0; count < 10; count += 1) await alice.send(roomId, "org.example.report", {});
  const not = await change(bot, "not ready any more");
  assert.match(String(not["reasons"]), /last 10 encrypted events .*no_session/);
  server.releaseToDevice(account.userId, account.deviceId);
  await change(bot, "ready", not);
});

test("what was said in a room before the bot came does not make it look as if it could decrypt nothing", async (t) => {
  const conversation = await startConversation(t);
  const { alice, account, bot } = conversation;
  const roomId = await alice.createRoom({ encrypted: true, historyVisibility: "shared" });
  let last = "";
  for (let n = 0; n < 12; n += 1) last = await alice.send(roomId, "m.room.message", { body: "before", n });
  await alice.invite(roomId, account.userId);
  await bot.line(({ msg, eventId }) => /^parked/.test(msg) && eventId === last, "the last one waits for its key");
  const response = await fetch(`${await bot.operationsUrl()}/readyz`);
  assert.equal(response.status, 200, await response.text());
});

test("on an address that others may reach the token is asked for, and in no log", async (t) => {
  const token = "ops-token-that-nobody-guesses";
  const yaml = `${DEFAULT_YAML}operations:\n  listen: "0.0.0.0:0"\n  token: ${"${env:OPS_TOKEN}"}\n`;
  const { bot } = await startConversation(t, { bot: { yaml, env: { OPS_TOKEN: token } } });
  const url = await bot.operationsUrl();
  for (const path of ["/healthz", "/readyz", "/metrics"]) {
    const refused = await fetch(url + path, { headers: { Authorization: "Bearer ops-token-that-nobody-guesse" } });
    assert.equal(refused.status, 401);
    assert.equal((await fetch(url + path)).status, 401);
  }
  assert.equal((await fetch(`${url}/healthz`, { headers: { Authorization: `Bearer ${token}` } })).status, 200);
  assert.doesNotMatch(JSON.stringify(bot.lines) + bot.stderr, /nobody-guesses/);
});

test("an address that is taken ends the start with exit code 78, and says which key to change", async (t) => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  t.after(() => taken.close());
  const { port } = taken.address() as AddressInfo;
  const server = await startDevServer();
  t.after(() => server.stop());
  const bot = new BotProcess({
    homeserver: server.url,
    ...server.createAccount("docket"),
    directory: temporaryDirectory(t),
    yaml: `operations: { listen: "127.0.0.1:${port}" }\n`,
  });
  t.after(() => bot.kill());
  assert.equal((await bot.ended()).code, ExitCode.configuration);
  assert.deepEqual(
    bot.lines.filter(({ level }) => level === "error"),
    [],
    "it is said once",
  );
  assert.match(bot.stderr, new RegExp(`operations\\.listen: .*127\\.0\\.0\\.1 port ${port}.*another program`));
});

test("metrics are what Prometheus reads, count what happened, and name nobody", async (t) => {
  const { bot, alice, room, account, directory } = await startConversation(t);
  const roomId = await room({ encrypted: true });
  const eventId = await alice.send(roomId, "org.example.report", request(alice));
  await alice.waitForResponse(eventId);
  await bot.line((line) => line.msg === "answer sent", "the answer was sent");
  const response = await fetch(`${await bot.operationsUrl()}/metrics`);
  assert.match(response.headers.get("Content-Type") ?? "", /^text\/plain; version=0\.0\.4/);
  const text = await response.text();
  const sample = /^[a-zA-Z_:][\w:]*(\{(\w+="[^"\\]*",?)+\})? (\+Inf|[Nn]a[Nn]|-?\d+(\.\d+)?(e[+-]?\d+)?)$/;
  const lines = text.split("\n").filter((line) => line !== "");
  assert.deepEqual(
    lines.filter((line) => !/^# (HELP|TYPE) \w+ .+$/.test(line) && !sample.test(line)),
    [],
  );
  for (const expected of [
    'docket_decisions_total{decision="answered",reason="success"} 1',
    'docket_sends_total{lane="response",outcome="sent"} 1',
    "docket_answer_duration_seconds_count 1",
    'docket_homeserver_requests_total{method="PUT",endpoint="rooms/send",status="2xx"} ',
    'docket_homeserver_requests_total{method="GET",endpoint="sync",status="2xx"} ',
    'docket_crypto_call_duration_seconds_count{call="encryptRoomEvent"} ',
    "docket_joined_rooms 1",
    "docket_crypto_room_keys ",
    'docket_inbox_events{state="parked"} 0',
    "docket_ready 1",
    "process_cpu_seconds_total ",
  ])
    assert(
      lines.some((line) => line.startsWith(expected)),
      expected,
    );
  assert.doesNotMatch(text, /endpoint="sync",?[^}]*\} .*duration|duration_seconds\w*\{[^}]*endpoint="sync"/);
  for (const secret of [
    roomId,
    eventId,
    alice.userId,
    account.userId,
    account.accessToken,
    account.deviceId,
    directory,
  ])
    assert(!text.includes(secret));
  assert.doesNotMatch(text, /[!$@][\w-]{4,}/);
});

test("a client that hangs while it scrapes does not hold up the stop", async (t) => {
  const { bot } = await startConversation(t);
  const { port } = new URL(await bot.operationsUrl());
  const clients = [
    "",
    "GET /metrics HTTP/1.1\r\n",
    "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
  ].map(async (sent) => {
    const socket = connect(Number(port), "127.0.0.1");
    t.after(() => socket.destroy());
    let received = "";
    socket.setEncoding("utf8").on("data", (data: string) => (received += data));
    socket.on("error", () => undefined);
    await once(socket, "connect");
    socket.write(sent);
    return { closed: new Promise<void>((resolve) => socket.on("close", () => resolve())), received: () => received };
  });
  const hanging = await Promise.all(clients);
  assert.equal(await bot.stop(), 0);
  for (const { closed, received } of hanging) {
    await closed;
    assert.doesNotMatch(received(), / 408 /, "the stop waited until the client's time was over");
  }
});

test("docket health tells the state of the running bot in words and as JSON, and when none runs", async (t) => {
  const { bot, server, directory, restart } = await startConversation(t);
  const config = ["--config", join(directory, "config.yaml")];
  const socket = join(directory, "data", "docket.sock");
  const ready = await change(bot, "ready");
  assert.equal(statSync(socket).mode & 0o777, 0o600);
  const well = await docket("health", ...config);
  assert.deepEqual([well.code, well.stderr], [0, ""]);
  assert.match(
    well.stdout,
    /^ready since .*\n {2}syncing +ok .*\n {2}decrypting +ok .*\n {2}writing +ok .*\n {2}sending +ok /,
  );
  assert.match(well.stdout, /^ {2}note: capabilities are not advertised/m);
  const json = await docket("health", "--json", ...config);
  assert.deepEqual([json.code, (JSON.parse(json.stdout) as HealthReport).ready], [0, true]);

  await server.pause();
  await change(bot, "not ready any more", ready);
  const ill = await docket("health", ...config);
  assert.equal(ill.code, 1);
  assert.match(ill.stdout, /^NOT READY since .*\n {2}syncing +not since .*SERVER_UNREACHABLE/);
  await server.resume();

  await bot.kill();
  assert(existsSync(socket), "what was killed removes nothing");
  const none = await docket("health", ...config);
  assert.equal(none.code, 2);
  assert.match(none.stderr, /no bot runs on .*docket start --config/);
  const again = await restart();
  await change(again, "ready");
  assert.equal((await docket("health", ...config)).code, 0);
  assert.equal(await again.stop(), 0);
  assert(!existsSync(socket));
  assert.equal((await docket("health", ...config)).code, 2);
});

test("a data directory whose path is longer than a socket's may be has its control socket all the same", async (t) => {
  const dataDirectory = join(temporaryDirectory(t), ...Array.from({ length: 4 }, () => "d".repeat(50)));
  mkdirSync(dataDirectory, { recursive: true });
  const { bot, directory } = await startConversation(t, { bot: { dataDirectory } });
  await change(bot, "ready");
  assert.equal((await docket("health", "--config", join(directory, "config.yaml"))).code, 0);
  assert.deepEqual(
    bot.lines.filter(({ msg }) => /control socket/.test(msg)),
    [],
  );
});
