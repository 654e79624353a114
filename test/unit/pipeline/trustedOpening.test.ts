/** An event is handled with what is known of its sender at that moment. Real keys, a real journal and record; only the wire is short-circuited. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { CryptoEngine } from "../../../src/crypto/cryptoEngine.ts";
import type { DecryptFrom } from "../../../src/crypto/trusted.ts";
import type { Inbox } from "../../../src/journal/inbox.ts";
import type { InboxEntry } from "../../../src/journal/inboxEntry.ts";
import { Recorder } from "../../../src/pipeline/recorder.ts";
import { TrustedOpening, type Opening } from "../../../src/pipeline/trustedOpening.ts";
import type { RoomId } from "../../../src/protocol/ids.ts";
import { RecordStore } from "../../../src/record/recordStore.ts";
import { batch, openJournal, update } from "../../support/journal.ts";
import { KeyDirectory } from "../../support/keyDirectory.ts";
import { KeyedPerson } from "../../support/keyedPerson.ts";
import { loneEngine, noChanges } from "../../support/loneEngine.ts";

const ROOM = "!room:example.org" as RoomId;
const BOT = { userId: "@bot:example.org", deviceId: "BOT" };
const never = new AbortController().signal;

interface Scene {
  readonly alice: KeyedPerson;
  readonly directory: KeyDirectory;
  readonly engine: CryptoEngine;
  readonly inbox: Inbox;
  readonly record: RecordStore;
  readonly recorder: Recorder;
  readonly opening: TrustedOpening;
  sync(): Promise<void>;
  /** An event of hers that a worker has claimed. */
  claimed(): Promise<InboxEntry>;
}

async function scene(
  t: TestContext,
  { signed, decryptFrom = "any" }: { signed: boolean; decryptFrom?: DecryptFrom },
): Promise<Scene> {
  const directory = new KeyDirectory();
  const { engine } = await loneEngine(t, {
    homeserver: directory.homeserver(BOT),
    onSendersChanged: (users) => void inbox.unparkUntrusted(users),
  });
  const { database, clock, inbox } = openJournal(t);
  const record = new RecordStore(database, clock);
  const recorder = new Recorder(record, () => ["*"]);
  const ports = { engine, inbox, recorder, decryptFrom: () => decryptFrom, warnUntrusted: () => true };
  const opening = new TrustedOpening(ports);
  await engine.start();
  const alice = await KeyedPerson.create(t, directory, "@alice:example.org", "ALICE1", { signed });
  const sync = (): Promise<void> => engine.receive({ ...noChanges, ...directory.sync(BOT) }, () => Promise.resolve());
  return {
    alice,
    directory,
    engine,
    inbox,
    record,
    recorder,
    opening,
    sync,
    async claimed() {
      const event = await alice.say(ROOM, [BOT.userId], { n: 1 });
      await sync();
      await inbox.accept(batch({ rooms: [update({ timeline: [event] })] }));
      const [entry] = await inbox.takeNew(1);
      assert.ok(entry !== undefined);
      const { opened } = await opening.open(entry);
      await recorder.keep([{ entry, opened, replayOf: null }]);
      const route = { kind: "ready", deadline: null, expiresAt: null, ordered: false, drafts: [] } as const;
      await inbox.route([{ entry, route }], inbox.keyEpoch());
      const [claimed] = await inbox.claim({ max: 1, perRoom: 1, leaseMs: 60_000 });
      assert.ok(claimed !== undefined);
      return claimed;
    },
  };
}

const levelOf = ({ opened }: Opening): string => (opened.kind === "clear" ? opened.trust.level : opened.reason);

test("what became known of a sender while a handler ran counts when its verdict is settled, and stands in the record", async (t) => {
  const { alice, engine, record, opening, sync, claimed } = await scene(t, { signed: false });
  const entry = await claimed();
  const before = await opening.open(entry);
  assert.equal(levelOf(before), "unsigned_device");
  await alice.makeIdentity();
  await sync();
  await engine.trust.learn(alice.userId, AbortSignal.timeout(60_000));
  const now = await opening.again(entry, before);
  assert.equal(levelOf(now), "cross_signed");
  assert.equal(await opening.again(entry, now), now, "without news it is not opened again");
  const recorded = await record.find(entry.event.event_id);
  assert.ok(recorded?.clear.kind === "clear");
  assert.equal(recorded.clear.trust.level, "unsigned_device", "the entry stays as it was");
  assert.deepEqual(
    recorded.findings.map(({ trust }) => trust?.level),
    ["cross_signed"],
  );
});

test("nobody's first request is said to be untrusted: the devices are waited for, but not for long", async (t) => {
  const { directory, opening, claimed } = await scene(t, { signed: true });
  const held = Promise.withResolvers<void>();
  // She herself has to know whom she gives the key to.
  directory.beforeQuery = ({ userId }) => (userId === BOT.userId ? held.promise : Promise.resolve());
  const entry = await claimed();
  const first = await opening.open(entry);
  assert.deepEqual([levelOf(first), opening.wouldWarn(first.opened)], ["unsigned_device", true]);
  const inVain = opening.settled(entry, first, 40, never);
  assert.equal(levelOf(await inVain), "unsigned_device", "there was no time to wait for longer");
  held.resolve();
  const settled = await opening.settled(entry, first, 90_000, never);
  assert.deepEqual([levelOf(settled), opening.wouldWarn(settled.opened)], ["cross_signed", false]);
});

test("a claimed event whose sender is not trusted goes back to waiting, and comes again with the first news of the sender", async (t) => {
  const { alice, engine, inbox, opening, sync, claimed } = await scene(t, {
    signed: false,
    decryptFrom: "cross_signed",
  });
  const entry = await claimed();
  const now = await opening.open(entry);
  assert.ok(now.opened.kind === "clear");
  assert.equal(opening.accepts(now.opened), false);
  await opening.park(entry, now);
  assert.deepEqual(await inbox.takeNew(1), []);
  await assert.rejects(opening.park(entry, now), { code: "LEASE_LOST" });
  await alice.makeIdentity();
  await sync();
  await engine.trust.learn(alice.userId, AbortSignal.timeout(60_000));
  const [again] = await inbox.takeNew(1);
  assert.equal(again?.event.event_id, entry.event.event_id);
});

test("news of the sender that come while the event is being put back are not missed", async (t) => {
  const { alice, engine, inbox, opening, sync, claimed } = await scene(t, {
    signed: false,
    decryptFrom: "cross_signed",
  });
  const entry = await claimed();
  const stale = await opening.open(entry);
  await alice.makeIdentity();
  await sync();
  await engine.trust.learn(alice.userId, AbortSignal.timeout(60_000));
  await opening.park(entry, stale);
  assert.equal((await inbox.takeNew(1)).length, 1);
});
