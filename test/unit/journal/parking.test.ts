/** What waits for keys, as the key backup is asked for it. */
import assert from "node:assert/strict";
import test from "node:test";
import { parkedSessions, unpark } from "../../../src/journal/parking.ts";
import type { SessionKey } from "../../../src/journal/syncBatch.ts";
import type { RoomId } from "../../../src/protocol/ids.ts";
import { batch, event, openJournal, update } from "../../support/journal.ts";

test("the sessions that events wait for are gone through in pages: each once, and none whose key has come", async (t) => {
  const { inbox, database } = openJournal(t);
  const rooms = ["!b:example.org", "!a:example.org"] as RoomId[];
  const sessionOf = new Map<string, string>();
  for (const roomId of rooms) {
    const timeline = ["s3", "s1", "s2", "s1"].map((sessionId) => {
      const parked = event({ room_id: roomId, type: "m.room.encrypted" });
      sessionOf.set(parked.event_id, sessionId);
      return parked;
    });
    await inbox.accept(batch({ rooms: [update({ roomId, timeline })] }));
  }
  const entries = await inbox.takeNew(100);
  const park = (entry: (typeof entries)[number]) => {
    const sessionId = sessionOf.get(entry.event.event_id) ?? "";
    return { entry, route: { kind: "park", sessionId, reason: "no_session" } as const };
  };
  await inbox.route(entries.map(park), inbox.keyEpoch());
  const known = { roomId: "!a:example.org" as RoomId, sessionId: "s2" };
  database.transaction(() => unpark(database, [known]));

  const pages: string[][] = [];
  let after: SessionKey | null = null;
  do {
    const page: readonly SessionKey[] = parkedSessions(database, after, 2);
    pages.push(page.map(({ roomId, sessionId }) => `${roomId} ${sessionId}`));
    after = page.at(-1) ?? null;
  } while (after !== null);
  assert.deepEqual(pages, [
    ["!a:example.org s1", "!a:example.org s3"],
    ["!b:example.org s1", "!b:example.org s2"],
    ["!b:example.org s3"],
    [],
  ]);
});
