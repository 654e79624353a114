/**
 * The outbox: what is to be sent. A row is pending, then sent or dropped with a reason, for ever. Guarantees: one row for each
 * cause and purpose, ever; a pending row is taken up again after a restart, under the same transaction ID.
 */
import type { Clock, EpochMs } from "../clock.ts";
import { Nudge } from "../lifecycle.ts";
import type { EventId, RoomId, TxnId } from "../protocol/ids.ts";
import type { JsonObject } from "../protocol/json.ts";
import type { Database } from "./database.ts";

export type Lane = "response" | "receipt" | "notice";

/** For what has no end: it is sent whenever it can be. */
export const NO_END: EpochMs = Number.MAX_SAFE_INTEGER;

/** Something to be sent because of an event. */
export interface Draft {
  /** For a notice, which no event causes, the room's ID. */
  readonly causeEventId: EventId;
  /** Together with the cause: what makes it unique, and what its transaction ID is derived from. */
  readonly purpose: string;
  readonly lane: Lane;
  readonly roomId: RoomId;
  readonly type: string;
  readonly content: JsonObject;
  /** The request was encrypted: its answer is, whatever the room's state says. */
  readonly mustEncrypt: boolean;
  readonly txnId: TxnId;
  /** It must not arrive later than this. */
  readonly expiresAt: EpochMs;
}

export interface OutboxEntry extends Draft {
  readonly id: number;
  /** Attempts before this one. */
  readonly attempts: number;
  /** An earlier attempt may have taken effect. */
  readonly doubtful: boolean;
  /** When its cause was received. */
  readonly receivedAt: EpochMs;
}

export type DropReason = "expired" | "refused" | "not_in_room" | "too_large" | "too_many_waiting";

export type SendOutcome =
  /** `eventId`: null for a receipt, which is no event. */
  | { readonly kind: "sent"; readonly eventId: EventId | null }
  /** `doubtful`: it may have arrived all the same. */
  | { readonly kind: "dropped"; readonly reason: DropReason; readonly doubtful: boolean }
  | { readonly kind: "retry"; readonly notBefore: EpochMs; readonly doubtful: boolean };

interface OutboxRow {
  id: number;
  cause_event_id: EventId;
  purpose: string;
  lane: Lane;
  room_id: RoomId;
  type: string;
  content: string;
  must_encrypt: number;
  txn_id: TxnId;
  expires_at: number;
  attempts: number;
  doubtful: number;
  cause_received_at: number;
}

const SELECT_ROW = `
  SELECT id, cause_event_id, purpose, lane, room_id, type, content, must_encrypt, txn_id, expires_at, attempts, doubtful,
    coalesce((SELECT received_at FROM inbox WHERE inbox.event_id = cause_event_id), queued_at) AS cause_received_at
  FROM outbox`;

export class Outbox {
  private readonly database: Database;
  private readonly clock: Clock;
  private readonly nudges: Readonly<Record<Lane, Nudge>> = {
    response: new Nudge(),
    receipt: new Nudge(),
    notice: new Nudge(),
  };

  constructor(database: Database, clock: Clock) {
    this.database = database;
    this.clock = clock;
    this.database.transaction(() => {
      this.database.prepare("UPDATE outbox SET lease_until = 0 WHERE state = 'pending' AND lease_until > 0").run();
    });
  }

  /** Idempotent by cause and purpose. Call inside the journal's transaction, and `announce` after it. */
  insert(drafts: readonly Draft[], now: EpochMs): void {
    for (const draft of drafts) {
      this.database
        .prepare(
          `INSERT INTO outbox (cause_event_id, purpose, lane, room_id, type, content, must_encrypt, txn_id, expires_at, state, not_before, queued_at)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending', 0, ?) ON CONFLICT (cause_event_id, purpose) DO NOTHING`,
        )
        .run(
          draft.causeEventId,
          draft.purpose,
          draft.lane,
          draft.roomId,
          draft.type,
          JSON.stringify(draft.content),
          Number(draft.mustEncrypt),
          draft.txnId,
          draft.expiresAt,
          now,
        );
    }
  }

