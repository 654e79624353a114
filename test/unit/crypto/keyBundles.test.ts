/** History that is shared with an invitation (MSC4268): the real library on both sides, and a homeserver in memory. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { systemClock } from "../../../src/clock.ts";
import type { CryptoEngine } from "../../../src/crypto/cryptoEngine.ts";
import { KeyStore } from "../../../src/crypto/keyStore.ts";
import { Database } from "../../../src/journal/database.ts";
import { createLogger, silentLogger } from "../../../src/logging.ts";
import { Metrics } from "../../../src/metrics.ts";
import type { RoomId, UserId } from "../../../src/protocol/ids.ts";
import type { JsonObject } from "../../../src/protocol/json.ts";
import { asEvent } from "../../support/cryptoPeer.ts";
import { forgedBundle, HistorySharer, openBundle, type Bundle } from "../../support/historySharer.ts";
import { KeyDirectory } from "../../support/keyDirectory.ts";
import { loneEngine, noChanges } from "../../support/loneEngine.ts";
import { temporaryDirectory } from "../../support/temporaryDirectory.ts";

const BOT = "@bot:example.org" as UserId;
const ALICE = "@alice:example.org" as UserId;
const MALLORY = "@mallory:example.org" as UserId;
const ROOM = "!room:example.org" as RoomId;
const URI = "mxc://example.org/bundle";
/** Far more than anything here takes on a busy machine. */
const PATIENCE_MS = 30_000;
const DAY_MS = 24 * 60 * 60_000;

/** A key store on disk, which the next bot opens again. */
interface Store {
  readonly keyStore: KeyStore;
  readonly database: Database;
  close(): Promise<void>;
}

interface Bot {
  readonly engine: CryptoEngine;
  readonly fatal: readonly Error[];
  readonly metrics: Metrics;
  readonly store: Store | null;
  /** Resolves when the log has a line like that, past or future. */
  logged(what: RegExp): Promise<JsonObject>;
  wokenIn(roomId: RoomId): Promise<void>;
}

interface BotWorld {
  readonly store?: Store | null;
  /** How far the bot's clock is ahead, in milliseconds. */
  readonly time?: { aheadMs: number };
  readonly wakeRoom?: ((roomId: RoomId) => Promise<void>) | null;
}

async function startBot(t: TestContext, directory: KeyDirectory, world: BotWorld): Promise<Bot> {
  const lines: string[] = [];
  const woken: RoomId[] = [];
  const listeners: (() => void)[] = [];
  const tell = (): void => listeners.splice(0).forEach((listener) => listener());
  const until = async <T>(found: () => T | undefined): Promise<T> => {
    const impatience = setTimeout(tell, PATIENCE_MS);
    const end = performance.now() + PATIENCE_MS - 1;
    try {
      for (;;) {
        const value = found();
        if (value !== undefined) return value;
        if (performance.now() > end) throw new Error(`waited in vain; the log so far:\n${lines.join("")}`);
        await new Promise<void>((resolve) => listeners.push(resolve));
      }
    } finally {
      clearTimeout(impatience);
    }
  };
  const log = createLogger("debug", {
    write: (text) => {
      lines.push(text);
      tell();
    },
  });
  const wakeRoom = (roomId: RoomId): Promise<void> => {
    woken.push(roomId);
    tell();
    return Promise.resolve();
  };
  const metrics = new Metrics();
  const { engine, fatal } = await loneEngine(t, {
    homeserver: directory.homeserver({ userId: BOT, deviceId: "BOT" }),
    keyStore: world.store?.keyStore ?? null,
    clock: { ...systemClock, now: () => systemClock.now() + (world.time?.aheadMs ?? 0) },
    log,
    metrics,
    ...(world.wakeRoom === null ? {} : { wakeRoom: world.wakeRoom ?? wakeRoom }),
  });
  await engine.start();
  return {
    engine,
    fatal,
    metrics,
    store: world.store ?? null,
    logged: async (what) => JSON.parse(await until(() => lines.find((line) => what.test(line)))) as JsonObject,
    wokenIn: async (roomId) => void (await until(() => woken.find((one) => one === roomId))),
  };
}

