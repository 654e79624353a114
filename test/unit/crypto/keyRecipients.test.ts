/** Who gets the room key of an answer, and who does not. Real keys of several people; only the wire is short-circuited. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { EncryptionSettings } from "@matrix-org/matrix-sdk-crypto-wasm";
import type { CryptoEngine, EncryptedContent, SendTo } from "../../../src/crypto/cryptoEngine.ts";
import { KeyRecipients } from "../../../src/crypto/keyRecipients.ts";
import { Metrics } from "../../../src/metrics.ts";
import type { RoomId, UserId } from "../../../src/protocol/ids.ts";
import type { JsonObject } from "../../../src/protocol/json.ts";
import { asEvent, targetOf } from "../../support/cryptoPeer.ts";
import { KeyDirectory } from "../../support/keyDirectory.ts";
import { KeyedPerson } from "../../support/keyedPerson.ts";
import { loneEngine, noChanges } from "../../support/loneEngine.ts";

const ROOM = "!room:example.org" as RoomId;
const BOT = { userId: "@bot:example.org", deviceId: "BOT" };

interface Scene {
  readonly directory: KeyDirectory;
  readonly engine: CryptoEngine;
  readonly metrics: Metrics;
  /** What the operator wants; a test may change it. */
  sendTo: SendTo;
  person(name: string, options: { signed: boolean }): Promise<KeyedPerson>;
  /** Brings the bot what a sync would. */
  sync(): Promise<void>;
  say(to: readonly KeyedPerson[], content: JsonObject): Promise<EncryptedContent>;
}

/** A bot whose device nobody has signed, and whoever a test asks for. */
async function scene(t: TestContext): Promise<Scene> {
  const directory = new KeyDirectory();
  const metrics = new Metrics();
  const made: Scene = {
    directory,
    metrics,
    sendTo: "cross_signed",
    engine: (await loneEngine(t, { homeserver: directory.homeserver(BOT), sendTo: () => made.sendTo, metrics })).engine,
    person: (name, options) =>
      KeyedPerson.create(t, directory, `@${name}:example.org`, `${name.toUpperCase()}1`, options),
    sync: () => made.engine.receive({ ...noChanges, ...directory.sync(BOT) }, () => Promise.resolve()),
    async say(to, content) {
      await made.sync();
      const users = to.map(({ userId }) => userId);
      return made.engine.encrypt(targetOf(ROOM, users), "x.answer", content, AbortSignal.timeout(60_000));
    },
  };
  await made.engine.start();
  return made;
}

const readBy = (person: KeyedPerson, { content }: EncryptedContent): Promise<JsonObject | string> =>
  person.read(asEvent(ROOM, BOT.userId, content, "$answer"));

async function count(metrics: Metrics, name: string): Promise<Record<string, number>> {
  const { values } = (await metrics.registry.getSingleMetric(name)?.get()) ?? { values: [] };
  return Object.fromEntries(values.map(({ labels, value }) => [Object.values(labels).join(), value]));
}

test("a bot whose own device nobody signed still answers, and only signed devices can read it", async (t) => {
  const room = await scene(t);
  const alice = await room.person("alice", { signed: true });
  const bob = await room.person("bob", { signed: false });
  const phone = await KeyedPerson.create(t, room.directory, alice.userId, "ALICE2", { signed: false });
  const answer = await room.say([alice, bob], { n: 1 });
  assert.deepEqual(await readBy(alice, answer), { n: 1 });
  assert.equal(await readBy(bob, answer), "m.blacklisted");
  assert.equal(await readBy(phone, answer), "m.blacklisted");
  const withheld = answer.withheldFrom.toSorted((a, b) => (a.userId < b.userId ? -1 : 1));
  assert.deepEqual(withheld, [
    { userId: alice.userId, deviceId: "ALICE2", reason: "unsigned" },
    { userId: bob.userId, deviceId: "BOB1", reason: "unsigned" },
  ]);
  assert.equal(answer.withheldCount, 2);
  assert.deepEqual(answer.unreadableFor, [{ userId: bob.userId, reason: "unsigned" }]);
  assert.deepEqual(await count(room.metrics, "docket_room_keys_withheld_total"), { "m.blacklisted": 2 });
});

