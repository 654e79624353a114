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

interface InviteRow {
  room_id: RoomId;
  inviter: UserId;
  join_rule: string | null;
  received_at: number;
  attempts: number;
  not_before: number;
}

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
        `INSERT INTO invites (room_id, inviter, join_rule, state, received_at, not_before, attempts) VALUES (?, ?, ?, 'pending', ?, 0, 0)
         ON CONFLICT (room_id) DO UPDATE SET inviter = excluded.inviter, join_rule = excluded.join_rule, state = 'pending',
           reason = NULL, received_at = excluded.received_at, not_before = 0, attempts = 0`,
      )
      .run(invite.roomId, invite.inviter, invite.joinRule, receivedAt);
  }

  /** The invitation is gone: we are in the room, or it was taken back. Call inside the journal's transaction. */
  close(roomId: RoomId, membership: "join" | "leave", at: EpochMs): void {
    const joined = membership === "join";
    this.database
      .prepare(
        "UPDATE invites SET state = ?, joined_at = coalesce(?, joined_at) WHERE room_id = ? AND state = 'pending'",
      )
      .run(joined ? "joined" : "withdrawn", joined ? at : null, roomId);
  }

  /** When invitations were accepted, newest first, of those after a moment. @param most at most so many */
  acceptedSince(moment: EpochMs, most: number): readonly EpochMs[] {
    return this.database
      .prepare<{ joined_at: number }>(
        "SELECT joined_at FROM invites WHERE joined_at > ? ORDER BY joined_at DESC LIMIT ?",
      )
      .all(moment, most)
      .map((row) => row.joined_at);
  }

  /** Rooms that we are in, and those that we have just joined and that no sync has shown yet. */
  roomCount(): number {
    const row = this.database
      .prepare<{ n: number }>(
        `SELECT count(*) AS n FROM (SELECT room_id FROM rooms WHERE membership = 'join'
           UNION SELECT room_id FROM invites WHERE state = 'joined' AND room_id NOT IN (SELECT room_id FROM rooms))`,
      )
      .get();
    return row?.n ?? 0;
  }

  /** Rooms that we are in by an invitation that did not show their join rule, which is known now. */
  unseenJoinRules(): readonly { roomId: RoomId; joinRule: string }[] {
    return this.database
      .prepare<{ room_id: RoomId; join_rule: string }>(
        `SELECT room_id, rooms.join_rule AS join_rule FROM invites JOIN rooms USING (room_id)
         WHERE invites.state = 'joined' AND invites.join_rule IS NULL AND rooms.membership = 'join'`,
      )
      .all()
      .map((row) => ({ roomId: row.room_id, joinRule: row.join_rule }));
  }

  /** The join rule that an invitation did not show is known, and was acted upon. */
  seeJoinRule(roomId: RoomId, joinRule: string): void {
    this.database.transaction(() => {
      this.database.prepare("UPDATE invites SET join_rule = ? WHERE room_id = ?").run(joinRule, roomId);
    });
  }

  /** What waits, for whatever reason, is judged anew: the policy may have changed. */
  reconsider(): void {
    this.database.transaction(() => {
      this.database.prepare("UPDATE invites SET not_before = 0 WHERE state = 'pending'").run();
    });
    this.announce();
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
      .prepare<InviteRow>(
        `SELECT room_id, inviter, join_rule, received_at, attempts, not_before FROM invites
         WHERE state = 'pending' AND room_id NOT IN (SELECT value FROM json_each(?)) ORDER BY not_before, received_at LIMIT 1`,
      )
      .get(JSON.stringify(inWork));
    if (row === undefined) return { job: null, lookAgainAt: null };
    if (row.not_before > this.clock.now()) return { job: null, lookAgainAt: row.not_before };
    return {
      job: {
        roomId: row.room_id,
        inviter: row.inviter,
        joinRule: row.join_rule,
        receivedAt: row.received_at,
        attempts: row.attempts,
      },
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
          .prepare(
            `UPDATE invites SET attempts = attempts + 1, state = ?, reason = ?, joined_at = coalesce(?, joined_at) WHERE ${same}`,
          )
          .run(
            outcome.kind,
            outcome.kind === "joined" ? null : outcome.reason,
            outcome.kind === "joined" ? this.clock.now() : null,
            job.roomId,
            job.receivedAt,
          );
      }
    });
  }

  changed(signal: AbortSignal, maxWaitMs: number): Promise<void> {
    return this.nudge.wait(signal, maxWaitMs);
  }
}
