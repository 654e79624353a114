import assert from "node:assert/strict";
import { test } from "node:test";
import { type Outbox } from "../../../src/journal/outbox.ts";
import { NO_END, type Draft } from "../../../src/journal/outboxEntry.ts";
import type { EventId, RoomId, TxnId } from "../../../src/protocol/ids.ts";
import { ROOM, batch, event, openJournal, update } from "../../support/journal.ts";

const START = 1_700_000_000_000;

function draft(cause: string, expiresAt: number, purpose = "response"): Draft {
  return {
    causeEventId: cause as EventId,
    purpose,
    lane: "response",
    roomId: ROOM,
    type: "m.response.status",
    content: { cause },
    mustEncrypt: false,
    txnId: `txn-${cause}-${purpose}` as TxnId,
    expiresAt,
  };
}

const claim = (outbox: Outbox, max = 10) => outbox.claim("response", { max, perRoom: 10, busy: [], leaseMs: 60_000 });
const causes = async (outbox: Outbox, max = 10) => (await claim(outbox, max)).map((entry) => entry.causeEventId);

test("the answer that has to arrive first is handed out first", async (t) => {
  const { outbox, clock } = openJournal(t);
  outbox.insert(
    [draft("$late", START + 90_000), draft("$early", START + 1_000), draft("$middle", START + 5_000)],
    clock.now(),
  );
  assert.deepEqual(await causes(outbox, 2), ["$early", "$middle"]);
  assert.deepEqual(await causes(outbox), ["$late"], "what is being sent is not handed out again");
});

test("an event has one answer for each purpose, ever: neither a second draft nor one after the sending makes another", async (t) => {
  const { outbox, clock } = openJournal(t);
  outbox.insert([draft("$a", START + 1_000), draft("$a", START + 2_000)], clock.now());
  const [entry, ...more] = await claim(outbox);
  assert(entry);
  assert.deepEqual([entry.expiresAt, more], [START + 1_000, []]);
  await outbox.finish(entry, { kind: "sent", eventId: "$answer" as EventId });
  outbox.insert([draft("$a", START + 3_000)], clock.now());
  assert.deepEqual(await causes(outbox), []);
  outbox.insert([draft("$a", START + 3_000, "receipt")], clock.now());
  assert.deepEqual(await causes(outbox), ["$a"]);
});

test("what is to be tried again waits for its time, and keeps its transaction ID and its doubt", async (t) => {
  const { outbox, clock } = openJournal(t);
  outbox.insert([draft("$a", START + 90_000)], clock.now());
  const [first] = await claim(outbox);
  assert(first);
  await outbox.finish(first, { kind: "retry", notBefore: START + 500, doubtful: true });
  assert.deepEqual(await causes(outbox), []);
  assert.equal(outbox.nextAttemptAt("response"), START + 500);
  clock.time += 500;
  const [again] = await claim(outbox);
  assert.deepEqual(again, { ...first, attempts: 1, doubtful: true });
});

test("what a process that died was sending is handed out again after the restart, under the same transaction ID", async (t) => {
  const before = openJournal(t);
  before.outbox.insert([draft("$a", START + 90_000)], before.clock.now());
  const [taken] = await claim(before.outbox);
  before.database.close();
  const after = openJournal(t, before.directory);
  assert.deepEqual(await claim(after.outbox), [taken]);
});

test("content goes when an answer is finished, and its row when its event is forgotten", async (t) => {
  const { outbox, inbox, clock, database } = openJournal(t);
  const cause = event();
  await inbox.accept(batch({ rooms: [update({ timeline: [cause] })] }));
  outbox.insert([draft(cause.event_id, START + 90_000)], clock.now());
  const [entry] = await claim(outbox);
  assert(entry);
  await outbox.finish(entry, { kind: "dropped", reason: "expired", doubtful: false });
  assert.deepEqual(database.prepare("SELECT content, state, reason FROM outbox").all(), [
    { content: null, state: "dropped", reason: "expired" },
  ]);
  clock.time += 1_000;
  assert.equal(await outbox.clean(clock.now(), 10), 0, "its event may come again");
  database.prepare("DELETE FROM inbox").run();
  assert.equal(await outbox.clean(clock.now(), 10), 1);
});

test("a room with many answers leaves places for the others, and counts what is being sent already", async (t) => {
  const { outbox, clock } = openJournal(t);
  const other = "!other:example.org" as typeof ROOM;
  const flood = Array.from({ length: 10 }, (_, place) => draft(`$flood${place}`, START + 1_000 + place));
  outbox.insert([...flood, { ...draft("$lone", START + 90_000), roomId: other }], clock.now());
  const claimed = await outbox.claim("response", { max: 8, perRoom: 4, busy: [ROOM, ROOM], leaseMs: 60_000 });
  assert.deepEqual(
    claimed.map((entry) => entry.causeEventId),
    ["$flood0", "$flood1", "$lone"],
  );
});

const notice = (): Draft => ({ ...draft(ROOM, NO_END, "join_notice"), lane: "notice" });
const claimNotice = async (outbox: Outbox) => {
  const [entry] = await outbox.claim("notice", { max: 1, perRoom: 1, busy: [], leaseMs: 60_000 });
  assert(entry);
  return entry;
};

