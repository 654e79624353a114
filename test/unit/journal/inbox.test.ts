import assert from "node:assert/strict";
import { test } from "node:test";
import { LeaseLost } from "../../../src/errors.ts";
import type { Draft } from "../../../src/journal/outboxEntry.ts";
import type { EventId, RoomId, SyncToken, TxnId } from "../../../src/protocol/ids.ts";
import { ALICE, BOT, ROOM, batch, event, openJournal, stateEvent, update } from "../../support/journal.ts";

const ready = (deadline: number | null, ordered = false) =>
  ({ kind: "ready", deadline, expiresAt: null, ordered, drafts: [] }) as const;

function draft(cause: EventId): Draft {
  return {
    causeEventId: cause,
    purpose: "response",
    lane: "response",
    roomId: ROOM,
    type: "m.response.status",
    content: {},
    mustEncrypt: false,
    txnId: "txn" as TxnId,
    expiresAt: 1_700_000_090_000,
  };
}

test("a sync is kept as a whole or not at all: a failure leaves no event, no room, no invitation and the old token", async (t) => {
  const { inbox, invites, rooms } = openJournal(t);
  await inbox.accept(batch({ nextBatch: "before" as SyncToken }));
  const failing = batch({
    heldWrites: {
      apply() {
        throw new Error("the key store refused");
      },
    },
    rooms: [update({ timeline: [event()] })],
    invites: [{ roomId: "!other:example.org" as RoomId, joinRule: null, inviter: ALICE }],
  });
  await assert.rejects(inbox.accept(failing), /the key store refused/);
  assert.deepEqual(await inbox.takeNew(10), []);
  assert.equal(inbox.position(), "before");
  assert.equal(rooms.view(ROOM), null);
  assert.equal(invites.next("judge").job, null);
});

test("the token is written with the events that it covers, and both are there after a restart", async (t) => {
  const first = openJournal(t);
  const sent = event();
  await first.inbox.accept(batch({ nextBatch: "covered" as SyncToken, rooms: [update({ timeline: [sent] })] }));
  first.database.close();
  const second = openJournal(t, first.directory);
  assert.equal(second.inbox.position(), "covered");
  assert.deepEqual(
    (await second.inbox.takeNew(10)).map((entry) => entry.event),
    [sent],
  );
});

test("an event ID is taken once, however often the server sends it", async (t) => {
  const { inbox } = openJournal(t);
  const sent = event();
  assert.deepEqual(await inbox.accept(batch({ rooms: [update({ timeline: [sent, sent] })] })), { added: 1, gaps: [] });
  assert.deepEqual(await inbox.accept(batch({ rooms: [update({ timeline: [sent] })] })), { added: 0, gaps: [] });
  assert.equal((await inbox.takeNew(10)).length, 1);
});

test("an entry is settled once: the second to settle loses and writes nothing", async (t) => {
  const { inbox, outbox } = openJournal(t);
  await inbox.accept(batch({ rooms: [update({ timeline: [event()] })] }));
  const [entry] = await inbox.takeNew(1);
  assert(entry);
  await inbox.route([{ entry, route: ready(null) }], inbox.keyEpoch());
  const [claimed] = await inbox.claim({ max: 1, perRoom: 1, leaseMs: 1000 });
  assert(claimed);
  await inbox.settle(claimed, { decision: "answered", reason: "success" }, []);
  await assert.rejects(
    inbox.settle(claimed, { decision: "answered", reason: "timed_out" }, [draft(claimed.event.event_id)]),
    LeaseLost,
  );
  assert.deepEqual(await outbox.claim("response", { max: 10, perRoom: 10, busy: [], leaseMs: 1000 }), []);
});

