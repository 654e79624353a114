/**
 * The outbox: what is to be sent. A row is pending, then sent or dropped with a reason, for ever. Guarantees: one row for each
 * cause and purpose, ever; a pending row is taken up again after a restart, under the same transaction ID.
 */
import type { Clock, EpochMs } from "../clock.ts";
import { Nudge } from "../lifecycle.ts";
import type { RoomId } from "../protocol/ids.ts";
import type { JsonObject } from "../protocol/json.ts";
import type { Database } from "./database.ts";
import { claimDue, claimFair, type FairWant, type Want } from "./dueEntries.ts";
import { toEntry, type Draft, type DropReason, type Lane, type OutboxEntry, type SendOutcome } from "./outboxEntry.ts";

/** Why a notice was dropped that its room still has to be given. */
const TOLD_LATER: ReadonlySet<DropReason> = new Set(["not_in_room", "withdrawn"]);

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

  /** See `claimFair` in dueEntries.ts. */
  async claim(lane: Lane, want: FairWant): Promise<readonly OutboxEntry[]> {
    return this.database.transaction(() => claimFair(this.database, lane, want, this.clock.now())).map(toEntry);
  }

  /** See `claimDue` in dueEntries.ts. */
  async claimDue(lane: Lane, want: Want): Promise<readonly OutboxEntry[]> {
    return this.database.transaction(() => claimDue(this.database, lane, want, this.clock.now())).map(toEntry);
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

  /**
   * Takes back notices that wait in other words than these, or in rooms that we are not in.
   * @param content null: all that wait
   */
  withdrawNotices(purpose: string, content: JsonObject | null): void {
    const waiting = "lane = 'notice' AND state = 'pending' AND lease_until = 0 AND purpose = ?";
    const stale = "(content <> ? OR room_id NOT IN (SELECT room_id FROM rooms WHERE membership = 'join'))";
    const where = `${waiting} AND ${stale}`;
    const values = [purpose, JSON.stringify(content)] as const;
    // Looked at often, and hardly ever there.
    if (this.database.prepare(`SELECT 1 FROM outbox WHERE ${where} LIMIT 1`).get(...values) === undefined) return;
    this.database.transaction(() => {
      this.database.prepare(`DELETE FROM outbox WHERE ${where}`).run(...values);
    });
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
            `UPDATE outbox SET state = ?, event_id = ?, reason = ?, finished_at = ?, content = NULL, lease_until = 0, attempts = attempts + 1, doubtful = doubtful OR ?
             WHERE id = ? AND state = 'pending'`,
          )
          .run(
            outcome.kind,
            outcome.kind === "sent" ? outcome.eventId : null,
            outcome.kind === "dropped" ? outcome.reason : null,
            now,
            Number(outcome.kind === "dropped" && outcome.doubtful),
            entry.id,
          );
        // Nobody has heard it; when we are in the room again, or in other words, it is said.
        if (entry.lane === "notice" && outcome.kind === "dropped" && TOLD_LATER.has(outcome.reason))
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