interface Shared {
  readonly uri?: string;
  readonly from?: HistorySharer;
}

interface Scene {
  readonly directory: KeyDirectory;
  readonly alice: HistorySharer;
  readonly bundle: Bundle;
  bot: Bot;
  /** By default Alice: uploads a bundle, and tells the bot where it is. */
  share(bundle?: Bundle, how?: Shared): Promise<void>;
  /** The same, and the bot's next sync brings it. */
  tell(bundle?: Bundle, how?: Shared): Promise<void>;
  sync(changedUsers?: readonly string[]): Promise<void>;
  /** Resolves when the bundle has been asked for so many times. */
  asked(times: number): Promise<void>;
  /** Resolves when what the bot had to do before has been done: a bundle for another room, from the invitation to the end. */
  settled(): Promise<void>;
  /** What the bot reads of what Alice said before it came, or why it can't. */
  reads(): Promise<string>;
}

async function scene(t: TestContext, world: BotWorld = {}): Promise<Scene> {
  const directory = new KeyDirectory();
  const bot = await startBot(t, directory, world);
  await (await person(t, directory, BOT, "OWNER")).sign("BOT");
  const alice = await person(t, directory, ALICE, "ALICE");
  const [said = {}] = await alice.say(ROOM, { body: "before you came" });
  const bundle = await alice.bundle(ROOM);
  let markers = 0;
  const it: Scene = {
    directory,
    alice,
    bundle,
    bot,
    async share(shared = bundle, { uri = URI, from = alice } = {}) {
      if (!directory.media.has(uri)) directory.media.set(uri, shared.bytes);
      await from.share(BOT, ROOM, uri, shared);
    },
    async tell(shared, how) {
      await it.share(shared, how);
      await it.sync();
    },
    async sync(changedUsers = []) {
      const { engine, store } = it.bot;
      const { toDevice } = directory.sync({ userId: BOT, deviceId: "BOT" });
      await engine.receive({ ...noChanges, toDevice, changedUsers }, async ({ held }) =>
        store?.database.transaction(() => held.apply()),
      );
    },
    async asked(times) {
      const end = performance.now() + PATIENCE_MS;
      while (downloads(it) < times && performance.now() < end) await new Promise((resolve) => setImmediate(resolve));
      assert.ok(downloads(it) >= times);
    },
    async settled() {
      const roomId = `!marker${(markers += 1)}:example.org` as RoomId;
      const uri = `mxc://example.org/marker${markers}`;
      await alice.say(roomId, {});
      const marker = await alice.bundle(roomId);
      directory.media.set(uri, marker.bytes);
      await alice.share(BOT, roomId, uri, marker);
      await it.bot.engine.bundles.expect(roomId, ALICE);
      it.bot.engine.bundles.joined(roomId);
      await it.sync();
      await it.bot.wokenIn(roomId);
    },
    async reads() {
      const decrypted = await it.bot.engine.decrypt(asEvent(ROOM, ALICE, said, "$before"));
      return decrypted.kind === "decrypted" ? String(decrypted.content["body"]) : decrypted.reason;
    },
  };
  return it;
}

async function person(
  t: TestContext,
  directory: KeyDirectory,
  userId: UserId,
  deviceId: string,
): Promise<HistorySharer> {
  const made = await HistorySharer.start({ userId, deviceId }, directory.homeserver({ userId, deviceId }));
  t.after(() => made.close());
  return made;
}

async function accept({ bot }: Scene, inviter = ALICE): Promise<void> {
  await bot.engine.bundles.expect(ROOM, inviter);
  bot.engine.bundles.joined(ROOM);
}

async function counted({ bot }: Scene): Promise<Record<string, number>> {
  const { values } = await bot.metrics.keyBundles.get();
  return Object.fromEntries(values.map(({ labels, value }) => [String(labels.outcome), value]));
}

const TAKEN = new RegExp(`"roomId":"${ROOM}".*"keys":[1-9]`);
const refusedAs = (outcome: string): RegExp => new RegExp(`"roomId":"${ROOM}".*"outcome":"${outcome}"`);
const downloads = ({ directory }: Scene): number => directory.asked.filter((asked) => asked === URI).length;

