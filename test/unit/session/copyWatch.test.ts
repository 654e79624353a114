/** What counts as a sign of an older copy, what does not, and what follows from one. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { OutboundSessions } from "../../../src/crypto/outboundSessions.ts";
import { copyDoubt, settleCopyDoubt } from "../../../src/journal/copyDoubt.ts";
import { SentIndexes } from "../../../src/journal/sentIndexes.ts";
import { silentLogger } from "../../../src/logging.ts";
import type { DeviceId, RoomId, SyncToken, UserId } from "../../../src/protocol/ids.ts";
import { CopyWatch } from "../../../src/session/copyWatch.ts";
import { Vitals } from "../../../src/vitals.ts";
import { ALICE, BOT, event, openJournal, ROOM, stateEvent, update } from "../../support/journal.ts";

const DEVICE = "DOCKETBOT" as DeviceId;
const SINCE = "s1" as SyncToken;
const OTHER_ROOM = "!other:example.org" as RoomId;

/** As Megolm writes it: the version, the index, a ciphertext; then MAC and signature, which nobody looks at here. */
function ciphertextAt(index: number): string {
  assert.ok(index < 0x80);
  return Buffer.concat([Buffer.of(3, 0x08, index, 0x12, 2, 1, 1), Buffer.alloc(72)]).toString("base64");
}

function message(sessionId: string, index: number, { sender = BOT, deviceId = DEVICE as string } = {}) {
  const content = { session_id: sessionId, ciphertext: ciphertextAt(index), device_id: deviceId };
  return event({ type: "m.room.encrypted", sender, content });
}

function open(t: TestContext) {
  const journal = openJournal(t);
  const { database, clock } = journal;
  const sent = new SentIndexes(database);
  const start = () => {
    const outbound = new OutboundSessions(true);
    const vitals = new Vitals();
    const identity = { userId: BOT, deviceId: DEVICE, ed25519: "", curve25519: "" };
    const watch = new CopyWatch({ database, engine: { identity, outbound }, clock, log: silentLogger, vitals });
    const look = (events: ReturnType<typeof message>[], { limited = false, entered = false } = {}): void =>
      watch.look([update({ timeline: events, limited })], SINCE, new Set(entered ? [ROOM] : []));
    return { watch, look, outbound, vitals };
  };
  return { ...journal, sent, start };
}

test("a room key from before the start is used again only after the first sync, and not where that left something out", (t) => {
  const { sent, start } = open(t);
  sent.noteComplete();
  sent.note(ROOM, "ours", 3);
  const first = start();
  assert.equal(first.outbound.isDoubted(ROOM), true);
  first.look([message("ours", 3)]);
  assert.equal(first.outbound.isDoubted(ROOM), false);
  const second = start();
  second.look([message("ours", 3)], { limited: true });
  assert.equal(second.outbound.isDoubted(ROOM), true);
  assert.equal(second.outbound.isDoubted(OTHER_ROOM), false);
  assert.deepEqual(
    [first, second].map(({ vitals }) => vitals.notes()),
    [[], []],
  );
});

test("a message of this device that is further on than its key, or under a key that is not known, is the sign of a copy", (t) => {
  for (const newer of [message("ours", 4), message("unknown", 0)]) {
    const { sent, start, database } = open(t);
    sent.noteComplete();
    sent.note(ROOM, "ours", 3);
    const { look, outbound, vitals } = start();
    look([message("ours", 3)]);
    assert.equal(outbound.isDoubted(ROOM), false);
    look([newer]);
    assert.equal(copyDoubt(database)?.sign, "newer_message");
    assert.equal(outbound.isDoubted(ROOM), true, "whatever the first sync said");
    assert.match(vitals.notes().join(), /older copy.*docket data restored/);
  }
});

test("what others send, and other devices of the account, is no sign, nor what an older version of Docket sent", (t) => {
  const { sent, start, database } = open(t);
  const { look } = start();
  look([message("from before", 0)]);
  assert.equal(sent.complete, true);
  look([
    message("theirs", 9, { sender: ALICE as UserId }),
    message("another's", 9, { deviceId: "PHONE" }),
    event({ type: "m.room.encrypted", sender: BOT, content: {} }),
  ]);
  assert.equal(copyDoubt(database), null);
});

test("whoever removes the bot and invites it again raises no alarm with what it said before; what comes after its return still does", (t) => {
  const membership = (is: string) => stateEvent("m.room.member", BOT, { membership: is });
  const before = message("from before they were counted", 7);
  for (const timeline of [
    [before, membership("leave"), membership("invite"), membership("join")],
    [before, membership("join")],
    [membership("join"), before, membership("leave"), membership("join")],
  ]) {
    const { sent, start, database } = open(t);
    sent.noteComplete();
    const { look } = start();
    look(timeline, { entered: true });
    assert.equal(copyDoubt(database), null);
    look([...timeline, message("another copy's", 0), membership("join")], { entered: true });
    assert.equal(copyDoubt(database)?.sign, "newer_message");
  }
  const { sent, start, database } = open(t);
  sent.noteComplete();
  start().look([message("another copy's", 0)], { entered: true, limited: true });
  assert.equal(
    copyDoubt(database)?.sign,
    "newer_message",
    "the return was left out of the timeline, so all of it is later",
  );
});

test("the doubt outlives a restart, no sync ends it, and the operator does", (t) => {
  const { sent, start, database, clock } = open(t);
  sent.noteComplete();
  start().watch.raise("one_time_keys");
  const again = start();
  again.look([]);
  assert.equal(again.outbound.isDoubted(ROOM), true);
  assert.equal(again.vitals.facts().copySign, "one_time_keys");
  settleCopyDoubt(database, clock.now());
  const settled = start();
  // What the other copy sent comes with the first sync, and says nothing new.
  settled.look([message("the other's", 7)]);
  assert.equal(settled.outbound.isDoubted(ROOM), false);
  assert.equal(copyDoubt(database), null);
});
