/** matrix-js-sdk gives the bot the keys of what was said before it came: with an invitation (MSC4268), and in a file; and gets some back. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { JsonObject } from "../../src/protocol/json.ts";
import type { BotProcess } from "../support/botProcess.ts";
import { startConversation, type Conversation } from "../support/conversation.ts";
import { docket } from "../support/docketCommand.ts";
import { launchJsSdk, PeerProcess } from "../support/peers/peerProcess.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";

const PASSWORD = "not a secret";
const PASSPHRASE = "a passphrase for the keys";

async function jsSdk(
  t: TestContext,
  { server }: Conversation,
  account: { userId: string; deviceId: string; accessToken: string },
): Promise<PeerProcess> {
  const peer = await PeerProcess.start(
    { homeserver: server.url, ...account, store: temporaryDirectory(t) },
    launchJsSdk,
  );
  t.after(() => peer.kill());
  return peer;
}

async function recorded({ directory }: Conversation, eventId: string): Promise<JsonObject> {
  const shown = await docket("record", "show", eventId, "--config", join(directory, "config.yaml"));
  assert.equal(shown.code, 0, shown.stderr);
  return (JSON.parse(shown.stdout) as { clear: JsonObject }).clear;
}

const decided = (bot: BotProcess, eventId: string): Promise<unknown> =>
  bot.line((line) => line["eventId"] === eventId && line.msg === "decided", `${eventId} was decided about`);

test("what was said before the bot came is in its record, by the inviter's bundle, also when the bot is killed meanwhile", async (t) => {
  const conversation = await startConversation(t);
  const { server, account } = conversation;
  const carol = await jsSdk(t, conversation, server.createAccount("carol", PASSWORD));
  await carol.order("setUpIdentity", { password: PASSWORD, backup: false });
  for (const killed of [false, true]) {
    const roomId = await carol.order("createRoom", { invite: [], encryption: {} });
    const before = await carol.send(roomId, "org.example.report", { words: "before you came" });
    await carol.order("invite", { roomId, userId: account.userId });
    if (killed) {
      await conversation.bot.line(
        (line) => line.msg === "invitation accepted" && line["roomId"] === roomId,
        "the invitation was accepted",
      );
      await conversation.bot.kill();
      await conversation.restart();
    }
    const { bot } = conversation;
    await bot.line((line) => line["roomId"] === roomId && /^took the keys/.test(line.msg), "the bundle was taken");
    await decided(bot, before);
    const clear = await recorded(conversation, before);
    assert.deepEqual([clear["kind"], clear["content"]], ["clear", { words: "before you came" }]);
    const trust = { deviceId: null, level: "unknown_device", keySharedBy: carol.account.userId };
    assert.deepEqual(clear["trust"], trust);
  }
});

test("a file of room keys goes from matrix-js-sdk to the bot, and from the bot to matrix-js-sdk", async (t) => {
  const conversation = await startConversation(t);
  const { server, alice, account, directory, bot } = conversation;
  const passphraseFile = join(directory, "passphrase");
  writeFileSync(passphraseFile, PASSPHRASE);
  const keys = async (verb: string, file: string): Promise<void> => {
    const config = join(directory, "config.yaml");
    const outcome = await docket("keys", verb, file, "--passphrase-file", passphraseFile, "--config", config);
    assert.deepEqual([outcome.code, outcome.stderr], [0, ""]);
  };
  const carol = await jsSdk(t, conversation, server.createAccount("carol", PASSWORD));
  const { userId } = carol.account;
  const roomId = await alice.createRoom({ encrypted: true, invite: [userId] });
  await carol.order("join", { roomId });
  const before = await carol.send(roomId, "org.example.report", { words: "before you came" });
  await alice.invite(roomId, account.userId);
  await bot.line((line) => line["eventId"] === before && /^parked/.test(line.msg), "it was parked");
  const theirs = join(directory, "theirs.txt");
  writeFileSync(theirs, await carol.order("exportKeys", { passphrase: PASSPHRASE }));
  await keys("import", theirs);
  await decided(bot, before);
  assert.equal((await recorded(conversation, before))["kind"], "clear");

  const ours = join(directory, "ours.txt");
  await keys("export", ours);
  const second = await jsSdk(t, conversation, server.createAccount("dora", PASSWORD));
  await alice.invite(roomId, second.account.userId);
  await second.order("join", { roomId });
  await second.unreadable(before);
  const text = readFileSync(ours, "utf8");
  assert.ok((await second.order("importKeys", { text, passphrase: PASSPHRASE })) > 0);
  assert.equal((await second.readable(before)).content["words"], "before you came");
});