test("a room that was told once is never told again, however long ago it was", async (t) => {
  const { outbox, clock, inbox } = openJournal(t);
  await inbox.accept(batch({ rooms: [update()] }));
  assert.deepEqual(outbox.roomsWithout("join_notice"), [ROOM]);
  outbox.enqueue([notice()]);
  assert.deepEqual(outbox.roomsWithout("join_notice"), [], "it is about to be told");
  await outbox.finish(await claimNotice(outbox), { kind: "sent", eventId: "$notice" as EventId });
  clock.time += 10 * 365 * 86_400_000;
  await outbox.clean(clock.now(), 100);
  assert.deepEqual(outbox.roomsWithout("join_notice"), []);
});

test("a room that was left before it could be told is told when we are in it again; one for which it is too long is not asked again", async (t) => {
  const { outbox, inbox } = openJournal(t);
  await inbox.accept(batch({ rooms: [update()] }));
  outbox.enqueue([notice()]);
  await inbox.accept(batch({ rooms: [update({ membership: "leave" })] }));
  await outbox.finish(await claimNotice(outbox), { kind: "dropped", reason: "not_in_room", doubtful: false });
  assert.deepEqual(outbox.roomsWithout("join_notice"), [], "nobody is told in a room that we are not in");
  await inbox.accept(batch({ rooms: [update()] }));
  assert.deepEqual(outbox.roomsWithout("join_notice"), [ROOM]);
  outbox.enqueue([notice()]);
  await outbox.finish(await claimNotice(outbox), { kind: "dropped", reason: "too_large", doubtful: false });
  assert.deepEqual(outbox.roomsWithout("join_notice"), []);
});

test("a notice that waits in words that no longer count, or for a room that was left, is taken back; one that is being sent is not", async (t) => {
  const { outbox, inbox } = openJournal(t);
  const other = "!other:example.org" as RoomId;
  await inbox.accept(batch({ rooms: [update(), update({ roomId: other })] }));
  outbox.enqueue([notice(), { ...notice(), causeEventId: other as string as EventId, roomId: other }]);
  outbox.withdrawNotices("join_notice", notice().content);
  assert.deepEqual(outbox.roomsWithout("join_notice"), [], "they count");
  await inbox.accept(batch({ rooms: [update({ roomId: other, membership: "leave" })] }));
  outbox.withdrawNotices("join_notice", notice().content);
  await inbox.accept(batch({ rooms: [update({ roomId: other })] }));
  assert.deepEqual(outbox.roomsWithout("join_notice"), [other], "it was left");
  const entry = await claimNotice(outbox);
  outbox.withdrawNotices("join_notice", null);
  assert.deepEqual(outbox.roomsWithout("join_notice"), [other], "it is being sent");
  await outbox.release(entry);
  outbox.withdrawNotices("join_notice", { body: "other words" });
  assert.equal(outbox.roomsWithout("join_notice").length, 2);
});

const receiptDraft = (place: number, room = ROOM): Draft => ({
  ...draft(`$event${place}`, START + 86_400_000, "receipt"),
  lane: "receipt",
  roomId: room,
});

test("receipts are taken by their time alone, a bounded number at once, and each once", async (t) => {
  const { outbox, clock } = openJournal(t);
  outbox.enqueue([1, 2, 3, 4].map((place) => receiptDraft(place)));
  const take = async (max: number) =>
    (await outbox.claimDue("receipt", { max, leaseMs: 60_000 })).map((entry) => entry.causeEventId);
  const [first] = await outbox.claimDue("receipt", { max: 1, leaseMs: 60_000 });
  assert(first);
  await outbox.finish(first, { kind: "retry", notBefore: START + 500, doubtful: true });
  assert.equal((await take(2)).length, 2);
  assert.equal((await take(9)).length, 1, "one waits for its time, two are being sent");
  clock.time += 500;
  assert.deepEqual(await take(9), [first.causeEventId]);
});

test("of too many receipts the oldest are given up, and none that is being sent", async (t) => {
  const { outbox } = openJournal(t);
  outbox.enqueue([1, 2, 3, 4, 5].map((place) => receiptDraft(place)));
  assert.equal(await outbox.dropOldest("receipt", 5, 10), 0);
  const [sending] = await outbox.claimDue("receipt", { max: 1, leaseMs: 60_000 });
  assert.equal(sending?.causeEventId, "$event1");
  assert.equal(await outbox.dropOldest("receipt", 2, 1), 1);
  assert.equal(await outbox.dropOldest("receipt", 2, 10), 1);
  const left = await outbox.claimDue("receipt", { max: 9, leaseMs: 60_000 });
  assert.deepEqual(
    left.map((entry) => entry.causeEventId),
    ["$event4", "$event5"],
  );
});

test("each lane hears of its own changes: none takes them from the others", async (t) => {
  const { outbox } = openJournal(t);
  const woken: string[] = [];
  const { signal } = new AbortController();
  const waiting = (["response", "receipt", "notice"] as const).map((lane) =>
    outbox.changed(lane, signal, 60_000).then(() => woken.push(lane)),
  );
  outbox.announce(["notice", "response", "receipt"]);
  await Promise.all(waiting);
  assert.deepEqual(woken.toSorted(), ["notice", "receipt", "response"]);
});
