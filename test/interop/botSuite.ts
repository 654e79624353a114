/** What the bot leaves on the homeserver for matrix-js-sdk on a device of the same account, and the other way round. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { asObject } from "../../demo/sender/seenEvent.ts";
import type { JsonObject } from "../../src/protocol/json.ts";
import { docket } from "../support/docketCommand.ts";
import type { PeerProcess } from "../support/peers/peerProcess.ts";
import { PASSWORD, type InteropBot, type InteropScene } from "./interopScene.ts";

const REPORT = "org.example.report";
const SECRETS = ["m.cross_signing.master", "m.cross_signing.self_signing", "m.cross_signing.user_signing"];
const BACKUP = "m.megolm_backup.v1";

/** An encrypted room that the peer made, and that the bot or another device of its account has joined. */
async function roomWith(peer: PeerProcess, { userId, deviceId }: { userId: string; deviceId: string }) {
  const roomId = await peer.order("createRoom", { invite: [userId], encryption: {} });
  await peer.order("waitForMember", { roomId, userId });
  await peer.order("waitForSigned", { userId, deviceId });
  return roomId;
}

/** @returns its event ID */
async function ask(peer: PeerProcess, roomId: string, place: string): Promise<string> {
  const status = { from_device: peer.account.deviceId, lifetime: 90_000 };
  return await peer.send(roomId, REPORT, { place, "m.request.status": status });
}

/** What the bot's record has of that event: the place in it, and what was known of the device that sent it. */
async function recorded({ configFile }: InteropBot, eventId: string): Promise<readonly unknown[]> {
  const { code, stdout, stderr } = await docket("record", "show", eventId, "--config", configFile);
  assert.equal(code, 0, stderr);
  const clear = asObject((JSON.parse(stdout) as JsonObject)["clear"]);
  return [asObject(clear["content"])["place"], asObject(clear["trust"])["level"]];
}

