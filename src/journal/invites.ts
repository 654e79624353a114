/** Invitations as jobs: on disk with the sync that brought them, done or given up with a reason. */
import type { Clock, EpochMs } from "../clock.ts";
import { Nudge } from "../lifecycle.ts";
import type { RoomId, UserId } from "../protocol/ids.ts";
import type { Database } from "./database.ts";
import type { Invite } from "./syncBatch.ts";

/** `judge`: to be accepted or refused. `decline`: refused, and the inviter is to be told. */
export type InviteStage = "judge" | "decline";

export interface InviteJob extends Invite {
  readonly receivedAt: EpochMs;
  /** Why it was refused, in the stage `decline`. */
  readonly reason: string | null;
  /** Tries so far that failed, and of those the ones after which it is given up. */
  readonly failures: number;
  readonly attempts: number;
}

export type InviteOutcome =
  | { readonly kind: "joined" }
  | { readonly kind: "declined" | "ignored" | "failed"; readonly reason: string }
  /** Refused, and on to those who decline. */
  | { readonly kind: "declining"; readonly reason: string }
  /** The policy has no place for it now. */
  | { readonly kind: "wait"; readonly notBefore: EpochMs }
  /** It failed. `counts`: as one of the tries after which it is given up. */
  | { readonly kind: "retry"; readonly notBefore: EpochMs; readonly counts: boolean };

interface InviteRow {
  room_id: RoomId;
  inviter: UserId;
  join_rule: string | null;
  received_at: number;
  reason: string | null;
  failures: number;
  attempts: number;
  not_before: number;
}

/** The reason of one that waits for a place. */
const WAITS = "waits";
const HOUR_MS = 3_600_000;

export class Invites {
  private readonly database: Database;
  private readonly clock: Clock;
  private readonly inWork = new Set<RoomId>();
  private readonly nudges: Readonly<Record<InviteStage, Nudge>> = { judge: new Nudge(), decline: new Nudge() };

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
           reason = NULL, received_at = excluded.received_at, not_before = 0, attempts = 0,
           failures = 0, arrived = 0, stage = 'judge'`,
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

  private isPending(roomId: RoomId): boolean {
    const sql = "SELECT 1 FROM invites WHERE room_id = ? AND state = 'pending'";
    return this.database.prepare(sql).get(roomId) !== undefined;
  }

  private countAccepted(at: EpochMs): void {
    this.database.prepare("DELETE FROM accepted_invites WHERE accepted_at <= ?").run(at - HOUR_MS);
    this.database.prepare("INSERT INTO accepted_invites (accepted_at) VALUES (?)").run(at);
  }

  /**
   * The policy may have changed: what waits for it, or was refused and not declined yet, is judged anew. What failed keeps the wait
   * that the homeserver asked for.
   */
  reconsider(): void {
    this.database.transaction(() => {
      this.database
        .prepare(
          `UPDATE invites SET stage = 'judge', reason = NULL, not_before = CASE reason WHEN ? THEN 0 ELSE not_before END
           WHERE state = 'pending' AND room_id NOT IN (SELECT value FROM json_each(?))`,
        )
        .run(WAITS, JSON.stringify([...this.inWork]));
    });
    this.announce();
  }

  /** To be called after a commit that added some. */
  announce(): void {
    for (const nudge of Object.values(this.nudges)) nudge.nudge();
  }

  /** The oldest invitation of a stage whose time has come and that is not in work, and when to look again where there is none. */
  next(stage: InviteStage): { job: InviteJob | null; lookAgainAt: EpochMs | null } {
    const row = this.database
      .prepare<InviteRow>(
        `SELECT room_id, inviter, join_rule, received_at, reason, failures, attempts, not_before FROM invites
         WHERE state = 'pending' AND stage = ? AND room_id NOT IN (SELECT value FROM json_each(?))
         ORDER BY not_before, received_at LIMIT 1`,
      )
      .get(stage, JSON.stringify([...this.inWork]));
    if (row === undefined) return { job: null, lookAgainAt: null };
    if (row.not_before > this.clock.now()) return { job: null, lookAgainAt: row.not_before };
    return {
      job: {
        roomId: row.room_id,
        inviter: row.inviter,
        joinRule: row.join_rule,
        receivedAt: row.received_at,
        reason: row.reason,
        failures: row.failures,
        attempts: row.attempts,
      },
      lookAgainAt: null,
    };
  }

  /** It is being answered: nobody else takes it, until `release`. */
  take({ roomId }: InviteJob): void {
    this.inWork.add(roomId);
  }

  release({ roomId }: InviteJob): void {
    this.inWork.delete(roomId);
  }

  /** Does nothing where the invitation was withdrawn or renewed meanwhile. */
  finish(job: InviteJob, outcome: InviteOutcome): void {
    const same = "room_id = ? AND received_at = ? AND state = 'pending'";
    const which = [job.roomId, job.receivedAt] as const;
    const update = (set: string, ...values: (string | number | null)[]): number =>
      this.database.prepare(`UPDATE invites SET ${set} WHERE ${same}`).run(...values, ...which).changes;
    this.database.transaction(() => {
      switch (outcome.kind) {
        case "joined":
          // One that was renewed meanwhile is pending still, and was accepted all the same.
          if (update("state = 'joined', reason = NULL") > 0 || this.isPending(job.roomId))
            this.countAccepted(this.clock.now());
          return;
        case "declining":
          return void update("stage = 'decline', reason = ?, not_before = 0", outcome.reason);
        case "wait":
          return void update("not_before = ?, reason = ?", outcome.notBefore, WAITS);
        case "retry":
          return void update(
            "failures = failures + 1, attempts = attempts + ?, not_before = ?, reason = CASE stage WHEN 'judge' THEN NULL ELSE reason END",
            Number(outcome.counts),
            outcome.notBefore,
          );
        case "declined":
          return void update("state = 'ignored', reason = ?", outcome.reason);
        case "ignored":
        case "failed":
          return void update("state = ?, reason = ?", outcome.kind, outcome.reason);
      }
    });
  }

  changed(stage: InviteStage, signal: AbortSignal, maxWaitMs: number): Promise<void> {
    return this.nudges[stage].wait(signal, maxWaitMs);
  }
}
