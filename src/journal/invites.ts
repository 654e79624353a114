/** Invitations as jobs: on disk with the sync that brought them, done or given up with a reason. */
import type { Clock, EpochMs } from "../clock.ts";
import { Nudge } from "../lifecycle.ts";
import type { RoomId, UserId } from "../protocol/ids.ts";
import type { Database } from "./database.ts";
import type { Invite } from "./syncBatch.ts";

export interface InviteJob extends Invite {
  readonly receivedAt: EpochMs;
  /** Tries so far that count. */
  readonly attempts: number;
}

export type InviteOutcome =
  | { readonly kind: "joined" }
  | { readonly kind: "ignored" | "failed"; readonly reason: string }
  /** `counts`: as one of the tries after which it is given up. */
  | { readonly kind: "retry"; readonly notBefore: EpochMs; readonly counts: boolean };

export class Invites {
  private readonly database: Database;
  private readonly clock: Clock;
  private readonly nudge = new Nudge();

  constructor(database: Database, clock: Clock) {
    this.database = database;
    this.clock = clock;
  }

  /** A new invitation, or one to a room that was left or refused before. Call inside the journal's transaction. */
  add(invite: Invite, receivedAt: EpochMs): void {
    this.database
      .prepare(
        `INSERT INTO invites (room_id, inviter, state, received_at, not_before, attempts) VALUES (?, ?, 'pending', ?, 0, 0)
         ON CONFLICT (room_id) DO UPDATE SET inviter = excluded.inviter, state = 'pending', reason = NULL,
           received_at = excluded.received_at, not_before = 0, attempts = 0`,
      )
      .run(invite.roomId, invite.inviter, receivedAt);
  }

  /** The invitation is gone: we are in the room, or it was taken back. Call inside the journal's transaction. */
  close(roomId: RoomId, membership: "join" | "leave"): void {
    this.database
      .prepare("UPDATE invites SET state = ? WHERE room_id = ? AND state = 'pending'")
      .run(membership === "join" ? "joined" : "withdrawn", roomId);
  }

  /** To be called after a commit that added some. */
  announce(): void {
    this.nudge.nudge();
  }

  /**
   * The oldest invitation whose time has come, and when to look again where there is none.
   * @param inWork rooms whose invitation is being answered
   */
  next(inWork: readonly RoomId[] = []): { job: InviteJob | null; lookAgainAt: EpochMs | null } {
    const row = this.database
      .prepare<{ room_id: RoomId; inviter: UserId; received_at: number; attempts: number; not_before: number }>(
        `SELECT room_id, inviter, received_at, attempts, not_before FROM invites
         WHERE state = 'pending' AND room_id NOT IN (SELECT value FROM json_each(?)) ORDER BY not_before, received_at LIMIT 1`,
      )
      .get(JSON.stringify(inWork));
    if (row === undefined) return { job: null, lookAgainAt: null };
    if (row.not_before > this.clock.now()) return { job: null, lookAgainAt: row.not_before };
    return {
      job: { roomId: row.room_id, inviter: row.inviter, receivedAt: row.received_at, attempts: row.attempts },
      lookAgainAt: null,
    };
  }

  /** Does nothing where the invitation was withdrawn or renewed meanwhile. */
  finish(job: InviteJob, outcome: InviteOutcome): void {
    const same = "room_id = ? AND received_at = ? AND state = 'pending'";
    this.database.transaction(() => {
      if (outcome.kind === "retry") {
        this.database
          .prepare(`UPDATE invites SET attempts = attempts + ?, not_before = ? WHERE ${same}`)
          .run(Number(outcome.counts), outcome.notBefore, job.roomId, job.receivedAt);
      } else {
        this.database
          .prepare(`UPDATE invites SET attempts = attempts + 1, state = ?, reason = ? WHERE ${same}`)
          .run(outcome.kind, outcome.kind === "joined" ? null : outcome.reason, job.roomId, job.receivedAt);
      }
    });
  }

  changed(signal: AbortSignal, maxWaitMs: number): Promise<void> {
    return this.nudge.wait(signal, maxWaitMs);
  }
}