test("what was said before the bot came is readable with the bundle that came with the invitation", async (t) => {
  const it = await scene(t);
  await it.tell();
  assert.equal(await it.reads(), "no_session");
  await accept(it);
  const line = await it.bot.logged(TAKEN);
  assert.deepEqual([line["inviter"], line["keys"]], [ALICE, 1]);
  assert.equal(await it.reads(), "before you came");
  await it.bot.wokenIn(ROOM);
  assert.deepEqual(await counted(it), { taken: 1 });
});

test("a bundle that comes after the join is taken too", async (t) => {
  const it = await scene(t);
  await accept(it);
  await it.settled();
  assert.equal(await it.reads(), "no_session");
  await it.tell();
  await it.bot.logged(TAKEN);
  assert.equal(await it.reads(), "before you came");
});

test("nothing is downloaded before the bot is in the room", async (t) => {
  const it = await scene(t);
  await it.bot.engine.bundles.expect(ROOM, ALICE);
  await it.tell();
  await it.settled();
  assert.equal(downloads(it), 0);
  it.bot.engine.bundles.joined(ROOM);
  await it.bot.logged(TAKEN);
});

test("nothing is downloaded for an invitation that came to nothing", async (t) => {
  const it = await scene(t);
  await it.bot.engine.bundles.expect(ROOM, ALICE);
  await it.bot.engine.bundles.forget(ROOM);
  it.bot.engine.bundles.joined(ROOM);
  await it.tell();
  await it.settled();
  assert.equal(downloads(it), 0);
});

test("a bundle of somebody who did not invite the bot is not even downloaded", async (t) => {
  const it = await scene(t);
  const mallory = await person(t, it.directory, MALLORY, "MALLORY");
  await accept(it);
  await it.tell(it.bundle, { from: mallory });
  await it.settled();
  assert.equal(downloads(it), 0);
  assert.equal(await it.reads(), "no_session");
});

test("a bundle from a device that its owner has not signed is refused, counted and said; once it is signed, it is taken", async (t) => {
  const it = await scene(t);
  const { self_signing_keys: selfSigningKeys, master_keys: masterKeys } = it.directory.signing;
  const [selfSigning = {}, master = {}] = [selfSigningKeys[ALICE], masterKeys[ALICE]];
  await it.share();
  delete selfSigningKeys[ALICE];
  delete masterKeys[ALICE];
  await it.sync();
  await accept(it);
  await it.bot.logged(refusedAs("untrusted"));
  assert.equal(await it.reads(), "no_session");
  assert.deepEqual([await counted(it), downloads(it)], [{ untrusted: 1 }, 0]);
  selfSigningKeys[ALICE] = selfSigning;
  masterKeys[ALICE] = master;
  await it.sync([ALICE]);
  await it.bot.logged(TAKEN);
  assert.equal(await it.reads(), "before you came");
});

test("a device that is signed while the bot still waits for an older answer about it is looked at again at once", async (t) => {
  const it = await scene(t);
  const { directory } = it;
  const { self_signing_keys: selfSigningKeys, master_keys: masterKeys } = directory.signing;
  const [selfSigning = {}, master = {}] = [selfSigningKeys[ALICE], masterKeys[ALICE]];
  await it.share();
  delete selfSigningKeys[ALICE];
  delete masterKeys[ALICE];
  await it.sync();
  const [asked, held] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const answer = directory.answer.bind(directory);
  directory.answer = async (from, method, endpoint, body) => {
    const reply = await answer(from, method, endpoint, body);
    if (from.userId !== BOT || !endpoint.endsWith("/keys/query")) return reply;
    directory.answer = answer;
    asked.resolve();
    await held.promise;
    return reply;
  };
  await accept(it);
  await asked.promise;
  selfSigningKeys[ALICE] = selfSigning;
  masterKeys[ALICE] = master;
  await it.sync([ALICE]);
  held.resolve();
  await it.bot.logged(TAKEN);
});