test("a device that its owner signs later can read what is sent from then on", async (t) => {
  const room = await scene(t);
  const bob = await room.person("bob", { signed: false });
  const before = await room.say([bob], { n: 1 });
  await bob.makeIdentity();
  const after = await room.say([bob], { n: 2 });
  assert.equal(typeof (await readBy(bob, before)), "string");
  assert.deepEqual(await readBy(bob, after), { n: 2 });
  assert.deepEqual([after.withheldFrom, after.withheldCount, after.unreadableFor], [[], 0, []]);
});

test("where the operator wants it, every device can read an answer; and when not any more, the next key is withheld at once", async (t) => {
  const room = await scene(t);
  const alice = await room.person("alice", { signed: true });
  const bob = await room.person("bob", { signed: false });
  const strict = await room.say([alice, bob], { n: 1 });
  room.sendTo = "all";
  const lax = await room.say([alice, bob], { n: 2 });
  room.sendTo = "cross_signed";
  const again = await room.say([alice, bob], { n: 3 });
  assert.deepEqual([await readBy(alice, strict), await readBy(alice, lax)], [{ n: 1 }, { n: 2 }]);
  assert.deepEqual(await readBy(bob, lax), { n: 2 });
  assert.notEqual(again.content["session_id"], lax.content["session_id"]);
  assert.deepEqual(await readBy(alice, again), { n: 3 });
  assert.equal(typeof (await readBy(bob, again)), "string");
});

/** The same choice on a library whose own device is signed: nothing of ours stands between. */
async function signedBot(t: TestContext): Promise<{
  bot: KeyedPerson;
  directory: KeyDirectory;
  say: (
    to: readonly KeyedPerson[],
    content: JsonObject,
    sendTo?: SendTo,
  ) => Promise<{ content: JsonObject; changed: readonly string[] }>;
}> {
  const directory = new KeyDirectory();
  const bot = await KeyedPerson.create(t, directory, BOT.userId, BOT.deviceId, { signed: true });
  const recipients = new KeyRecipients(BOT.userId);
  return {
    bot,
    directory,
    async say(to, content, sendTo = "cross_signed") {
      const users = to.map(({ userId }) => userId);
      let changed: readonly string[] = [];
      const event = await bot.sayWith(ROOM, users, content, async (machine) => {
        const shares = await recipients.share((_, call) => call(machine), {
          roomId: ROOM,
          users,
          sendTo,
          settings: (strategy) => Object.assign(new EncryptionSettings(), { sharingStrategy: strategy }),
        });
        changed = shares.changed;
        return shares.requests;
      });
      return { content: event.content, changed };
    },
  };
}

test("a signed bot says that an unsigned device is left out for being unverified", async (t) => {
  const { directory, say } = await signedBot(t);
  const alice = await KeyedPerson.create(t, directory, "@alice:example.org", "ALICE1", { signed: true });
  const bob = await KeyedPerson.create(t, directory, "@bob:example.org", "BOB1", { signed: false });
  const { content } = await say([alice, bob], { n: 1 });
  const event = asEvent(ROOM, BOT.userId, content, "$answer");
  assert.deepEqual(await alice.read(event), { n: 1 });
  assert.equal(await bob.read(event), "m.unverified");
});

