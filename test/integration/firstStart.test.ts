/** The first start, and the invitation that waits for it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Sender } from "../../demo/sender/sender.ts";
import { startDevServer } from "../../devserver/server.ts";
import { BotProcess } from "../support/botProcess.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";

const SIGNING = /\/keys\/device_signing\/upload$/;
/** A bot that did not wait would have accepted by then. */
const HELD_MS = 2_000;

test("no invitation is accepted before the account's identity signs the device", async (t) => {
  const server = await startDevServer();
  t.after(() => server.stop());
  const account = server.createAccount("docket");
  const { userId } = account;
  const alice = await Sender.withToken({ baseUrl: server.url, ...server.createAccount("alice") });
  t.after(() => alice.stop());
  await alice.start();
  const roomId = await alice.createRoom({ encrypted: true, invite: [userId] });
  const held = server.fault({ path: SIGNING, userId, action: { kind: "hang" } });
  const bot = new BotProcess({ homeserver: server.url, ...account, directory: temporaryDirectory(t) });
  t.after(() => bot.kill());
  await server.waitFor(
    () => server.requests({ path: SIGNING, userId, outcome: "open" }).at(0),
    60_000,
    "the new identity",
  );
  const accepted = bot.line((line) => line.msg === "invitation accepted", "it accepted", HELD_MS);
  await assert.rejects(accepted, /did not log before it accepted/);
  held.release();
  await alice.waitForJoin(roomId, userId, 60_000);
  await bot.line((line) => line.msg === "invitation accepted", "it accepted");
  const order = bot.lines.map(({ msg }) => msg).filter((msg) => /identity signs|^invitation accepted/.test(msg));
  assert.deepEqual(order, ["the account's identity signs the bot's device", "invitation accepted"]);
});