/** @param scene is there when the tests run */
export function describeBotInterop(scene: () => InteropScene): void {
  test("what the bot made at its first start, matrix-js-sdk opens with the recovery key: identity, secrets, and the backup with what only the bot could read", async (t) => {
    const localpart = await scene().account("docket");
    const carol = await scene().device(t, await scene().account("carol"));
    await carol.order("setUpIdentity", { password: PASSWORD, backup: false });
    const docketBot = await scene().bot(t, localpart, null);
    const roomId = await roomWith(carol, docketBot.account);
    const eventId = await ask(carol, roomId, "Bridge Street 3");
    const { status, event } = await carol.answerTo(eventId);
    assert.deepEqual([status, event.shield], ["success", null]);

    const recoveryKey = readFileSync(docketBot.keyFile, "utf8").trim();
    const other = await scene().device(t, localpart);
    assert.notEqual((await other.unreadable(eventId)).undecryptable, null);
    const secrets = await other.order("readSecrets", { recoveryKey });
    assert.deepEqual(Object.keys(secrets).toSorted(), [...SECRETS, BACKUP].toSorted());
    const identity = await other.order("recover", { recoveryKey });
    assert.deepEqual([identity.deviceSigned, identity.hasPrivateKeys, identity.inSecretStorage], [true, true, true]);
    assert.deepEqual(identity.backup, { version: identity.backupVersion, signed: true, matchesKey: true });
    const { device } = await other.order("trustOf", docketBot.account);
    assert.deepEqual(device, { signedByOwner: true, verified: true });
    // That of the question, and that of the answer.
    await other.order("waitForBackup", { keys: 2 });
    const { total, imported } = await other.order("restoreBackup", { recoveryKey });
    assert.deepEqual([total, imported], [2, 2]);
    for (const id of [eventId, event.eventId]) assert.equal((await other.readable(id)).undecryptable, null);
  });

  test("what matrix-js-sdk set up, the bot uses with its recovery key: it is signed, nothing is made anew, and it reads what was sent before it was there", async (t) => {
    const localpart = await scene().account("docket");
    const first = await scene().device(t, localpart);
    const { recoveryKey, ...made } = await first.order("setUpIdentity", { password: PASSWORD });
    const carol = await scene().device(t, await scene().account("carol"));
    await carol.order("setUpIdentity", { password: PASSWORD, backup: false });
    const { userId } = first.account;
    const roomId = await carol.order("createRoom", { invite: [userId], encryption: {} });
    await first.order("join", { roomId });
    await roomMember(carol, roomId, first);
    const before = await ask(carol, roomId, "Bridge Street 3");
    await first.readable(before);
    await first.order("waitForBackup", { keys: null });

    const docketBot = await scene().bot(t, localpart, recoveryKey);
    await carol.order("waitForSigned", docketBot.account);
    await first.order("waitForSigned", docketBot.account);
    assert.deepEqual(await first.order("identity", {}), made, "identity, storage and backup are those of before");
    await docketBot.bot.line((line) => line["eventId"] === before && line.msg === "decided", "it had read the event");
    // A key out of a backup says nothing of who sent it.
    assert.deepEqual(await recorded(docketBot, before), ["Bridge Street 3", "unknown_device"]);
    const after = await ask(carol, roomId, "Station Road 1");
    assert.equal((await carol.answerTo(after)).status, "success");
    assert.equal((await recorded(docketBot, after))[0], "Station Road 1");
    assert.equal(readFileSync(docketBot.keyFile, "utf8"), recoveryKey);
  });

  test("room keys in a file under a passphrase go from the bot to matrix-js-sdk, and from there to another device of the bot", async (t) => {
    const localpart = await scene().account("docket");
    const carol = await scene().device(t, await scene().account("carol"));
    await carol.order("setUpIdentity", { password: PASSWORD, backup: false });
    const first = await scene().bot(t, localpart, null);
    const roomId = await roomWith(carol, first.account);
    const eventId = await ask(carol, roomId, "Bridge Street 3");
    await carol.answerTo(eventId);
    const passphrase = "seven words that nobody guesses";
    const [file, passphraseFile] = ["keys.txt", "passphrase"].map((name) => join(first.account.store, name)) as [
      string,
      string,
    ];
    writeFileSync(passphraseFile, `${passphrase}\n`, { mode: 0o600 });
    const keys = async (what: "export" | "import", from: string, { configFile }: InteropBot): Promise<void> => {
      const done = await docket("keys", what, from, "--passphrase-file", passphraseFile, "--config", configFile);
      assert.equal(done.code, 0, done.stderr);
    };
    await keys("export", file, first);
    assert.equal(await first.bot.stop(), 0);

    const other = await scene().device(t, localpart);
    await other.unreadable(eventId);
    const text = readFileSync(file, "utf8");
    assert.equal(
      await other.order("importKeys", { text, passphrase }),
      2,
      "that of the question, and that of the answer",
    );
    assert.equal((await other.readable(eventId)).content["place"], "Bridge Street 3");

    const second = await scene().bot(t, localpart, null);
    await second.bot.line((line) => line["eventId"] === eventId && line["reason"] === "no_session", "it had no key");
    const back = join(second.account.store, "keys.txt");
    writeFileSync(back, await other.order("exportKeys", { passphrase }));
    await keys("import", back, second);
    await second.bot.line((line) => line["eventId"] === eventId && line.msg === "decided", "it had read the event");
    // A key out of a file says nothing of who sent it either.
    assert.deepEqual(await recorded(second, eventId), ["Bridge Street 3", "unknown_device"]);
  });
}

/** The peer has the keys of the other's device, in a room where both are. */
async function roomMember(peer: PeerProcess, roomId: string, other: PeerProcess): Promise<void> {
  const { userId, deviceId } = other.account;
  await peer.order("waitForMember", { roomId, userId });
  await peer.order("waitForSigned", { userId, deviceId });
}