  /** The same in a transaction of its own, announced. */
  enqueue(drafts: readonly Draft[]): void {
    if (drafts.length === 0) return;
    this.database.transaction(() => this.insert(drafts, this.clock.now()));
    this.announce(drafts.map(({ lane }) => lane));
  }

  /** There may be something to do in these lanes. */
  announce(lanes: Iterable<Lane>): void {
    for (const lane of new Set(lanes)) this.nudges[lane].nudge();
  }

  /** Resolves when there may be something to send in this lane, or after `maxWaitMs` milliseconds. */
  changed(lane: Lane, signal: AbortSignal, maxWaitMs: number): Promise<void> {
    return this.nudges[lane].wait(signal, maxWaitMs);
  }

  /** Rooms that we are in and that were never given this notice, nor are about to be. */
  roomsWithout(purpose: string): readonly RoomId[] {
    return this.database
      .prepare<{ room_id: RoomId }>(
        `SELECT room_id FROM rooms WHERE membership = 'join'
           AND NOT EXISTS (SELECT 1 FROM outbox WHERE cause_event_id = rooms.room_id AND purpose = ?)`,
      )
      .all(purpose)
      .map((row) => row.room_id);
  }

  /**
   * Pending entries of a lane whose time has come, earliest end first, fair between rooms; leased.
   * @param want.busy the room of each entry that is being sent
   * @param want.perRoom how many of one room may be sent at once
   */
  async claim(
    lane: Lane,
    want: { max: number; perRoom: number; busy: readonly RoomId[]; leaseMs: number },
  ): Promise<readonly OutboxEntry[]> {
    const now = this.clock.now();
    return this.database.transaction(() => {
      const due = this.roomsWithPending(lane).flatMap((roomId) => {
        const free = want.perRoom - want.busy.filter((busy) => busy === roomId).length;
        return free <= 0 ? [] : this.dueIn(lane, roomId, free, now);
      });
      due.sort((a, b) => a.expires_at - b.expires_at || a.id - b.id);
      return this.leased(due.slice(0, want.max), now + want.leaseMs);
    });
  }

  /**
   * Pending entries of a lane whose time has come, the longest due first, whatever their room; leased. The cost does not grow with
   * what waits: for lanes in which the rooms need no fairness.
   */
  async claimDue(lane: Lane, want: { max: number; leaseMs: number }): Promise<readonly OutboxEntry[]> {
    const now = this.clock.now();
    return this.database.transaction(() => {
      const due = this.database
        .prepare<OutboxRow>(
          `${SELECT_ROW} WHERE state = 'pending' AND lease_until = 0 AND lane = ? AND not_before <= ? ORDER BY not_before LIMIT ?`,
        )
        .all(lane, now, want.max);
      return this.leased(due, now + want.leaseMs);
    });
  }

  /**
   * Gives up the oldest entries of a lane where more than `keep` wait.
   * @param max how many at most, in one transaction
   * @returns how many
   */
  async dropOldest(lane: Lane, keep: number, max: number): Promise<number> {
    const waiting = "SELECT id FROM outbox WHERE state = 'pending' AND lane = ?";
    const over = this.database.prepare(`${waiting} LIMIT 1 OFFSET ?`).get(lane, keep) !== undefined;
    if (!over) return 0;
    const reason: DropReason = "too_many_waiting";
    return this.database.transaction(
      () =>
        this.database
          .prepare(
            `UPDATE outbox SET state = 'dropped', reason = ?, finished_at = ?, content = NULL
             WHERE id IN (SELECT id FROM (${waiting} AND lease_until = 0 ORDER BY id DESC LIMIT -1 OFFSET ?) ORDER BY id LIMIT ?)`,
          )
          .run(reason, this.clock.now(), lane, keep, max).changes,
    );
  }

