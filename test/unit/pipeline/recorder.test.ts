/** What the record has of an event that could not be read at first. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { InboxEntry } from "../../../src/journal/inboxEntry.ts";
import { Recorder, type Recordable } from "../../../src/pipeline/recorder.ts";
import { RecordStore } from "../../../src/record/recordStore.ts";
import { batch, event, openJournal, update } from "../../support/journal.ts";

const clear: Recordable["opened"] = {
  kind: "clear",
  type: "org.example.report",
  content: { number: 1 },
  trust: { deviceId: null, level: "unknown_device" },
  encryptedAs: null,
};
const unread: Recordable["opened"] = { kind: "undecryptable", reason: "no_session", sessionId: "session" };

for (const [types, selected, promise] of [
  [["*"], true, "killed between the record and the parking, the bot still adds the text when the key comes"],
  [["org.example.other"], false, "late text of a type that is not selected stays out of the record"],
] as const) {
  test(promise, async (t) => {
    const { database, clock, inbox } = openJournal(t);
    const record = new RecordStore(database, clock);
    const raw = event({ type: "m.room.encrypted" });
    await inbox.accept(batch({ rooms: [update({ timeline: [raw] })] }));
    const keep = async (opened: Recordable["opened"]): Promise<InboxEntry> => {
      const [entry] = await inbox.takeNew(1);
      assert.ok(entry !== undefined);
      await new Recorder(record, () => types).keep([{ entry, opened, replayOf: null }]);
      return entry;
    };
    await keep(unread);
    assert.equal((await record.find(raw.event_id))?.clear.kind, "undecryptable");
    // It was not parked: after the restart it is new, and its key is there.
    const again = await keep(clear);
    const entry = await record.find(raw.event_id);
    assert.equal(entry?.clear.kind, selected ? "clear" : "undecryptable");
    assert.equal(entry.decryptedLaterAt, selected ? clock.time : null);
    // And again, killed once more before the decision.
    await new Recorder(record, () => types).keep([{ entry: again, opened: clear, replayOf: null }]);
    assert.deepEqual(await record.find(raw.event_id), entry);
  });
}

test("what nobody can read yet is kept whatever types are selected, unless none is", async (t) => {
  for (const [types, kept] of [
    [["org.example.other"], true],
    [[], false],
  ] as const) {
    const { database, clock, inbox } = openJournal(t);
    const raw = event({ type: "m.room.encrypted" });
    await inbox.accept(batch({ rooms: [update({ timeline: [raw] })] }));
    const [entry] = await inbox.takeNew(1);
    assert.ok(entry !== undefined);
    const record = new RecordStore(database, clock);
    await new Recorder(record, () => types).keep([{ entry, opened: unread, replayOf: null }]);
    assert.equal((await record.find(raw.event_id)) !== null, kept);
  }
});
