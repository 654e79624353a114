/**
 * Which ready entries are worked on next. Earliest deadline first within a room and between the rooms' heads; no room has more
 * than its share in work, so a flood in one does not hold up the others. Ordered entries of a room go one by one.
 */
import type { EpochMs } from "../clock.ts";
import type { RoomId } from "../protocol/ids.ts";
import type { Database } from "./database.ts";
import { ENTRY_COLUMNS, type InboxRow } from "./inboxEntry.ts";

type ReadyRow = InboxRow & { lease_until: number };

/** Call inside a transaction: marks what it returns as leased. */
export function claimReady(
  database: Database,
  want: { max: number; perRoom: number; leaseMs: number },
  now: EpochMs,
): InboxRow[] {
  if (want.max <= 0) return [];
  const candidates = readyRooms(database).flatMap((roomId) => candidatesOf(database, roomId, want.perRoom, now));
  candidates.sort(byDeadline);
  return lease(database, candidates.slice(0, want.max), now + want.leaseMs);
}

/** Call inside a transaction: marks what it returns as leased. */
export function claimOverdue(database: Database, want: { max: number; leaseMs: number }, now: EpochMs): InboxRow[] {
  const rows = database
    .prepare<InboxRow>(
      `SELECT ${ENTRY_COLUMNS} FROM inbox WHERE state = 'ready' AND deadline <= ? AND lease_until < ? ORDER BY deadline, seq LIMIT ?`,
    )
    .all(now, now, want.max);
  return lease(database, rows, now + want.leaseMs);
}

/** Walks the index from room to room: cost grows with the rooms that have work, not with the work. */
function readyRooms(database: Database): readonly RoomId[] {
  return database
    .prepare<{ room: RoomId }>(
      `WITH RECURSIVE heads (room) AS (
         SELECT min(room_id) FROM inbox WHERE state = 'ready'
         UNION ALL
         SELECT (SELECT min(room_id) FROM inbox WHERE state = 'ready' AND room_id > heads.room) FROM heads WHERE heads.room IS NOT NULL
       ) SELECT room FROM heads WHERE room IS NOT NULL`,
    )
    .all()
    .map((row) => row.room);
}

function candidatesOf(database: Database, roomId: RoomId, perRoom: number, now: EpochMs): readonly InboxRow[] {
  const working =
    database
      .prepare<{ n: number }>(
        "SELECT count(*) AS n FROM inbox WHERE state = 'ready' AND lease_until > 0 AND room_id = ? AND lease_until >= ?",
      )
      .get(roomId, now)?.n ?? 0;
  const free = perRoom - working;
  if (free <= 0) return [];
  // Ordered ones go by arrival, one at a time, even if a later one has less time: that is what ordered means. They must not
  // stand in the way of the others.
  const head = database
    .prepare<ReadyRow>(
      `SELECT ${ENTRY_COLUMNS}, lease_until FROM inbox WHERE state = 'ready' AND ordered = 1 AND room_id = ? ORDER BY seq LIMIT 1`,
    )
    .get(roomId);
  const others = database
    .prepare<InboxRow>(
      `SELECT ${ENTRY_COLUMNS} FROM inbox
       WHERE state = 'ready' AND room_id = ? AND ordered = 0 AND lease_until < ? ORDER BY deadline, seq LIMIT ?`,
    )
    .all(roomId, now, free);
  const candidates = head !== undefined && head.lease_until < now ? [head, ...others] : others;
  return candidates.sort(byDeadline).slice(0, free);
}

function byDeadline(a: InboxRow, b: InboxRow): number {
  return a.deadline - b.deadline || a.seq - b.seq;
}

function lease(database: Database, rows: readonly InboxRow[], until: EpochMs): InboxRow[] {
  for (const { seq } of rows) database.prepare("UPDATE inbox SET lease_until = ? WHERE seq = ?").run(until, seq);
  return [...rows];
}