  private leased(rows: readonly OutboxRow[], until: EpochMs): readonly OutboxEntry[] {
    const lease = this.database.prepare("UPDATE outbox SET lease_until = ? WHERE id = ?");
    for (const row of rows) lease.run(until, row.id);
    return rows.map(toEntry);
  }

  /** When the next entry that nobody sends may be tried; null where none waits. */
  nextAttemptAt(lane: Lane): EpochMs | null {
    const row = this.database
      .prepare<{ not_before: number }>(
        "SELECT not_before FROM outbox WHERE state = 'pending' AND lease_until = 0 AND lane = ? ORDER BY not_before LIMIT 1",
      )
      .get(lane);
    return row?.not_before ?? null;
  }

  /** Walks the index from room to room: cost grows with the rooms that wait, not with the answers. */
  private roomsWithPending(lane: Lane): readonly RoomId[] {
    return this.database
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

  private dueIn(lane: Lane, roomId: RoomId, max: number, now: EpochMs): readonly OutboxRow[] {
    return this.database
      .prepare<OutboxRow>(
        `${SELECT_ROW} WHERE state = 'pending' AND lane = ? AND room_id = ? AND not_before <= ? AND lease_until < ?
         ORDER BY expires_at, id LIMIT ?`,
      )
      .all(lane, roomId, now, now, max);
  }

  async finish(entry: OutboxEntry, outcome: SendOutcome): Promise<void> {
    const now = this.clock.now();
    this.database.transaction(() => {
      if (outcome.kind === "retry") {
        this.database
          .prepare(
            "UPDATE outbox SET not_before = ?, lease_until = 0, attempts = attempts + 1, doubtful = doubtful OR ? WHERE id = ?",
          )
          .run(outcome.notBefore, Number(outcome.doubtful), entry.id);
      } else {
        this.database
          .prepare(
            `UPDATE outbox SET state = ?, event_id = ?, reason = ?, finished_at = ?, content = NULL, lease_until = 0, attempts = attempts + 1
             WHERE id = ? AND state = 'pending'`,
          )
          .run(
            outcome.kind,
            outcome.kind === "sent" ? outcome.eventId : null,
            outcome.kind === "dropped" ? outcome.reason : null,
            now,
            entry.id,
          );
        // Nobody has heard it; when we are in the room again, it is said.
        if (entry.lane === "notice" && outcome.kind === "dropped" && outcome.reason === "not_in_room")
          this.database.prepare("DELETE FROM outbox WHERE id = ?").run(entry.id);
      }
    });
  }

  /** Gives a claimed entry back untried, for a bot that stops. */
  async release(entry: OutboxEntry): Promise<void> {
    this.database.transaction(() => {
      this.database.prepare("UPDATE outbox SET lease_until = 0 WHERE id = ? AND state = 'pending'").run(entry.id);
    });
  }

  /**
   * Finished rows go when no event could bring them back: their cause is settled and past its own keeping time. Notices stay: a
   * room is told once.
   */
  async clean(finishedBefore: EpochMs, max: number): Promise<number> {
    return this.database.transaction(
      () =>
        this.database
          .prepare(
            `DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE state <> 'pending' AND finished_at < ? AND lane <> 'notice'
               AND NOT EXISTS (SELECT 1 FROM inbox WHERE inbox.event_id = outbox.cause_event_id) LIMIT ?)`,
          )
          .run(finishedBefore, max).changes,
    );
  }
}

function toEntry(row: OutboxRow): OutboxEntry {
  return {
    id: row.id,
    causeEventId: row.cause_event_id,
    purpose: row.purpose,
    lane: row.lane,
    roomId: row.room_id,
    type: row.type,
    content: JSON.parse(row.content) as JsonObject,
    mustEncrypt: row.must_encrypt === 1,
    txnId: row.txn_id,
    expiresAt: row.expires_at,
    attempts: row.attempts,
    doubtful: row.doubtful === 1,
    receivedAt: row.cause_received_at,
  };
}
