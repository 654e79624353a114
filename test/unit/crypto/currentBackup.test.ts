/** Which key backup is ours: on the real library, with the backup endpoints in memory. */
import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { BackupDecryptionKey } from "@matrix-org/matrix-sdk-crypto-wasm";
import { CurrentBackup } from "../../../src/crypto/currentBackup.ts";
import type { Machine } from "../../../src/crypto/machine.ts";
import { ServerUnreachable } from "../../../src/errors.ts";
import { silentLogger } from "../../../src/logging.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "../../../src/protocol/json.ts";
import { Vitals } from "../../../src/vitals.ts";
import { loneMachine } from "../../support/loneMachine.ts";
import { RoomKeyServer } from "../../support/roomKeyServer.ts";

const { signal } = new AbortController();

async function scene(
  t: TestContext,
  { identity = true } = {},
): Promise<{ machine: Machine; server: RoomKeyServer; vitals: Vitals; backup: CurrentBackup }> {
  const machine = await loneMachine(t, { identity });
  const server = new RoomKeyServer();
  const vitals = new Vitals();
  return { machine, server, vitals, backup: backupOf(machine, server, vitals) };
}

function backupOf(machine: Machine, server: RoomKeyServer, vitals = new Vitals()): CurrentBackup {
  return new CurrentBackup({ machine, homeserver: server.homeserver, log: silentLogger, vitals });
}

const isEnabled = (machine: Machine): Promise<boolean> =>
  machine.use("isBackupEnabled", (olm) => olm.isBackupEnabled());

test("a backup that the bot makes is signed by its device and by its account's master key, and in use at once", async (t) => {
  const { machine, server, backup } = await scene(t);

  assert.deepEqual(await backup.create(backup.newKey(), signal), { kind: "in_use", version: "1" });

  assert.equal(await isEnabled(machine), true);
  const { authData } = server.current;
  assert.ok(isJsonObject(authData) && isJsonObject(authData["signatures"]));
  const signed = Object.keys(authData["signatures"]["@bot:example.org"] as object);
  assert.equal(signed.length, 2);
  assert.ok(signed.includes("ed25519:BOT"));
});

test("a backup whose making was answered by nobody is found again, and no second one is made", async (t) => {
  const { server, backup } = await scene(t);
  const key = backup.newKey();
  server.after = (asked) => {
    if (asked === "POST version") throw new ServerUnreachable("lost", { doubtful: true });
  };
  await assert.rejects(backup.create(key, signal), ServerUnreachable);
  server.after = () => undefined;

  assert.equal((await backup.create(key, signal)).kind, "in_use");
  assert.equal(server.versions.length, 1);
});

test("a version that the account signed is used, though its key is not here; the key is taken when it comes", async (t) => {
  const { machine, server, vitals, backup } = await scene(t);
  const key = backup.newKey();
  server.make(await signedBy(machine, publicKeyOf(key)));

  assert.deepEqual(await backup.check(signal), { kind: "upload_only", version: "1" });
  assert.match(vitals.noted().get("key_backup") ?? "", /its key is not here/);
  assert.equal(await isEnabled(machine), true);

  assert.equal(await backup.adopt(key, signal), true);
  assert.deepEqual(backup.state, { kind: "in_use", version: "1" });
  assert.equal(vitals.noted().has("key_backup"), false);
});

test("a version that nobody of us signed is not used, and said; what would read it makes it ours", async (t) => {
  const { machine, server, vitals, backup } = await scene(t);
  const key = backup.newKey();
  server.make({ public_key: publicKeyOf(key) });

  assert.deepEqual(await backup.check(signal), { kind: "untrusted", version: "1" });
  assert.match(vitals.noted().get("key_backup") ?? "", /version "1".*is not trusted/);
  assert.equal(await isEnabled(machine), false);

  assert.equal(await backup.adopt(backup.newKey(), signal), false, "another key");
  assert.equal(await backup.adopt("no key", signal), false, "no key at all");
  assert.equal(backup.state.kind, "untrusted");
  assert.equal(await backup.adopt(key, signal), true);
  assert.equal(backup.state.kind, "in_use");
});

