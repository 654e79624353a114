/** What becomes known of others after they have sent something, and whom the bot trusts then. Real keys; only the wire is short-circuited. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import {
  CollectStrategy,
  DecryptionErrorCode,
  DecryptionSettings,
  MegolmDecryptionError,
  RoomId as LibraryRoomId,
  TrustRequirement,
} from "@matrix-org/matrix-sdk-crypto-wasm";
import type { CryptoEngine, Received } from "../../../src/crypto/cryptoEngine.ts";
import { decryptEvent, readWithheldCode } from "../../../src/crypto/decryption.ts";
import type { Machine } from "../../../src/crypto/machine.ts";
import { isAccepted } from "../../../src/crypto/trusted.ts";
import { Metrics } from "../../../src/metrics.ts";
import type { RawEvent } from "../../../src/protocol/events.ts";
import type { RoomId, UserId } from "../../../src/protocol/ids.ts";
import { KeyDirectory } from "../../support/keyDirectory.ts";
import { KeyedPerson } from "../../support/keyedPerson.ts";
import { loneEngine, noChanges } from "../../support/loneEngine.ts";

const ROOM = "!room:example.org" as RoomId;
const BOT = { userId: "@bot:example.org", deviceId: "BOT" };
const ALICE = "@alice:example.org";

interface Scene {
  readonly directory: KeyDirectory;
  readonly engine: CryptoEngine;
  readonly metrics: Metrics;
  readonly changed: UserId[];
  readonly identities: (readonly [UserId, boolean])[];
  sync(): Promise<Received>;
  level(event: RawEvent): Promise<string>;
}

async function scene(t: TestContext): Promise<Scene> {
  const directory = new KeyDirectory();
  const metrics = new Metrics();
  const changed: UserId[] = [];
  const identities: [UserId, boolean][] = [];
  const { engine } = await loneEngine(t, {
    homeserver: directory.homeserver(BOT),
    metrics,
    onSendersChanged: (users) => void changed.push(...users),
    onIdentityChanged: (user, wasVerified) => void identities.push([user, wasVerified]),
  });
  await engine.start();
  return {
    directory,
    engine,
    metrics,
    changed,
    identities,
    sync: () => engine.receive({ ...noChanges, ...directory.sync(BOT) }, (received) => Promise.resolve(received)),
    async level(event) {
      const decrypted = await engine.decrypt(event);
      return decrypted.kind === "decrypted" ? decrypted.trust.level : decrypted.reason;
    },
  };
}

const soon = (): AbortSignal => AbortSignal.timeout(60_000);

async function total(metrics: Metrics, name: string): Promise<number> {
  const { values } = (await metrics.registry.getSingleMetric(name)?.get()) ?? { values: [] };
  return values.reduce((sum, { value }) => sum + value, 0);
}

test("before the first key query every device looks unsigned; who waits for it sees the signature, and others are told of it", async (t) => {
  const { directory, engine, changed, sync, level } = await scene(t);
  const alice = await KeyedPerson.create(t, directory, ALICE, "ALICE1", { signed: true });
  const event = await alice.say(ROOM, [BOT.userId], { n: 1 });
  await sync();
  const before = engine.trust.epoch;
  assert.equal(await level(event), "unsigned_device");
  await engine.trust.learn(alice.userId, soon());
  assert.equal(await level(event), "cross_signed");
  assert.notEqual(engine.trust.epoch, before);
  assert.ok(changed.includes(alice.userId));
});

test("a device that is signed later counts as signed for what it sent before", async (t) => {
  const { directory, engine, changed, sync, level } = await scene(t);
  const alice = await KeyedPerson.create(t, directory, ALICE, "ALICE1", { signed: false });
  const event = await alice.say(ROOM, [BOT.userId], { n: 1 });
  await sync();
  await engine.trust.learn(alice.userId, soon());
  assert.equal(await level(event), "unsigned_device");
  changed.length = 0;
  await alice.makeIdentity();
  await sync();
  await engine.trust.learn(alice.userId, soon());
  assert.equal(await level(event), "cross_signed");
  assert.ok(changed.includes(alice.userId), "whoever waits for her is woken");
});

test("each change of an identity is told and counted once, and the first identity is no change", async (t) => {
  const { directory, engine, metrics, identities, sync } = await scene(t);
  const alice = await KeyedPerson.create(t, directory, ALICE, "ALICE1", { signed: true });
  const learn = async (): Promise<void> => {
    await sync();
    await engine.trust.learn(alice.userId, soon());
    // What is found out in the background is done when the next call has its turn, twice.
    for (let turn = 0; turn < 2; turn += 1) await sync();
  };
  await learn();
  assert.deepEqual(identities, []);
  await alice.makeIdentity();
  await learn();
  directory.noteChanged(ALICE);
  await learn();
  assert.deepEqual(identities, [[ALICE, false]]);
  await alice.makeIdentity();
  await learn();
  assert.equal(identities.length, 2);
  assert.equal(await total(metrics, "docket_identity_changes_total"), 2);
});

test("a key that a sender withholds is told with the sync that says so, with its code, and is counted", async (t) => {
  const { directory, engine, metrics, sync } = await scene(t);
  const alice = await KeyedPerson.create(t, directory, ALICE, "ALICE1", { signed: true });
  const strategy = (): CollectStrategy => CollectStrategy.identityBasedStrategy();
  const event = await alice.say(ROOM, [BOT.userId], { n: 1 }, strategy);
  assert.equal((await engine.decrypt(event)).kind, "undecryptable");
  const { withheldSessions, newSessions } = await sync();
  assert.deepEqual([withheldSessions, newSessions], [[{ roomId: ROOM, sessionId: event.content["session_id"] }], []]);
  const refused = await engine.decrypt(event);
  assert.ok(refused.kind === "undecryptable");
  assert.deepEqual([refused.reason, refused.withheldCode], ["withheld", "m.unverified"]);
  assert.equal(await total(metrics, "docket_room_keys_refused_total"), 1);
  assert.deepEqual((await sync()).withheldSessions, []);
});

test("a code that no specification names is not repeated", () => {
  assert.deepEqual(
    ["m.unverified", "io.element.msc4268.history_not_shared", "x\u001b[2J", "toString"].map(readWithheldCode),
    ["m.unverified", "m.history_not_shared", "other", "other"],
  );
});

test("who is accepted with decrypt_from: cross_signed is whom the library accepts as cross-signed", async (t) => {
  const directory = new KeyDirectory();
  const bot = await KeyedPerson.create(t, directory, BOT.userId, BOT.deviceId, { signed: true });
  const machine = { use: (_: string, call: (olm: unknown) => unknown) => call(bot.machine) } as unknown as Machine;
  const verdicts = async (event: RawEvent): Promise<[boolean, boolean]> => {
    const decrypted = await decryptEvent(machine, event);
    assert.ok(decrypted.kind === "decrypted");
    const strict = new DecryptionSettings(TrustRequirement.CrossSigned);
    const library = await bot.machine
      .decryptRoomEvent(JSON.stringify(event), new LibraryRoomId(ROOM), strict)
      .then(() => true)
      .catch((error: unknown) => {
        assert.ok(error instanceof MegolmDecryptionError && error.code !== DecryptionErrorCode.MissingRoomKey);
        return false;
      });
    return [isAccepted(decrypted.trust, "cross_signed"), library];
  };
  const alice = await KeyedPerson.create(t, directory, ALICE, "ALICE1", { signed: false });
  const event = await alice.say(ROOM, [BOT.userId], { n: 1 });
  await bot.sync();
  assert.deepEqual(await verdicts(event), [false, false], "unknown");
  await bot.follow(ALICE);
  assert.deepEqual(await verdicts(event), [false, false], "unsigned");
  await alice.makeIdentity();
  await bot.sync();
  assert.deepEqual(await verdicts(event), [true, true], "signed");
  await bot.verify(ALICE);
  await alice.rotate(ROOM);
  const verified = await alice.say(ROOM, [BOT.userId], { n: 2 });
  await bot.sync();
  assert.deepEqual(await verdicts(verified), [true, true], "verified");
  await alice.makeIdentity();
  await bot.sync();
  await alice.rotate(ROOM);
  const changed = await alice.say(ROOM, [BOT.userId], { n: 3 });
  await bot.sync();
  assert.deepEqual(await verdicts(changed), [false, false], "another identity than the one that was verified");
});