test("the earliest deadline comes first, and no room has more than its share in work", async (t) => {
  const { inbox, clock } = openJournal(t);
  const quiet = "!quiet:example.org" as RoomId;
  const flood = Array.from({ length: 20 }, () => event());
  const lone = event({ room_id: quiet });
  await inbox.accept(batch({ rooms: [update({ timeline: flood }), update({ roomId: quiet, timeline: [lone] })] }));
  const entries = await inbox.takeNew(100);
  const routes = entries.map((entry, place) => ({
    entry,
    route: ready(entry.event.room_id === quiet ? clock.now() + 60_000 : clock.now() + 30_000 - place),
  }));
  await inbox.route(routes, inbox.keyEpoch());
  const claimed = await inbox.claim({ max: 8, perRoom: 2, leaseMs: 1000 });
  assert.deepEqual(
    claimed.map((entry) => entry.event.event_id),
    [flood[19]?.event_id, flood[18]?.event_id, lone.event_id],
  );
  assert.deepEqual(await inbox.claim({ max: 8, perRoom: 2, leaseMs: 1000 }), [], "what is in work counts");
});

test("ordered entries of a room are handed out one by one in the order of arrival, whatever their deadlines", async (t) => {
  const { inbox, clock } = openJournal(t);
  await inbox.accept(batch({ rooms: [update({ timeline: [event(), event(), event()] })] }));
  const entries = await inbox.takeNew(10);
  await inbox.route(
    entries.map((entry, place) => ({ entry, route: ready(clock.now() + 90_000 - place * 10_000, true) })),
    inbox.keyEpoch(),
  );
  for (const expected of entries) {
    const claimed = await inbox.claim({ max: 8, perRoom: 8, leaseMs: 1000 });
    assert.deepEqual(
      claimed.map((entry) => entry.seq),
      [expected.seq],
    );
    await inbox.settle(expected, { decision: "handled", reason: "success" }, []);
  }
});

test("what was claimed by a process that died is handed out again after the restart", async (t) => {
  const first = openJournal(t);
  await first.inbox.accept(batch({ rooms: [update({ timeline: [event()] })] }));
  const entries = await first.inbox.takeNew(1);
  await first.inbox.route(
    entries.map((entry) => ({ entry, route: ready(null) })),
    first.inbox.keyEpoch(),
  );
  assert.equal((await first.inbox.claim({ max: 1, perRoom: 1, leaseMs: 3_600_000 })).length, 1);
  first.database.close();
  const second = openJournal(t, first.directory);
  assert.equal((await second.inbox.claim({ max: 1, perRoom: 1, leaseMs: 1000 })).length, 1);
});

test("an overdue entry is handed out even if its room is at its limit", async (t) => {
  const { inbox, clock } = openJournal(t);
  await inbox.accept(batch({ rooms: [update({ timeline: [event(), event()] })] }));
  const entries = await inbox.takeNew(10);
  await inbox.route(
    entries.map((entry) => ({ entry, route: ready(clock.now() + 500) })),
    inbox.keyEpoch(),
  );
  await inbox.claim({ max: 1, perRoom: 1, leaseMs: 60_000 });
  assert.equal(inbox.nextDeadline(), clock.now() + 500);
  assert.deepEqual(await inbox.claimOverdue({ max: 10, leaseMs: 1000 }), []);
  clock.time += 500;
  assert.equal((await inbox.claimOverdue({ max: 10, leaseMs: 1000 })).length, 1);
});

test("a parked event becomes new in the same transaction that brings its key", async (t) => {
  const { inbox } = openJournal(t);
  await inbox.accept(batch({ rooms: [update({ timeline: [event({ type: "m.room.encrypted" })] })] }));
  const entries = await inbox.takeNew(1);
  await inbox.route(
    entries.map((entry) => ({ entry, route: { kind: "park", sessionId: "session", reason: "no_session" } as const })),
    inbox.keyEpoch(),
  );
  assert.deepEqual(await inbox.takeNew(1), []);
  await inbox.accept(batch({ newSessions: [{ roomId: ROOM, sessionId: "another" }] }));
  assert.deepEqual(await inbox.takeNew(1), []);
  await inbox.accept(batch({ newSessions: [{ roomId: ROOM, sessionId: "session" }] }));
  assert.equal((await inbox.takeNew(1)).length, 1);
});

