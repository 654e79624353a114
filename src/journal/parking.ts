/** Parked entries: what waits for a room key, or for its sender to be trusted, until that comes or it is given up. Each of these runs inside a transaction of the caller. */
import type { EpochMs } from "../clock.ts";
import type { EventId, RoomId, UserId } from "../protocol/ids.ts";
import type { Database } from "./database.ts";
import type { InboxEntry } from "./inboxEntry.ts";
import type { SessionKey } from "./syncBatch.ts";

/** Parked events whose key is here are new again. @returns how many */
export function unpark(database: Database, sessions: readonly SessionKey[]): number {
  const statement = database.prepare(
    "UPDATE inbox SET state = 'new' WHERE state = 'parked' AND room_id = ? AND session_id = ?",
  );
  return sessions.reduce((sum, { roomId, sessionId }) => sum + statement.run(roomId, sessionId).changes, 0);
}

/**
 * Sessions whose keys are waited for, each once, in an order of their own: to be gone through in pages.
 * @param after the last one of the page before; null for the first page
 */
export function parkedSessions(database: Database, after: SessionKey | null, most: number): readonly SessionKey[] {
  return database
    .prepare<SessionKey>(
      `SELECT DISTINCT room_id AS roomId, session_id AS sessionId FROM inbox
       WHERE state = 'parked' AND session_id IS NOT NULL AND (room_id, session_id) > (?, ?)
       ORDER BY room_id, session_id LIMIT ?`,
    )
    .all(after?.roomId ?? "", after?.sessionId ?? "", most);
}

/** Everything parked in the room is new again, whatever it waits for. @returns how many */
export function unparkRoom(database: Database, roomId: RoomId): number {
  return database.prepare("UPDATE inbox SET state = 'new' WHERE state = 'parked' AND room_id = ?").run(roomId).changes;
}

/** Somebody said that these keys do not come: to be looked at once more, so that journal and record know it. @returns how many */
export function unparkWithheld(database: Database, sessions: readonly SessionKey[]): number {
  // Once: whoever repeats the notice must not have everything decrypted again and again.
  const statement = database.prepare(
    "UPDATE inbox SET state = 'new' WHERE state = 'parked' AND room_id = ? AND session_id = ? AND reason <> 'withheld'",
  );
  return sessions.reduce((sum, { roomId, sessionId }) => sum + statement.run(roomId, sessionId).changes, 0);
}

/** What was refused for its sender's sake is new again. @param senders null: everybody's @returns how many */
export function unparkUntrusted(database: Database, senders: readonly UserId[] | null): number {
  const all = "UPDATE inbox SET state = 'new' WHERE state = 'parked' AND reason = 'untrusted'";
  if (senders === null) return database.prepare(all).run().changes;
  const statement = database.prepare(`${all} AND json_extract(raw, '$.sender') = ?`);
  return senders.reduce((sum, sender) => sum + statement.run(sender).changes, 0);
}

export interface ParkingLimit {
  /** What was parked before this is given up. */
  readonly before: EpochMs;
  /** So many may wait; of more, the oldest are given up. */
  readonly keep: number;
  /** How many are looked at in one go. */
  readonly max: number;
}

export interface GivenUp {
  readonly eventId: EventId;
  readonly roomId: RoomId;
  readonly reason: "waited_too_long" | "too_many_parked";
}

/**
 * Settles parked entries that waited too long, and the oldest where too many wait. Their record stays.
 * @returns what was given up, for the log and the metrics: never silently
 */
export function giveUpParked(database: Database, limit: ParkingLimit, now: EpochMs): readonly GivenUp[] {
  const parked =
    database.prepare<{ n: number }>("SELECT count(*) AS n FROM inbox WHERE state = 'parked'").get()?.n ?? 0;
  const oldest = database
    .prepare<{ seq: number; event_id: EventId; room_id: RoomId; parked_at: number }>(
      "SELECT seq, event_id, room_id, parked_at FROM inbox WHERE state = 'parked' ORDER BY parked_at LIMIT ?",
    )
    .all(limit.max);
  const settle = database.prepare(
    "UPDATE inbox SET state = 'settled', decision = 'given_up', reason = ?, settled_at = ? WHERE seq = ?",
  );
  return oldest
    .filter((row, place) => row.parked_at < limit.before || place < parked - limit.keep)
    .map((row) => {
      const reason = row.parked_at < limit.before ? "waited_too_long" : "too_many_parked";
      settle.run(reason, now, row.seq);
      return { eventId: row.event_id, roomId: row.room_id, reason };
    });
}

export interface Parking {
  readonly sessionId: string | null;
  readonly reason: string;
  /** Where the reason is that the key is withheld. */
  readonly withheldCode?: string;
}

/** @returns whether it was there in that state */
export function park(
  database: Database,
  { seq }: Pick<InboxEntry, "seq">,
  from: "new" | "ready",
  { sessionId, reason, withheldCode }: Parking,
  now: EpochMs,
): boolean {
  const { changes } = database
    .prepare(
      `UPDATE inbox SET state = 'parked', session_id = ?, reason = ?, withheld_code = ?, parked_at = coalesce(parked_at, ?), lease_until = 0
       WHERE seq = ? AND state = ?`,
    )
    .run(sessionId, reason, withheldCode ?? null, now, seq, from);
  return changes > 0;
}
