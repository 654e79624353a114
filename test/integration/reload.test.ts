/** The configuration of a bot that runs: read anew by a signal or a command, as a whole or not at all. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { Sender } from "../../demo/sender/sender.ts";
import type { JsonObject } from "../../src/protocol/json.ts";
import { DEFAULT_YAML, writeConfig } from "../support/botProcess.ts";
import { startConversation } from "../support/conversation.ts";
import { docket } from "../support/docketCommand.ts";

const SENDS = /\/rooms\/.*\/send\//;
const WITH_ALARM = DEFAULT_YAML.replace("[org.example.report]", "[org.example.alarm]");

const request = (from: Sender): JsonObject => ({
  "m.request.status": { from_device: from.deviceId, lifetime: 90_000 },
});

async function start(t: TestContext) {
  const conversation = await startConversation(t);
  const { directory, server, account, alice } = conversation;
  const config = join(directory, "config.yaml");
  const roomId = await conversation.room();
  return {
    ...conversation,
    conversation,
    config,
    roomId,
    /** Writes the configuration anew, with these keys at its end. */
    rewrite: (yaml: string): string => writeConfig({ homeserver: server.url, ...account, directory, yaml }),
    reload: () => docket("reload", "--config", config),
    /** @returns `success`, or the code of the error */
    ask: async (type: string): Promise<string | null> => {
      const response = await alice.waitForResponse(await alice.send(roomId, type, request(alice)));
      return response.status === "success" ? "success" : response.code;
    },
  };
}

test("after SIGHUP a new handler works, and one that was taken out does not", async (t) => {
  const { bot, ask, rewrite } = await start(t);
  assert.deepEqual([await ask("org.example.report"), await ask("org.example.alarm")], ["success", "unknown_type"]);
  rewrite(WITH_ALARM);
  bot.child.kill("SIGHUP");
  const line = await bot.line(({ msg }) => msg === "the configuration was reloaded", "the reload");
  assert.deepEqual(line["changed"], ["handlers"]);
  assert.deepEqual([await ask("org.example.report"), await ask("org.example.alarm")], ["unknown_type", "success"]);
});

test("a request that is in work when docket reload takes its handler away is answered as it began", async (t) => {
  const { server, account, alice, ask, rewrite, reload, roomId } = await start(t);
  const held = server.fault({ path: SENDS, userId: account.userId, action: { kind: "hang" } });
  const eventId = await alice.send(roomId, "org.example.report", request(alice));
  await server.waitFor(() => held.hits === 1, 10_000, "the answer under way");
  rewrite(WITH_ALARM);
  const { code, stdout, stderr } = await reload();
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /^Reloaded; .*Changed: handlers\.\n$/);
  assert.equal(await ask("org.example.alarm"), "success");
  held.release();
  const response = await alice.waitForResponse(eventId);
  assert.equal(response.status, "success");
});

test("a broken file is refused with every problem, by command and by signal, and the old rules stay", async (t) => {
  const { bot, config, ask, rewrite, reload } = await start(t);
  rewrite(`${WITH_ALARM}log: loud\nlimits: { inbox: many }\n`);
  const { code, stdout, stderr } = await reload();
  assert.deepEqual([code, stdout], [78, ""]);
  assert.match(stderr, /config\.yaml:\d+:\d+: log: .*\n(.*\n)*.*config\.yaml:\d+:\d+: limits\.inbox: /);
  bot.child.kill("SIGHUP");
  const refused = () => bot.lines.filter(({ msg }) => msg === "the configuration was not reloaded");
  await bot.line(() => refused().length === 4, "both were logged twice");
  for (const line of refused()) assert.equal(line["level"], "error");
  assert.match(String(refused()[3]?.["problem"]), new RegExp(`^${config}:\\d+:\\d+: limits\\.inbox: `));
  assert.equal(await ask("org.example.report"), "success");
  const health = await docket("health", "--config", config);
  assert.match(health.stdout, /note: The configuration file has mistakes/);
  writeFileSync(config, "a: [\n");
  assert.equal((await reload()).code, 78);
  assert.equal(await ask("org.example.report"), "success");
});

test("a handler that can't be prepared any more is refused, and the one that runs stays", async (t) => {
  const { directory, alice, roomId, rewrite, reload } = await start(t);
  const schema = join(directory, "schema.json");
  const yaml = DEFAULT_YAML.replace("[archive]", `[{ validate: ${schema} }]`);
  const status = async (content: JsonObject): Promise<string> => {
    const eventId = await alice.send(roomId, "org.example.report", { ...request(alice), ...content });
    return (await alice.waitForResponse(eventId)).status;
  };
  writeFileSync(schema, JSON.stringify({ required: ["place"] }));
  rewrite(yaml);
  assert.equal((await reload()).code, 0);
  assert.deepEqual([await status({}), await status({ place: "here" })], ["error", "success"]);
  writeFileSync(schema, "{");
  const { code, stderr } = await reload();
  assert.equal(code, 78);
  assert.match(stderr, /handlers\[0\]\.steps\[0\]\.validate: /);
  assert.deepEqual([await status({}), await status({ place: "here" })], ["error", "success"]);
  writeFileSync(schema, JSON.stringify({ required: ["time"] }));
  assert.equal((await reload()).code, 0, "a schema is read anew though the configuration is the same");
  assert.deepEqual([await status({ place: "here" }), await status({ time: "now" })], ["error", "success"]);
});