test("all that is parked in a room is new again when keys of the room came, and nothing else is; not even what is parked at that moment is missed", async (t) => {
  const { inbox } = openJournal(t);
  await inbox.accept(batch({ rooms: [update({ timeline: [event({ type: "m.room.encrypted" })] })] }));
  const parked = { kind: "park", sessionId: "session", reason: "no_session" } as const;
  const park = async (keyEpoch: number): Promise<void> =>
    inbox.route(
      (await inbox.takeNew(1)).map((entry) => ({ entry, route: parked })),
      keyEpoch,
    );
  await park(inbox.keyEpoch());
  await inbox.unparkRoom("!elsewhere:example.org" as RoomId);
  assert.deepEqual(await inbox.takeNew(1), []);
  const before = inbox.keyEpoch();
  await inbox.unparkRoom(ROOM);
  await park(before);
  assert.equal((await inbox.takeNew(1)).length, 1);
});

test("a key that comes between decryption and parking is not missed", async (t) => {
  const { inbox } = openJournal(t);
  await inbox.accept(batch({ rooms: [update({ timeline: [event({ type: "m.room.encrypted" })] })] }));
  const keyEpoch = inbox.keyEpoch();
  const entries = await inbox.takeNew(1);
  await inbox.accept(batch({ newSessions: [{ roomId: ROOM, sessionId: "session" }] }));
  await inbox.route(
    entries.map((entry) => ({ entry, route: { kind: "park", sessionId: "session", reason: "no_session" } as const })),
    keyEpoch,
  );
  assert.equal((await inbox.takeNew(1)).length, 1);
});

test("parked events are given up by age and by number, the oldest first, and each is named", async (t) => {
  const { inbox, clock } = openJournal(t);
  const events = Array.from({ length: 5 }, () => event({ type: "m.room.encrypted" }));
  for (const parked of events) {
    await inbox.accept(batch({ rooms: [update({ timeline: [parked] })] }));
    const entries = await inbox.takeNew(1);
    await inbox.route(
      entries.map((entry) => ({ entry, route: { kind: "park", sessionId: "s", reason: "no_session" } as const })),
      inbox.keyEpoch(),
    );
    clock.time += 1000;
  }
  const given = await inbox.giveUpParked({ before: clock.now() - 4500, keep: 2, max: 100 });
  assert.deepEqual(
    given.map(({ eventId, reason }) => [eventId, reason]),
    [
      [events[0]?.event_id, "waited_too_long"],
      [events[1]?.event_id, "too_many_parked"],
      [events[2]?.event_id, "too_many_parked"],
    ],
  );
});

test("a redaction that arrives before an event's turn marks it, in whatever place the room version puts the target", async (t) => {
  const { inbox } = openJournal(t);
  const [old, current] = [event(), event()];
  const redactions = [
    { ...event({ type: "m.room.redaction", content: {} }), redacts: old.event_id },
    event({ type: "m.room.redaction", content: { redacts: current.event_id } }),
  ];
  await inbox.accept(batch({ rooms: [update({ timeline: [old, current] })] }));
  await inbox.accept(batch({ rooms: [update({ timeline: redactions })] }));
  const entries = await inbox.takeNew(10);
  assert.deepEqual(
    entries.map((entry) => entry.redacted),
    [true, true, false, false],
  );
});

test("a limited timeline is recorded as a gap with the sync that showed it", async (t) => {
  const { inbox, gaps } = openJournal(t);
  await inbox.accept(
    batch({
      nextBatch: "a" as SyncToken,
      rooms: [update({ timeline: [event()], limited: true, prevBatch: "history" })],
    }),
  );
  assert.deepEqual(gaps.open(), [], "history from before the first sync is nobody's gap");
  await inbox.accept(
    batch({
      since: "a" as SyncToken,
      nextBatch: "b" as SyncToken,
      rooms: [update({ timeline: [event()], limited: true, prevBatch: "p1" })],
    }),
  );
  assert.deepEqual(gaps.open(), [{ roomId: ROOM, prevBatch: "p1", since: "a" }]);
});