test("a bundle from the one unsigned device of an inviter is refused, whatever their others are, and after a restart too", async (t) => {
  const directory = temporaryDirectory(t);
  const store = await openStore(t, directory);
  const it = await scene(t, { store });
  const { self_signing_keys: selfSigningKeys, master_keys: masterKeys } = it.directory.signing;
  const [selfSigning = {}, master = {}] = [selfSigningKeys[ALICE], masterKeys[ALICE]];
  // Its own identity takes the place of Alice's, which then comes back: nobody of hers has signed it.
  const second = await person(t, it.directory, ALICE, "SECOND");
  const [said = {}] = await second.say(ROOM, { body: "from the second" });
  await it.share(await second.bundle(ROOM), { from: second });
  selfSigningKeys[ALICE] = selfSigning;
  masterKeys[ALICE] = master;
  await it.sync();
  await accept(it);
  await it.bot.logged(refusedAs("untrusted"));
  // After a restart nobody knows any more which of her devices it was. The library does.
  await it.bot.engine.stop();
  await store.close();
  it.bot = await startBot(t, it.directory, { store: await openStore(t, directory) });
  await it.bot.logged(/"keys":0/);
  assert.deepEqual(await counted(it), { nothing_new: 1 });
  const event = asEvent(ROOM, ALICE, said, "$second");
  assert.equal((await it.bot.engine.decrypt(event)).kind, "undecryptable");
});

test("keys in a bundle for other rooms than the one it was sent for are not taken", async (t) => {
  const it = await scene(t);
  const elsewhere = "!other:example.org" as RoomId;
  const [other = {}] = await it.alice.say(elsewhere, { body: "elsewhere" });
  const { room_keys } = openBundle(await it.alice.bundle(elsewhere));
  await it.tell(forgedBundle(JSON.stringify({ ...openBundle(it.bundle), room_keys })));
  await accept(it);
  assert.equal((await it.bot.logged(/"keys":0/))["roomId"], ROOM);
  assert.deepEqual(await counted(it), { nothing_new: 1 });
  const event = asEvent(elsewhere, ALICE, other, "$elsewhere");
  assert.equal((await it.bot.engine.decrypt(event)).kind, "undecryptable");
});

test("what a bundle says about who wrote is never taken for proof", async (t) => {
  const it = await scene(t);
  const mallory = await person(t, it.directory, MALLORY, "MALLORY");
  const [said = {}] = await mallory.say(ROOM, { body: "I, Alice, resign" });
  const theirs = openBundle(await mallory.bundle(ROOM));
  const [honest = {}] = openBundle(it.bundle).room_keys;
  const room_keys = theirs.room_keys.map((key) => ({
    ...key,
    sender_key: honest["sender_key"],
    sender_claimed_keys: honest["sender_claimed_keys"],
  }));
  await it.tell(forgedBundle(JSON.stringify({ ...theirs, room_keys })), { from: mallory });
  await accept(it, MALLORY);
  await it.bot.logged(TAKEN);
  const read = await it.bot.engine.decrypt(asEvent(ROOM, ALICE, said, "$forged"));
  assert.ok(read.kind === "decrypted");
  assert.deepEqual(read.trust, { deviceId: null, level: "unknown_device", keySharedBy: MALLORY });
});

test("what is no bundle, or not the one that was named, is refused after a few looks and never asked for again", async (t) => {
  const it = await scene(t);
  const swapped = { ...forgedBundle("another"), bytes: it.bundle.bytes };
  for (const [place, shared] of [forgedBundle("hello"), forgedBundle('{"room_keys":5}'), swapped].entries()) {
    const asked = downloads(it);
    it.directory.media.set(URI, shared.bytes);
    await accept(it);
    for (let look = 1; look <= 3; look += 1) {
      await it.tell(shared);
      await it.asked(asked + look);
    }
    await it.settled();
    assert.equal((await counted(it))["unusable"], place + 1);
    await it.tell(shared);
    await it.settled();
    assert.equal(downloads(it), asked + 3);
  }
  assert.deepEqual(it.bot.fatal, []);
  // And an honest one, with another invitation, is taken as ever.
  it.directory.media.set(URI, it.bundle.bytes);
  await accept(it);
  await it.tell();
  await it.bot.logged(TAKEN);
});

