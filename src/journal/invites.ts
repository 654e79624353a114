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
  /** `declined`: the inviter was told. */
  | { readonly kind: "ignored" | "failed"; readonly reason: string; readonly declined?: boolean }
  /** `counts`: as one of the tries after which it is given up. */
  | { readonly kind: "retry"; readonly notBefore: EpochMs; readonly counts: boolean };

const HOUR_MS = 3_600_000;

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
           reason = NULL, received_at = excluded.received_at, not_before = 0, attempts = 0, arrived = 0`,
      )
      .run(invite.roomId, invite.inviter, invite.joinRule, receivedAt);
  }

  /** The invitation is gone: we are in the room, or it was taken back. Call inside the journal's transaction. */
  close(roomId: RoomId, membership: "join" | "leave", at: EpochMs): void {
    const joined = membership === "join";
    const { changes } = this.database
      .prepare("UPDATE invites SET state = ? WHERE room_id = ? AND state = 'pending'")
      .run(joined ? "joined" : "withdrawn", roomId);
    if (joined && changes > 0) this.countAccepted(at);
    // We are out again before anything was seen of the room.
    if (!joined)
      this.database
        .prepare("UPDATE invites SET arrived = 1 WHERE room_id = ? AND state = 'joined' AND arrived = 0")
        .run(roomId);
  }

  /** When invitations were accepted, newest first, of those after a moment, an hour ago at most. @param most at most so many */
  acceptedSince(moment: EpochMs, most: number): readonly EpochMs[] {
    return this.database
      .prepare<{ accepted_at: number }>(
        "SELECT accepted_at FROM accepted_invites WHERE accepted_at > ? ORDER BY accepted_at DESC LIMIT ?",
      )
      .all(moment, most)
      .map((row) => row.accepted_at);
  }

  /** Rooms that we are in, and those that we have just joined and that no sync has shown yet. */
  roomCount(): number {
    const row = this.database
      .prepare<{ n: number }>(
        `SELECT count(*) AS n FROM (SELECT room_id FROM rooms WHERE membership = 'join'
           UNION SELECT room_id FROM invites WHERE state = 'joined' AND arrived = 0)`,
      )
      .get();
    return row?.n ?? 0;
  }

  /** Rooms that we are in by an invitation, as they are now, and that nobody has looked at since. */
  arrivals(): readonly { roomId: RoomId; joinRule: string }[] {
    return this.database
      .prepare<{ room_id: RoomId; join_rule: string }>(
        `SELECT room_id, rooms.join_rule AS join_rule FROM invites JOIN rooms USING (room_id)
         WHERE invites.state = 'joined' AND invites.arrived = 0 AND rooms.membership = 'join'`,
      )
      .all()
      .map((row) => ({ roomId: row.room_id, joinRule: row.join_rule }));
  }

  /** What a sync has shown of the room was acted upon. */
  arrive(roomId: RoomId): void {
    this.database.transaction(() => {
      this.database.prepare("UPDATE invites SET arrived = 1 WHERE room_id = ? AND state = 'joined'").run(roomId);
    });
  }

  private countAccepted(at: EpochMs): void {
    this.database.prepare("DELETE FROM accepted_invites WHERE accepted_at <= ?").run(at - HOUR_MS);
    this.database.prepare("INSERT INTO accepted_invites (accepted_at) VALUES (?)").run(at);
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
        const { changes } = this.database
          .prepare(`UPDATE invites SET attempts = attempts + 1, state = ?, reason = ? WHERE ${same}`)
          .run(outcome.kind, outcome.kind === "joined" ? null : outcome.reason, job.roomId, job.receivedAt);
        if (outcome.kind === "joined" && changes > 0) this.countAccepted(this.clock.now());
      }
    });
  }

  changed(signal: AbortSignal, maxWaitMs: number): Promise<void> {
    return this.nudge.wait(signal, maxWaitMs);
  }
}
