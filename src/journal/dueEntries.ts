/** Which entries of the outbox are sent next. Each of these runs inside a transaction of the caller, and leases what it returns. */
import type { EpochMs } from "../clock.ts";
import type { RoomId } from "../protocol/ids.ts";
import type { Database } from "./database.ts";
import { SELECT_ROW, type Lane, type OutboxRow } from "./outboxEntry.ts";

export interface Want {
  /** How many at most. */
  readonly max: number;
  /** Milliseconds. */
  readonly leaseMs: number;
}

export interface FairWant extends Want {
  /** The room of each entry that is being sent. */
  readonly busy: readonly RoomId[];
  /** How many of one room may be sent at once. */
  readonly perRoom: number;
}

/** Pending entries of a lane whose time has come, earliest end first, fair between rooms. */
export function claimFair(database: Database, lane: Lane, want: FairWant, now: EpochMs): readonly OutboxRow[] {
  const due = roomsWithPending(database, lane).flatMap((roomId) => {
    const free = want.perRoom - want.busy.filter((busy) => busy === roomId).length;
    return free <= 0 ? [] : dueIn(database, lane, roomId, free, now);
  });
  due.sort((a, b) => a.expires_at - b.expires_at || a.id - b.id);
  return leased(database, due.slice(0, want.max), now + want.leaseMs);
}

/**
 * Pending entries of a lane whose time has come, the longest due first, whatever their room. The cost does not grow with what waits:
 * for lanes in which the rooms need no fairness.
 */
export function claimDue(database: Database, lane: Lane, want: Want, now: EpochMs): readonly OutboxRow[] {
  const due = database
    .prepare<OutboxRow>(
      `${SELECT_ROW} WHERE state = 'pending' AND lease_until = 0 AND lane = ? AND not_before <= ? ORDER BY not_before LIMIT ?`,
    )
    .all(lane, now, want.max);
  return leased(database, due, now + want.leaseMs);
}

/** Walks the index from room to room: cost grows with the rooms that wait, not with the answers. */
function roomsWithPending(database: Database, lane: Lane): readonly RoomId[] {
  return database
    .prepare<{ room: RoomId }>(
      `WITH RECURSIVE heads (room) AS (
         SELECT min(room_id) FROM outbox WHERE state = 'pending' AND lane = ?
         UNION ALL
         SELECT (SELECT min(room_id) FROM outbox WHERE state = 'pending' AND lane = ? AND room_id > heads.room)
         FROM heads WHERE heads.room IS NOT NULL
       ) SELECT room FROM heads WHERE room IS NOT NULL`,
    )
    .all(lane, lane)
    .map((row) => row.room);
}

function dueIn(database: Database, lane: Lane, roomId: RoomId, max: number, now: EpochMs): readonly OutboxRow[] {
  return database
    .prepare<OutboxRow>(
      `${SELECT_ROW} WHERE state = 'pending' AND lane = ? AND room_id = ? AND not_before <= ? AND lease_until < ?
       ORDER BY expires_at, id LIMIT ?`,
    )
    .all(lane, roomId, now, now, max);
}

function leased(database: Database, rows: readonly OutboxRow[], until: EpochMs): readonly OutboxRow[] {
  const lease = database.prepare("UPDATE outbox SET lease_until = ? WHERE id = ?");
  for (const row of rows) lease.run(until, row.id);
  return rows;
}
