/** The depths of the queues: counted by state, over indexes that hold just what is counted. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Depths, inboxStates, lanes } from "../../../src/journal/depths.ts";
import type { EventId, RoomId, TxnId } from "../../../src/protocol/ids.ts";
import { batch, event, openJournal, update } from "../../support/journal.ts";

test("events, messages, gaps and rooms are counted by their state", async (t) => {
  const { database, inbox, outbox, gaps, clock } = openJournal(t);
  const depths = new Depths(database);
  const all = () => ({
    inbox: inboxStates.map((state) => depths.inbox(state)),
    outbox: lanes.map((lane) => depths.outbox(lane)),
    waits: depths.messagesWait(),
    gaps: depths.openGaps(),
    rooms: depths.joinedRooms(),
  });
  assert.deepEqual(all(), { inbox: [0, 0, 0], outbox: [0, 0, 0], waits: false, gaps: 0, rooms: 0 });

  const room = "!room:example.org" as RoomId;
  const timeline = Array.from({ length: 4 }, () => event());
  await inbox.accept(
    batch({ rooms: [update({ roomId: room, timeline }), update({ roomId: "!left" as RoomId, membership: "leave" })] }),
  );
  const entries = await inbox.takeNew(10);
  const ready = { kind: "ready", deadline: null, expiresAt: null, ordered: false, drafts: [] } as const;
  await inbox.route(
    [
      { entry: entries[0]!, route: { kind: "park", sessionId: "s", reason: "no_session" } },
      { entry: entries[1]!, route: ready },
      { entry: entries[2]!, route: ready },
    ],
    inbox.keyEpoch(),
  );
  const draft = (lane: "response" | "receipt", place: number) => ({
    causeEventId: `$${place}` as EventId,
    purpose: lane,
    lane,
    roomId: room,
    type: "m.x",
    content: {},
    mustEncrypt: false,
    txnId: String(place) as TxnId,
    expiresAt: clock.now() + 1_000,
  });
  outbox.insert([draft("receipt", 1)], clock.now());
  assert.equal(depths.messagesWait(), false, "a receipt is no message");
  outbox.insert([draft("response", 2), draft("response", 3)], clock.now());
  gaps.record({ roomId: room, prevBatch: "p", since: null }, clock.now());
  assert.deepEqual(all(), { inbox: [1, 1, 2], outbox: [2, 1, 0], waits: true, gaps: 1, rooms: 1 });
});

test("counting a queue reads an index of that queue, and never the whole table", (t) => {
  const { database } = openJournal(t);
  const asked: string[] = [];
  const prepare = database.prepare.bind(database);
  database.prepare = <Row>(sql: string) => {
    asked.push(sql);
    return prepare<Row>(sql);
  };
  const depths = new Depths(database);
  for (const state of inboxStates) depths.inbox(state);
  for (const lane of lanes) depths.outbox(lane);
  depths.messagesWait();
  assert.equal(asked.length, 7);
  for (const sql of asked) {
    const plan = prepare<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`).all();
    const scans = plan.map(({ detail }) => detail).filter((detail) => /inbox|outbox/.test(detail));
    assert(scans.length > 0);
    for (const detail of scans) assert.match(detail, /USING (COVERING )?INDEX (inbox|outbox)_\w+/, sql);
  }
});