test("a version whose key was exchanged under our signature is not used", async (t) => {
  const { machine, server, backup } = await scene(t);
  const signed = await signedBy(machine, publicKeyOf(backup.newKey()));
  server.make({ ...signed, public_key: publicKeyOf(backup.newKey()) });
  assert.equal((await backup.check(signal)).kind, "untrusted");
  assert.equal(await isEnabled(machine), false);
});

test("a version that takes the place of ours without our signature is not used, and ours is again when it is back", async (t) => {
  const { server, vitals, backup } = await scene(t);
  await backup.create(backup.newKey(), signal);
  server.make({ public_key: publicKeyOf(backup.newKey()) });
  assert.deepEqual(await backup.check(signal), { kind: "untrusted", version: "2" });
  assert.ok(vitals.noted().has("key_backup"));
  server.versions.pop();
  assert.deepEqual(await backup.check(signal), { kind: "in_use", version: "1" });
  assert.equal(vitals.noted().has("key_backup"), false);
});

test("the backup before a new identity and a new key is not used again, whoever shows it: its key may be in other hands", async (t) => {
  const { machine, server, backup } = await scene(t);
  await backup.create(backup.newKey(), signal);
  const { authData: old } = server.current;
  await machine.use("bootstrapCrossSigning", (olm) => olm.bootstrapCrossSigning(true));
  await backup.create(backup.newKey(), signal);
  const { authData: present } = server.current;
  server.make(old);
  assert.deepEqual(await backup.check(signal), { kind: "untrusted", version: "3" });
  server.make(present);
  assert.deepEqual(await backup.check(signal), { kind: "in_use", version: "4" });
});

test("a version that can't be read is never used, whatever the homeserver says", async (t) => {
  const { machine, server, backup } = await scene(t);
  const good = await signedBy(machine, publicKeyOf(backup.newKey()));
  const odd: readonly (readonly [JsonValue, JsonValue?])[] = [
    [good, "org.example.other"],
    [good, 7],
    [null],
    [[]],
    [{}],
    [{ ...good, public_key: 7 }],
    [{ ...good, public_key: "short" }],
    [{ ...good, padding: "x".repeat(100_000) }],
    [{ ...good, signatures: 7 }],
  ];
  for (const [authData, algorithm] of odd) {
    server.make(authData, algorithm ?? "m.megolm_backup.v1.curve25519-aes-sha2");
    assert.match((await backup.check(signal)).kind, /^(unsupported|untrusted)$/);
    assert.equal(await isEnabled(machine), false);
  }
  server.versions.splice(0);
  assert.deepEqual(await backup.check(signal), { kind: "absent", version: null });
});

test("after a restart the version of the key that is kept here is still ours, without a signature", async (t) => {
  const { machine, server, backup } = await scene(t, { identity: false });
  const key = backup.newKey();
  server.make({ public_key: publicKeyOf(key) });
  await backup.adopt(key, signal);

  assert.deepEqual(await backupOf(machine, server).check(signal), { kind: "in_use", version: "1" });
});

test("a backup that was deleted is made again for the same key, when it is asked for and not before", async (t) => {
  const { machine, server, backup } = await scene(t);
  assert.equal((await backup.remake(signal)).kind, "absent", "there was never one");
  const key = backup.newKey();
  await backup.create(key, signal);
  server.versions.splice(0);
  assert.equal((await backup.check(signal)).kind, "absent");

  const after = await backupOf(machine, server).remake(signal);
  assert.equal(after.kind, "in_use");
  assert.ok(isJsonObject(server.current.authData));
  assert.equal(server.current.authData["public_key"], publicKeyOf(key));
});

function publicKeyOf(key: string): string {
  return BackupDecryptionKey.fromBase64(key).megolmV1PublicKey.publicKeyBase64;
}

async function signedBy(machine: Machine, publicKey: string): Promise<JsonObject> {
  const authData = { public_key: publicKey };
  const signatures = await machine.use("sign", async (olm) => (await olm.sign(JSON.stringify(authData))).asJSON());
  return { ...authData, signatures: JSON.parse(signatures) as JsonObject };
}