test("in a room that is new to us there is a gap only if our own join is not in the timeline", async (t) => {
  const { inbox, gaps } = openJournal(t);
  const join = stateEvent("m.room.member", BOT, { membership: "join" });
  const [seen, unseen] = ["!seen:example.org" as RoomId, "!unseen:example.org" as RoomId];
  await inbox.accept(
    batch({
      since: "a" as SyncToken,
      rooms: [
        update({ roomId: seen, timeline: [{ ...join, room_id: seen }], limited: true, prevBatch: "p1" }),
        update({ roomId: unseen, timeline: [event({ room_id: unseen })], limited: true, prevBatch: "p2" }),
      ],
    }),
  );
  assert.deepEqual(gaps.open(), [{ roomId: unseen, prevBatch: "p2", since: null }]);
});

test("what is no event is kept as it came, once", async (t) => {
  const { inbox, database } = openJournal(t);
  const malformed = [{ roomId: ROOM, raw: { type: 7 }, problem: "event_id is not an identifier" }];
  await inbox.accept(batch({ malformed }));
  await inbox.accept(batch({ malformed }));
  const rows = database.prepare<{ raw: string }>("SELECT raw FROM malformed_events").all();
  assert.deepEqual(rows, [{ raw: '{"type":7}' }]);
});

test("settled rows lose their bodies by age, and their IDs outlive their request by a day", async (t) => {
  const { inbox, clock, database } = openJournal(t);
  await inbox.accept(batch({ rooms: [update({ timeline: [event()] })] }));
  const [entry] = await inbox.takeNew(1);
  assert(entry);
  const dayMs = 24 * 60 * 60 * 1000;
  const expiresAt = clock.now() + 3 * dayMs;
  await inbox.route(
    [
      {
        entry,
        route: { kind: "settle", decision: { decision: "no_answer", reason: "expired" }, expiresAt, drafts: [] },
      },
    ],
    0,
  );
  const rows = () => database.prepare<{ raw: string | null }>("SELECT raw FROM inbox").all();
  clock.time += dayMs;
  await inbox.clean(clock.now() - 2 * dayMs, 100);
  assert.notEqual(rows()[0]?.raw, null);
  clock.time += 2 * dayMs;
  await inbox.clean(clock.now() - 2 * dayMs, 100);
  assert.deepEqual(rows(), [{ raw: null }]);
  clock.time += dayMs;
  await inbox.clean(clock.now() - 2 * dayMs, 100);
  assert.equal(rows().length, 1, "a day after the request's end has not passed yet");
  clock.time += 1;
  await inbox.clean(clock.now() - 2 * dayMs, 100);
  assert.deepEqual(rows(), []);
});

test("ordered entries that wait for one another do not hold up the others of their room", async (t) => {
  const { inbox, clock } = openJournal(t);
  await inbox.accept(batch({ rooms: [update({ timeline: [event(), event(), event(), event()] })] }));
  const entries = await inbox.takeNew(10);
  await inbox.route(
    entries.map((entry, place) => ({ entry, route: ready(clock.now() + 10_000 + place, place < 3) })),
    inbox.keyEpoch(),
  );
  const claimed = await inbox.claim({ max: 8, perRoom: 2, leaseMs: 60_000 });
  assert.deepEqual(
    claimed.map((entry) => entry.seq),
    [entries[0]?.seq, entries[3]?.seq],
  );
});

test("in a room before version 11 the server names what is redacted, not the sender's content", async (t) => {
  const { inbox } = openJournal(t);
  const [own, foreign] = [event(), event()];
  const redaction = event({ type: "m.room.redaction", content: { redacts: foreign.event_id } });
  await inbox.accept(batch({ rooms: [update({ timeline: [own, foreign] })] }));
  await inbox.accept(
    batch({ rooms: [update({ timeline: [{ ...redaction, redacts: own.event_id } as typeof redaction] })] }),
  );
  assert.deepEqual(
    (await inbox.takeNew(2)).map((entry) => entry.redacted),
    [true, false],
  );
});
