/**
 * How the bot behaves in the rooms that it is in: it says once what it does there, leaves where nobody else is any more, and leaves a
 * public room that it came to by an invitation that did not show it, or before it was one. Guarantees: a room gets the notice once, whatever is restarted or killed;
 * before a room is left for being empty, the homeserver is asked who is in it.
 */
import type { Clock, EpochMs } from "../clock.ts";
import { Cancelled, DocketError, endsTheBot } from "../errors.ts";
import type { Invites } from "../journal/invites.ts";
import { NO_END, type Outbox } from "../journal/outbox.ts";
import type { RoomStates } from "../journal/roomStates.ts";
import { WorkLoop } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import { pauseAfter } from "../matrix/retries.ts";
import type { EventId, RoomId, UserId } from "../protocol/ids.ts";
import { txnIdFor } from "../protocol/transactionIds.ts";

/** The operator's choices. */
export interface ResidencePolicy {
  /** Null: nothing is said. */
  readonly notice: string | null;
  /** Null: the bot stays. */
  readonly leaveWhenAloneMs: number | null;
  readonly publicRooms: boolean;
}

export interface ResidencePorts {
  readonly rooms: RoomStates;
  readonly invites: Invites;
  readonly outbox: Outbox;
  readonly homeserver: Homeserver;
  readonly ownUser: UserId;
  readonly policy: () => ResidencePolicy;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onFailure: (error: unknown) => void;
}

type ReasonToLeave = "alone" | "public_room";

const NOTICE = "join_notice";
const POLL_MS = 30_000;
const PACE = { baseMs: 1_000, maxBackoffMs: 10 * 60_000 };
/** Until a sync has shown that we are gone. */
const GONE_MS = 60_000;
/** What the room sees as the reason. */
const FAREWELLS: Readonly<Record<ReasonToLeave, string>> = {
  alone: "Nobody else is here any more.",
  public_room: "I do not stay in rooms that anybody may join.",
};

export class Residence extends WorkLoop {
  private readonly ports: ResidencePorts;
  private readonly attempts = new Map<RoomId, { failures: number; notBefore: EpochMs }>();

  constructor(ports: ResidencePorts) {
    super(ports.onFailure);
    this.ports = ports;
  }

  protected async work(): Promise<boolean> {
    const { leaveWhenAloneMs } = this.ports.policy();
    for (const [roomId, { notBefore }] of this.attempts)
      if (notBefore <= this.ports.clock.now() && this.ports.rooms.view(roomId)?.membership !== "join")
        this.attempts.delete(roomId);
    await this.leaveUnexpectedlyPublic();
    this.announce();
    if (leaveWhenAloneMs !== null) await this.leaveEmpty(leaveWhenAloneMs);
    return false;
  }

  protected rest(): Promise<void> {
    const { rooms, clock, policy } = this.ports;
    const { leaveWhenAloneMs } = policy();
    const since = leaveWhenAloneMs === null ? null : rooms.oldestSolitude();
    const dueInMs = since === null ? POLL_MS : since + (leaveWhenAloneMs ?? 0) - clock.now();
    // What is due and still there was tried just now.
    return rooms.changed(this.signal, dueInMs > 0 ? Math.min(dueInMs, POLL_MS) : POLL_MS);
  }

  private announce(): void {
    const { outbox, rooms, policy } = this.ports;
    const body = policy().notice;
    if (body === null) return;
    const staysIn = outbox.roomsWithout(NOTICE).filter((roomId) => !this.isLeaving(roomId));
    outbox.enqueue(
      staysIn.map((roomId) => ({
        // No event causes it; the room's ID makes it the only one of its room.
        causeEventId: roomId as string as EventId,
        purpose: NOTICE,
        lane: "notice",
        roomId,
        type: "m.room.message",
        content: { msgtype: "m.notice", body },
        mustEncrypt: rooms.view(roomId)?.everEncrypted ?? true,
        txnId: txnIdFor(roomId as string as EventId, NOTICE),
        expiresAt: NO_END,
      })),
    );
  }

  private async leaveUnexpectedlyPublic(): Promise<void> {
    const { invites, policy } = this.ports;
    for (const { roomId, joinRule } of invites.arrivals()) {
      const stays = joinRule !== "public" || policy().publicRooms;
      if (stays || (await this.leave(roomId, "public_room"))) invites.arrive(roomId);
    }
  }

  private async leaveEmpty(waitMs: number): Promise<void> {
    const { rooms, clock } = this.ports;
    for (const roomId of rooms.aloneSinceBefore(clock.now() - waitMs)) await this.leave(roomId, "alone");
  }

  /** @returns whether we have left; if not, it is tried again later */
  private async leave(roomId: RoomId, reason: ReasonToLeave): Promise<boolean> {
    const { homeserver, rooms, clock, log } = this.ports;
    const before = this.attempts.get(roomId);
    if (this.signal.aborted || this.isLeaving(roomId)) return false;
    try {
      if (reason === "alone" && (await this.othersAreIn(roomId))) {
        rooms.notAlone(roomId);
        return false;
      }
      await homeserver.leave(roomId, FAREWELLS[reason], this.signal);
      this.attempts.set(roomId, { failures: 0, notBefore: clock.now() + GONE_MS });
      log.info({ roomId, reason }, "left a room");
      return true;
    } catch (error) {
      if (endsTheBot(error)) throw error;
      if (error instanceof Cancelled && this.signal.aborted) return false;
      const failures = (before?.failures ?? 0) + 1;
      const waitMs = pauseAfter(error, failures, PACE);
      this.attempts.set(roomId, { failures, notBefore: clock.now() + waitMs });
      const code = error instanceof DocketError ? error.code : "BUG";
      log.warn({ roomId, reason, code, waitMs }, "a room could not be left yet");
      return false;
    }
  }

  /** We have left, or could not yet. */
  private isLeaving(roomId: RoomId): boolean {
    return (this.attempts.get(roomId)?.notBefore ?? 0) > this.ports.clock.now();
  }

  private async othersAreIn(roomId: RoomId): Promise<boolean> {
    const members = await this.ports.homeserver.joinedMembers(roomId, this.signal);
    return members.some((userId) => userId !== this.ports.ownUser);
  }
}