test("an address that is none is never asked for", async (t) => {
  const it = await scene(t);
  await it.tell(it.bundle, { uri: "https://evil.example/bundle" });
  await accept(it);
  await it.bot.logged(refusedAs("unusable"));
  assert.equal(await it.reads(), "no_session");
});

test("a bundle larger than the limit is refused, and the bot goes on", async (t) => {
  const it = await scene(t);
  it.directory.media.set(URI, new Uint8Array(8 * 1024 * 1024 + 1));
  await it.tell();
  await accept(it);
  await it.bot.logged(refusedAs("too_large"));
  await it.settled();
  assert.deepEqual([it.bot.fatal, downloads(it)], [[], 1]);
});

test("a bundle that can't be downloaded yet is tried again, and said once", async (t) => {
  const it = await scene(t);
  await it.share();
  it.directory.media.delete(URI);
  await it.sync();
  await accept(it);
  await it.bot.logged(refusedAs("unavailable"));
  it.bot.engine.bundles.joined(ROOM);
  await it.asked(2);
  it.directory.media.set(URI, it.bundle.bytes);
  // By itself, after a pause.
  await it.bot.logged(TAKEN);
  assert.deepEqual(await counted(it), { unavailable: 1, taken: 1 });
});

test("a day after the invitation was accepted nothing that was shared counts any more", async (t) => {
  const time = { aheadMs: 0 };
  const it = await scene(t, { time });
  await it.share();
  it.directory.media.delete(URI);
  await it.sync();
  await accept(it);
  await it.bot.logged(refusedAs("unavailable"));
  time.aheadMs = DAY_MS;
  it.bot.engine.bundles.joined(ROOM);
  await it.bot.logged(refusedAs("given_up"));
  time.aheadMs = 0;
  const before = downloads(it);
  await it.tell();
  await it.settled();
  assert.equal(downloads(it), before);
});

test("where nobody wakes what is parked, nothing is taken", async (t) => {
  const it = await scene(t, { wakeRoom: null });
  await accept(it);
  await it.tell();
  // Ends what runs, if anything does.
  await it.bot.engine.stop();
  assert.equal(downloads(it), 0);
});

test("a bot that is killed at any step takes the bundle after its next start, wakes what is parked, and then forgets it", async (t) => {
  const directory = temporaryDirectory(t);
  const it = await scene(t, { store: await openStore(t, directory) });
  const again = async (world: BotWorld = {}): Promise<void> => {
    await it.bot.engine.stop();
    await it.bot.store?.close();
    it.bot = await startBot(t, it.directory, { ...world, store: await openStore(t, directory) });
  };
  await it.bot.engine.bundles.expect(ROOM, ALICE);
  // Killed before it knew that it was in the room, or of the bundle.
  await again();
  await it.share();
  it.directory.media.delete(URI);
  await it.sync();
  await it.bot.logged(refusedAs("unavailable"));
  // Killed before the bundle was there; and then when the keys are there, and nobody was woken yet.
  it.directory.media.set(URI, it.bundle.bytes);
  const killed = new Error("killed");
  const { promise: woke, resolve: wake } = Promise.withResolvers<void>();
  await again({
    wakeRoom: () => {
      wake();
      return Promise.reject(killed);
    },
  });
  await woke;
  await again();
  await it.bot.logged(/"keys":0/);
  assert.equal(await it.reads(), "before you came");
  await it.bot.wokenIn(ROOM);
  await it.settled();
  const before = downloads(it);
  await again();
  await it.settled();
  assert.equal(downloads(it), before);
});

async function openStore(t: TestContext, directory: string): Promise<Store> {
  const database = Database.open(join(directory, "data"));
  const onFatal = (error: Error): never => {
    throw error;
  };
  const keyStore = await KeyStore.open({ database, libraryVersion: "test", onFatal, log: silentLogger });
  keyStore.install();
  const close = async (): Promise<void> => {
    await keyStore.close();
    database.close();
  };
  t.after(close);
  return { keyStore, database, close };
}
