/** `docket request` and the bot, each in a process of its own, on a Synapse. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Sender } from "../../demo/sender/sender.ts";
import { BotProcess } from "../support/botProcess.ts";
import { askerAs } from "../support/requesterCommand.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";
import { startSynapse } from "./synapse.ts";

const REPORT = "org.example.report";

test("on Synapse, docket request asks a bot in encrypted and plain rooms, run after run, and gets its answers", async (t) => {
  const server = await startSynapse();
  t.after(() => server.stop());
  const account = await server.registerUser("docket", "not a secret", { deviceId: "docketbot" });
  const bot = new BotProcess({
    homeserver: server.baseUrl,
    userId: account.userId,
    accessToken: account.accessToken,
    directory: temporaryDirectory(t),
  });
  t.after(() => bot.kill());
  await bot.running();
  const inas = await server.registerUser("ina", "not a secret", { deviceId: "inasdevice" });
  const alices = await server.registerUser("alice", "not a secret", { deviceId: "alicephone" });
  const who = askerAs(t, server.baseUrl, inas);
  const alice = await Sender.withToken({ baseUrl: server.baseUrl, ...alices });
  t.after(() => alice.stop());
  await alice.start();

  const made = async (encrypted: boolean): Promise<string> => {
    const roomId = await alice.createRoom({ encrypted, invite: [account.userId, inas.userId] });
    const response = await fetch(`${server.baseUrl}/_matrix/client/v3/join/${encodeURIComponent(roomId)}`, {
      method: "POST",
      headers: { authorization: `Bearer ${inas.accessToken}` },
      body: "{}",
    });
    assert.equal(response.status, 200);
    for (const user of [account.userId, inas.userId]) await alice.waitForJoin(roomId, user);
    return roomId;
  };
  const secret = await made(true);
  const plain = await made(false);
  for (const [roomId, type, code] of [
    [secret, REPORT, 0],
    [secret, REPORT, 0],
    [secret, "org.example.unheard", 1],
    [plain, REPORT, 0],
  ] as const) {
    const ended = await who.ask([roomId, "--type", type]).ended;
    assert.equal(ended.code, code, ended.stdout + ended.stderr);
    const [answer] = ended.facts.filter(({ event }) => event === "answer");
    assert.deepEqual([answer?.["userId"], answer?.["deviceId"]], [account.userId, "docketbot"]);
    assert.equal(ended.facts[0]?.["encrypted"], roomId === secret);
  }
  const question = await who.ask([secret, "--capabilities", REPORT, "org.example.unheard"]).ended;
  assert.deepEqual(question.facts.find(({ event }) => event === "answer")?.["understood"], [REPORT]);
  const silent = await who.ask([plain, "--type", REPORT, "--to-device", "OTHER", "--lifetime", "1s"]).ended;
  assert.equal(silent.code, 2);

  const hers = await alice.createRoom({ encrypted: true });
  const refused = await who.ask([hers, "--type", REPORT]).ended;
  assert.equal(refused.code, 3, refused.stdout + refused.stderr);
  assert.equal(refused.facts.find(({ event }) => event === "refused")?.["errcode"], "M_FORBIDDEN");
  const unknown = await who.ask(["#nothing:localhost", "--type", REPORT]).ended;
  assert.equal(unknown.code, 3);
  const large = await who.ask([plain, "--type", REPORT, "--content", "-"], JSON.stringify({ a: "x".repeat(70_000) }))
    .ended;
  assert.deepEqual([large.code, large.facts[0]?.["status"]], [3, 413]);
});