test("who has another identity than the one that the bot verified is left out, and the others get their answer", async (t) => {
  const { bot, directory, say } = await signedBot(t);
  const alice = await KeyedPerson.create(t, directory, "@alice:example.org", "ALICE1", { signed: true });
  const bob = await KeyedPerson.create(t, directory, "@bob:example.org", "BOB1", { signed: true });
  const first = await say([alice, bob], { n: 1 });
  await bot.verify(bob.userId);
  await bob.makeIdentity();
  const second = await say([alice, bob], { n: 2 });
  assert.deepEqual([first.changed, second.changed], [[], [bob.userId]]);
  assert.notEqual(second.content["session_id"], first.content["session_id"], "bob has the key of the first");
  const event = asEvent(ROOM, BOT.userId, second.content, "$answer");
  assert.deepEqual(await alice.read(event), { n: 2 });
  assert.equal(typeof (await bob.read(event)), "string");
  await bot.verify(bob.userId);
  const third = await say([alice, bob], { n: 3 });
  assert.deepEqual(third.changed, []);
  assert.deepEqual(await bob.read(asEvent(ROOM, BOT.userId, third.content, "$third")), { n: 3 });
});

test("an identity that nobody verified may change: its owner can read answers on", async (t) => {
  const { directory, say } = await signedBot(t);
  const bob = await KeyedPerson.create(t, directory, "@bob:example.org", "BOB1", { signed: true });
  await say([bob], { n: 1 });
  await bob.makeIdentity();
  const { content, changed } = await say([bob], { n: 2 });
  assert.deepEqual(changed, []);
  assert.deepEqual(await bob.read(asEvent(ROOM, BOT.userId, content, "$answer")), { n: 2 });
});

test("a device list that claims another user's signature, or another user's device, opens nothing", async (t) => {
  const room = await scene(t);
  const alice = await room.person("alice", { signed: true });
  const mallory = await room.person("mallory", { signed: false });
  const thief = room.directory.devices[mallory.userId]?.["MALLORY1"] ?? {};
  const signedByAlice = room.directory.devices[alice.userId]?.["ALICE1"]?.["signatures"] as JsonObject;
  // Alice's identity for Mallory's own, with her signatures; and Alice's device in Mallory's list.
  for (const kind of ["master_keys", "self_signing_keys"] as const)
    room.directory.signing[kind][mallory.userId] = {
      ...room.directory.signing[kind][alice.userId],
      user_id: mallory.userId,
    };
  thief["signatures"] = { ...(thief["signatures"] as JsonObject), ...signedByAlice };
  room.directory.devices[mallory.userId] = {
    MALLORY1: thief,
    ALICE1: { ...room.directory.devices[alice.userId]?.["ALICE1"] },
  };
  // And Mallory's device in Alice's, under her name.
  room.directory.devices[alice.userId] = {
    ...room.directory.devices[alice.userId],
    MALLORY1: { ...thief, user_id: alice.userId },
  };
  const answer = await room.say([alice, mallory], { n: 1 });
  assert.deepEqual(await readBy(alice, answer), { n: 1 });
  assert.equal(typeof (await readBy(mallory, answer)), "string");
});

test("ten thousand unsigned devices of one member keep nobody else from an answer, and are counted rather than named", async (t) => {
  const room = await scene(t);
  const alice = await room.person("alice", { signed: true });
  const crowd = "@crowd:example.org";
  room.directory.addUnsignedDevices(crowd, 10_000);
  await room.sync();
  const users = [alice.userId, crowd as UserId];
  const answer = await room.engine.encrypt(targetOf(ROOM, users), "x.answer", { n: 1 }, AbortSignal.timeout(60_000));
  assert.deepEqual(await readBy(alice, answer), { n: 1 });
  assert.deepEqual(answer.unreadableFor, [{ userId: crowd, reason: "unsigned" }]);
  assert.deepEqual([answer.withheldCount, answer.withheldFrom.length], [10_000, 1_000]);
  const next = await room.engine.encrypt(targetOf(ROOM, users), "x.answer", { n: 2 }, AbortSignal.timeout(60_000));
  assert.equal(next.content["session_id"], answer.content["session_id"]);
});
