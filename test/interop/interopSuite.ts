/**
 * What an independent client and the bot leave on the homeserver for each other: secret storage, signatures and the backup of room
 * keys. The same tests run before the development homeserver (test/integration/interop.test.ts) and Synapse
 * (test/synapse/peers.test.ts). What the client does by itself runs before the development homeserver alone: it shows that this one is
 * enough of a homeserver for the client, and that the peer does what its orders say.
 */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { describeBotInterop } from "./botSuite.ts";
import { InteropScene, PASSWORD, type InteropHomeserver } from "./interopScene.ts";

/** What both sides show in a verification: seven emoji, three numbers. */
function assertSas(shown: { emoji: readonly unknown[]; decimals: readonly number[] }): void {
  assert.deepEqual([shown.emoji.length, shown.decimals.length], [7, 3]);
}

export function describeInterop(start: () => Promise<InteropHomeserver>): void {
  describeScene("the bot and matrix-js-sdk", start, describeBotInterop);
}

export function describePeerAlone(start: () => Promise<InteropHomeserver>): void {
  describeScene("matrix-js-sdk alone", start, describePeer);
}

/** Each test has accounts of its own, so that they run beside each other: they wait more than they work. */
function describeScene(
  name: string,
  start: () => Promise<InteropHomeserver>,
  tests: (scene: () => InteropScene) => void,
): void {
  suite(name, { concurrency: true }, () => {
    let scene: InteropScene;
    before(async () => {
      scene = new InteropScene(await start());
    });
    after(() => scene.stop());
    tests(() => scene);
  });
}

function describePeer(scene: () => InteropScene): void {
  test("sets up an identity, and a new device with its recovery key is signed and reads the backup", async (t) => {
    const carol = await scene().account("carol");
    const first = await scene().device(t, carol);
    const { recoveryKey, ...made } = await first.order("setUpIdentity", { password: PASSWORD });
    assert.deepEqual(
      [made.deviceSigned, made.hasPrivateKeys, made.inSecretStorage, made.backup],
      [true, true, true, { version: made.backupVersion, signed: true, matchesKey: true }],
    );
    const roomId = await first.order("createRoom", { invite: [], encryption: {} });
    const eventId = await first.send(roomId, "m.room.message", { msgtype: "m.text", body: "before" });
    assert.equal(await first.order("waitForBackup", { keys: null }), 1);
    const file = await first.order("exportKeys", { passphrase: "a long one" });
    const account = first.account;
    await first.stop();

    const second = await scene().device(t, carol);
    assert.equal((await second.order("identity", {})).deviceSigned, false);
    assert.notEqual((await second.unreadable(eventId)).undecryptable, null);
    const recovered = await second.order("recover", { recoveryKey });
    assert.deepEqual(recovered, made);
    assert.deepEqual(await second.order("restoreBackup", { recoveryKey }), { total: 1, imported: 1 });
    assert.equal((await second.readable(eventId)).content["body"], "before");
    const trust = await second.order("trustOf", account);
    assert.deepEqual(
      [trust.masterKey, trust.verified, trust.device],
      [made.masterKey, true, { signedByOwner: true, verified: true }],
    );

    await assert.rejects(second.order("importKeys", { text: file, passphrase: "another" }), /the passphrase is not/);
    assert.equal(await second.order("importKeys", { text: file, passphrase: "a long one" }), 1);
  });

  test("verifies another device of its account, and another user in a room, when the emoji match; not when they don't", async (t) => {
    const [dora, erik] = [await scene().account("dora"), await scene().account("erik")];
    const [first, second, other] = [
      await scene().device(t, dora),
      await scene().device(t, dora),
      await scene().device(t, erik),
    ];
    await first.order("setUpIdentity", { password: PASSWORD, backup: false });
    await other.order("setUpIdentity", { password: PASSWORD, backup: false });
    const { userId } = first.account;

    const own = await first.order("requestVerification", second.account);
    const ownThere = await second.order("incomingVerification", { userId });
    assert.deepEqual([ownThere.verification, ownThere.deviceId], [own, first.account.deviceId]);
    await second.order("acceptVerification", ownThere);
    const [here, there] = await Promise.all([
      first.order("sas", { verification: own, start: true }),
      second.order("sas", { verification: own, start: false }),
    ]);
    assertSas(here);
    assert.deepEqual(here, there);
    for (const peer of [first, second]) await peer.order("answerSas", { verification: own, answer: "match" });
    for (const peer of [first, second])
      assert.equal(await peer.order("verificationResult", { verification: own }), null);
    await first.order("waitForSigned", second.account);

    const roomId = await first.order("createRoom", { invite: [other.account.userId], encryption: {} });
    await other.order("join", { roomId });
    await first.order("waitForMember", { roomId, userId: other.account.userId });
    for (const answer of ["mismatch", "match"] as const) {
      const verification = await first.order("requestVerification", { userId: other.account.userId, roomId });
      assert.equal((await other.order("incomingVerification", { userId })).roomId, roomId);
      await other.order("acceptVerification", { verification });
      await Promise.all([
        other.order("sas", { verification, start: true }),
        first.order("sas", { verification, start: false }),
      ]);
      for (const peer of answer === "match" ? [first, other] : [first])
        await peer.order("answerSas", { verification, answer });
      const result = await other.order("verificationResult", { verification });
      assert.deepEqual(result, answer === "match" ? null : { code: "m.mismatched_sas", by: userId });
      if (answer === "match") await other.order("waitForVerified", { userId });
      const { verified } = await other.order("trustOf", { userId, deviceId: null });
      assert.equal(verified, answer === "match");
    }
  });

  test("shares keys with signed devices alone when it isolates, and the keys of before with those it invites", async (t) => {
    const [fred, gina] = [await scene().account("fred"), await scene().account("gina")];
    const [host, guest, unsigned] = [
      await scene().device(t, fred),
      await scene().device(t, gina),
      await scene().device(t, gina),
    ];
    await host.order("setUpIdentity", { password: PASSWORD, backup: false });
    await guest.order("setUpIdentity", { password: PASSWORD, backup: false });
    await host.order("isolate", { signedOnly: true });
    const roomId = await host.order("createRoom", { invite: [], encryption: {} });
    const say = (body: string): Promise<string> => host.send(roomId, "m.room.message", { msgtype: "m.text", body });
    const before = await say("before");
    const { userId } = guest.account;
    await host.order("invite", { roomId, userId });
    await guest.order("join", { roomId });
    assert.equal((await guest.readable(before)).content["body"], "before");
    await host.order("waitForMember", { roomId, userId });
    await host.order("waitForSigned", guest.account);
    const after = await say("after");
    const read = await guest.readable(after);
    assert.deepEqual([read.content["body"], read.shield], ["after", null]);
    assert.equal((await unsigned.unreadable(after)).undecryptable, "MEGOLM_KEY_WITHHELD_FOR_UNVERIFIED_DEVICE");
  });
}
