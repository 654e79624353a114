/** What the doctor reads of the journal. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { takeCensus } from "../../../src/journal/census.ts";
import { IdentityChanges } from "../../../src/journal/identityChanges.ts";
import type { Draft } from "../../../src/journal/outboxEntry.ts";
import type { EventId, RoomId, TxnId } from "../../../src/protocol/ids.ts";
import { ALICE, BOT, batch, event, openJournal, ROOM, stateEvent, update } from "../../support/journal.ts";

const draft = (cause: string, lane: Draft["lane"]): Draft => ({
  causeEventId: cause as EventId,
  purpose: "response",
  lane,
  roomId: ROOM,
  type: "m.response.status",
  content: {},
  mustEncrypt: false,
  txnId: cause as TxnId,
  expiresAt: Number.MAX_SAFE_INTEGER,
});

test("an empty journal has nothing to tell", (t) => {
  const { database, clock } = openJournal(t);
  assert.deepEqual(takeCensus(database, clock.now()), {
    inbox: { new: 0, ready: 0, oldestReceivedAt: null },
    parked: { count: 0, beforeJoin: 0, oldestParkedAt: null, reasons: [] },
    givenUp: [],
    gaps: [],
    outbox: { response: 0, receipt: 0, notice: 0 },
    answers: { oldestQueuedAt: null, doubtful: 0 },
    dropped: [],
    droppedDoubtful: 0,
    trust: { withheld: [], untrusted: { count: 0, senders: 0 }, identityChanges: [] },
    copySign: null,
    joined: [],
  });
});

test("what waits, is parked, given up, missing and dropped is counted, with its reasons and ages", async (t) => {
  const { database, clock, inbox, outbox } = openJournal(t);
  const start = clock.time;
  const join = stateEvent("m.room.member", BOT, { membership: "join" });
  const [early, late, lost, open] = [event(), event(), event(), event()];
  await inbox.accept(
    batch({
      receivedAt: start,
      rooms: [
        update({ timeline: [early, join, late, lost], encryptionSeen: true }),
        update({ roomId: "!left:example.org" as RoomId, membership: "leave" }),
      ],
    }),
  );
  const since = inbox.position();
  await inbox.accept(
    batch({ since, receivedAt: start + 1, rooms: [update({ timeline: [open], limited: true, prevBatch: "back" })] }),
  );
  const entries = new Map((await inbox.takeNew(10)).map((entry) => [entry.event.event_id, entry]));
  const entry = (of: { event_id: EventId }) => {
    const found = entries.get(of.event_id);
    assert(found);
    return found;
  };
  const park = (of: { event_id: EventId }, reason: string) =>
    ({ entry: entry(of), route: { kind: "park", sessionId: "s", reason } }) as const;
  const decision = { decision: "given_up", reason: "waited_too_long" } as const;
  const settle = { kind: "settle", decision, expiresAt: null, drafts: [] } as const;
  await inbox.route(
    [park(early, "no_session"), park(late, "withheld"), { entry: entry(lost), route: settle }],
    inbox.keyEpoch(),
  );
  outbox.enqueue([draft("$a", "response"), draft("$b", "response"), draft("$c", "notice")]);
  clock.time += 5_000;
  const [first, second] = await outbox.claim("response", { max: 2, leaseMs: 1, perRoom: 2, busy: [] });
  assert(first !== undefined && second !== undefined);
  await outbox.finish(first, { kind: "retry", notBefore: 0, doubtful: true });
  await outbox.finish(second, { kind: "dropped", reason: "expired", doubtful: true });

  assert.deepEqual(takeCensus(database, start), {
    inbox: { new: 2, ready: 0, oldestReceivedAt: start },
    parked: { count: 1, beforeJoin: 1, oldestParkedAt: start, reasons: [{ about: "withheld", count: 1 }] },
    givenUp: [{ about: "waited_too_long", count: 1 }],
    gaps: [{ about: ROOM, count: 1 }],
    outbox: { response: 1, receipt: 0, notice: 1 },
    answers: { oldestQueuedAt: start, doubtful: 1 },
    dropped: [{ about: "expired", count: 1 }],
    droppedDoubtful: 1,
    trust: { withheld: [], untrusted: { count: 0, senders: 0 }, identityChanges: [] },
    copySign: null,
    joined: [{ roomId: ROOM, encrypted: true }],
  });
  const later = takeCensus(database, clock.time + 1);
  assert.deepEqual(
    [later.givenUp, later.dropped, later.gaps.length],
    [[], [], 1],
    "what is over is counted from a moment on",
  );
});

test("what is withheld, refused and changed is counted by whom it comes from", async (t) => {
  const { database, clock, inbox } = openJournal(t);
  const since = clock.now();
  const [one, two, three, four] = [event(), event(), event({ sender: BOT }), event()];
  await inbox.accept(batch({ rooms: [update({ timeline: [one, two, three, four] })] }));
  const entries = await inbox.takeNew(10);
  const withheld = { kind: "park", sessionId: "s", reason: "withheld", withheldCode: "m.unverified" } as const;
  const untrusted = { kind: "park", sessionId: "t", reason: "untrusted" } as const;
  const routes = [withheld, withheld, withheld, untrusted];
  await inbox.route(
    entries.map((entry, place) => ({ entry, route: routes[place] ?? untrusted })),
    inbox.keyEpoch(),
  );
  const changes = new IdentityChanges(database, clock);
  await changes.note(ALICE, false);
  await changes.note(ALICE, true);
  assert.deepEqual(takeCensus(database, since).trust, {
    withheld: [{ about: "m.unverified", count: 3, senders: 2 }],
    untrusted: { count: 1, senders: 1 },
    identityChanges: [{ about: ALICE, changes: 2, lastAt: clock.now(), wasVerified: true }],
  });
});
