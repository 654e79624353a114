import assert from "node:assert/strict";
import { test } from "node:test";
import type { RoomId } from "../../../src/protocol/ids.ts";
import type { NewRecord } from "../../../src/record/record.ts";
import { RecordStore } from "../../../src/record/recordStore.ts";
import { ALICE, event, openJournal } from "../../support/journal.ts";

const plain = { deviceId: null, level: "plain" } as const;

function record(original = event(), clear?: NewRecord["clear"]): NewRecord {
  return {
    original,
    receivedAt: 1_700_000_000_000,
    arrival: "live",
    clear: clear ?? { kind: "clear", type: original.type, content: original.content, trust: plain },
    replayOf: null,
  };
}

test("an event has one entry, however often it is recorded, and the first stands", async (t) => {
  const { database, clock } = openJournal(t);
  const store = new RecordStore(database, clock);
  const original = event();
  const [first] = await store.append([record(original)]);
  clock.time += 5000;
  const [second] = await store.append([record({ ...original, sender: ALICE, content: { body: "changed" } })]);
  assert.deepEqual(second, first);
  assert.deepEqual((await store.find(original.event_id))?.original, original);
});

test("an undecryptable event is in the record at once, and its late clear text is a further fact", async (t) => {
  const { database, clock } = openJournal(t);
  const store = new RecordStore(database, clock);
  const original = event({ type: "m.room.encrypted", content: { ciphertext: "x" } });
  await store.append([record(original, { kind: "undecryptable", reason: "no_session" })]);
  assert.deepEqual((await store.find(original.event_id))?.clear, { kind: "undecryptable", reason: "no_session" });
  clock.time += 1000;
  const clear = { kind: "clear", type: "m.room.message", content: { body: "late" }, trust: plain } as const;
  await store.amend(original.event_id, clear, null);
  const found = await store.find(original.event_id);
  assert.deepEqual(found?.clear, clear);
  assert.deepEqual(found?.original, original);
  assert.equal(found?.decryptedLaterAt, clock.now());
  const { undecryptable } =
    database.prepare<{ undecryptable: string }>("SELECT undecryptable FROM entries").get() ?? {};
  assert.equal(undecryptable, "no_session", "the first fact stays visible");
});

test("entries are listed in the order of arrival, page by page, also for one room", async (t) => {
  const { database, clock } = openJournal(t);
  const store = new RecordStore(database, clock);
  const other = event({ room_id: "!other:example.org" as RoomId });
  const events = [event(), other, event()];
  await store.append(events.map((original) => record(original)));
  const first = store.list({ after: 0, roomId: null, max: 2 });
  const rest = store.list({ after: first.at(-1)?.entry ?? 0, roomId: null, max: 2 });
  assert.deepEqual(
    [...first, ...rest].map((entry) => entry.original),
    events,
  );
  assert.deepEqual(
    store.list({ after: 0, roomId: other.room_id, max: 9 }).map((entry) => entry.original),
    [other],
  );
});