test("the log level changes while the bot runs", async (t) => {
  const { bot, rewrite, reload, ask } = await start(t);
  const said = (): number => bot.lines.filter(({ level }) => level === "debug").length;
  assert.equal(said(), 0);
  rewrite(`${DEFAULT_YAML}log: debug\n`);
  assert.match((await reload()).stdout, /Changed: log\./);
  await ask("org.example.report");
  await bot.line(({ level }) => level === "debug", "a debug line");
});

test("what needs a restart is named by its path, in the answer, the log and the health report, and no secret with it", async (t) => {
  const { bot, config, account, directory, rewrite, reload, ask } = await start(t);
  rewrite(`${DEFAULT_YAML.replace('"@*:localhost"', "")}limits: { inbox: 77 }\n`);
  writeFileSync(join(directory, "token"), "another-token-that-is-secret");
  const { code, stdout, stderr } = await reload();
  assert.equal(code, 0, stderr);
  assert.match(stdout, /Changed: invites\.accept\.\n.*next start on: account\.token, limits\.inbox\.\n$/);
  const line = await bot.line(({ msg }) => /next start/.test(msg), "the log named it");
  assert.deepEqual(line["changed"], ["account.token", "limits.inbox"]);
  const health = await docket("health", "--config", config);
  assert.match(health.stdout, /note: .*next start on: account\.token, limits\.inbox/);
  assert.equal(await ask("org.example.report"), "success", "the token of the start is still used");
  const everything = JSON.stringify(bot.lines) + stdout + health.stdout;
  assert(!everything.includes("another-token") && !everything.includes(account.accessToken));
});

test("docket reload says when no bot runs, and what to do", async (t) => {
  const { bot, config, reload } = await start(t);
  await bot.stop();
  const { code, stderr } = await reload();
  assert.equal(code, 2);
  assert.match(stderr, new RegExp(`no bot runs on .*docket start --config ${config}`));
});

test("a signal that comes while the bot still waits for its homeserver ends nothing, and counts", async (t) => {
  const { conversation, rewrite, server, ask } = await start(t);
  await conversation.bot.stop();
  await server.pause();
  const running = conversation.restart();
  const { bot } = conversation;
  await bot.line(({ msg }) => /does not answer yet/.test(msg), "it waits");
  rewrite(WITH_ALARM);
  bot.child.kill("SIGHUP");
  await bot.line(({ msg }) => msg === "the configuration was reloaded", "the reload");
  await server.resume();
  await running;
  assert.equal(await ask("org.example.alarm"), "success");
});

test("policies count at once after a reload: an invitation that waits is judged anew, and a notice is said where it was not", async (t) => {
  const { server, account, alice, rewrite, reload, roomId, bot } = await start(t);
  const invites = (keys: string): string => DEFAULT_YAML.replace("  notice: false\n", keys);
  rewrite(invites("  notice: false\n  max_per_hour: 1\n"));
  assert.equal((await reload()).code, 0);
  const waiting = await alice.createRoom({ invite: [account.userId] });
  const isWaiting = { roomId: waiting, msg: "invitation not answered yet" };
  await bot.line((line) => line["roomId"] === isWaiting.roomId && line.msg === isWaiting.msg, "the invitation waits");
  rewrite(invites("  notice: This room is on the record.\n  max_per_hour: 2\n"));
  assert.equal((await reload()).code, 0);
  await alice.waitForJoin(waiting, account.userId);
  for (const room of [roomId, waiting])
    await alice.waitFor(
      () =>
        [...alice.events.values()].find((event) => event.roomId === room && event.content["msgtype"] === "m.notice"),
      20_000,
      "the notice",
    );
  assert.equal(server.membership(waiting, account.userId), "join");
});

test("the report says that receipts are not sent while the operator wants them and the homeserver does not take them", async (t) => {
  const conversation = await startConversation(t, { server: { unstableFeatures: { "org.matrix.msc4089": false } } });
  const { directory, server, account } = conversation;
  const config = join(directory, "config.yaml");
  const notes = async (): Promise<string> => (await docket("health", "--config", config)).stdout;
  assert.match(await notes(), /note: no delivery receipts: the homeserver does not support them \(MSC4089\)/);
  writeConfig({ homeserver: server.url, ...account, directory, yaml: `${DEFAULT_YAML}receipts: { rooms: none }\n` });
  assert.equal((await docket("reload", "--config", config)).code, 0);
  assert.doesNotMatch(await notes(), /receipts/);
});

test("a signal that comes while the configuration is read for the first time ends nothing, and counts", async (t) => {
  const { conversation, directory } = await start(t);
  assert.equal(await conversation.bot.stop(), 0);
  const pipe = join(directory, "ops_token");
  execFileSync("mkfifo", [pipe]);
  const restarted = conversation.restart({
    yaml: `${DEFAULT_YAML}operations: { listen: "127.0.0.1:0", token: "\${file:./ops_token}" }\n`,
  });
  // Opens when the bot reads it, and the bot waits for what is written.
  const beingRead = async (meanwhile = (): unknown => undefined): Promise<void> => {
    const pipeEnd = await open(pipe, "w");
    meanwhile();
    await pipeEnd.writeFile("an-ops-token");
    await pipeEnd.close();
  };
  await beingRead(() => conversation.bot.child.kill("SIGHUP"));
  await restarted;
  await beingRead();
  await conversation.bot.line(({ msg }) => msg === "the configuration was reloaded", "the reload");
  assert.equal(await conversation.bot.stop(), 0);
});
