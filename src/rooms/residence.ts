/**
 * How the bot behaves in the rooms that it is in: it says once what it does there, leaves where nobody else is any more, and leaves a
 * public room that it came to by an invitation that did not show it, or before it was one. Guarantees: a room gets the notice once,
 * whatever is restarted or killed, in the words that count when it is sent; nothing is said in a room that is to be left; a room that
 * can't be left holds up no other; before a room is left for being empty, the homeserver is asked who is in it.
 */
import type { Clock, EpochMs } from "../clock.ts";
import { Cancelled, DocketError, endsTheBot } from "../errors.ts";
import type { Invites } from "../journal/invites.ts";
import { type Outbox } from "../journal/outbox.ts";
import { NO_END } from "../journal/outboxEntry.ts";
import type { RoomStates } from "../journal/roomStates.ts";
import { supervise, WorkLoop } from "../lifecycle.ts";
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

/** To leave a room: it failed so often, or it was done and no sync has shown it yet; and when to try again. */
interface Attempt {
  readonly failures: number;
  readonly notBefore: EpochMs;
}

const NOTICE = "join_notice";
const POLL_MS = 30_000;
const PACE = { baseMs: 1_000, maxBackoffMs: 10 * 60_000 };
/** For each reason: who is in a room that looks empty may take long to learn, and must not hold up the others. */
const DEPARTURES_AT_ONCE = 4;
/** Until a sync has shown that we are gone. */
const GONE_MS = 60_000;
/** What the room sees as the reason. */
const FAREWELLS: Readonly<Record<ReasonToLeave, string>> = {
  alone: "Nobody else is here any more.",
  public_room: "I do not stay in rooms that anybody may join.",
};

export class Residence extends WorkLoop {
  private readonly ports: ResidencePorts;
  private readonly leaving = new Map<RoomId, { readonly reason: ReasonToLeave; readonly done: Promise<void> }>();
  private readonly attempts = new Map<RoomId, Attempt>();

  constructor(ports: ResidencePorts) {
    super(ports.onFailure);
    this.ports = ports;
  }

  override async stop(): Promise<void> {
    await super.stop();
    await Promise.all([...this.leaving.values()].map(({ done }) => done));
  }

  protected async work(): Promise<boolean> {
    const departures = this.departures();
    const departing = new Set(departures.map(({ roomId }) => roomId));
    for (const [roomId, attempt] of this.attempts)
      if (!this.counts(roomId, attempt, departing)) this.attempts.delete(roomId);
    this.announce(departing);
    for (const { roomId, reason } of departures) this.leave(roomId, reason);
    return false;
  }

  protected rest(): Promise<void> {
    const { rooms, clock, policy } = this.ports;
    const { leaveWhenAloneMs } = policy();
    const now = clock.now();
    const since = leaveWhenAloneMs === null ? null : rooms.oldestSolitude();
    const due = [...this.attempts.values()].map(({ notBefore }) => notBefore);
    if (since !== null) due.push(since + (leaveWhenAloneMs ?? 0));
    // What is due and still there is under way, or was tried just now.
    const waits = due.map((at) => at - now).filter((waitMs) => waitMs > 0);
    return rooms.changed(this.signal, Math.min(POLL_MS, ...waits));
  }

  /** A failure counts while the room is to be left; a departure, until a sync has shown it, or does not. */
  private counts(roomId: RoomId, { failures, notBefore }: Attempt, departing: ReadonlySet<RoomId>): boolean {
    const { rooms, clock } = this.ports;
    if (failures > 0) return departing.has(roomId);
    return notBefore > clock.now() && rooms.view(roomId)?.membership === "join";
  }

  private departures(): readonly { roomId: RoomId; reason: ReasonToLeave }[] {
    const { invites, rooms, clock, policy } = this.ports;
    const { leaveWhenAloneMs, publicRooms } = policy();
    const unexpected: RoomId[] = [];
    for (const { roomId, joinRule } of invites.arrivals()) {
      if (joinRule === "public" && !publicRooms) unexpected.push(roomId);
      else invites.arrive(roomId);
    }
    const empty = leaveWhenAloneMs === null ? [] : rooms.aloneSinceBefore(clock.now() - leaveWhenAloneMs);
    return [
      ...unexpected.map((roomId) => ({ roomId, reason: "public_room" as const })),
      ...empty.map((roomId) => ({ roomId, reason: "alone" as const })),
    ];
  }

  private announce(except: ReadonlySet<RoomId>): void {
    const { outbox, rooms, policy } = this.ports;
    const { notice } = policy();
    const content = notice === null ? null : { msgtype: "m.notice", body: notice };
    outbox.withdrawNotices(NOTICE, content);
    if (content === null) return;
    const stays = (roomId: RoomId): boolean =>
      !except.has(roomId) && !this.leaving.has(roomId) && !this.attempts.has(roomId);
    outbox.enqueue(
      outbox
        .roomsWithout(NOTICE)
        .filter(stays)
        .map((roomId) => ({
          // No event causes it; the room's ID makes it the only one of its room.
          causeEventId: roomId as string as EventId,
          purpose: NOTICE,
          lane: "notice",
          roomId,
          type: "m.room.message",
          content,
          mustEncrypt: rooms.view(roomId)?.everEncrypted ?? true,
          txnId: txnIdFor(roomId as string as EventId, NOTICE),
          expiresAt: NO_END,
        })),
    );
  }

  private leave(roomId: RoomId, reason: ReasonToLeave): void {
    const notBefore = this.attempts.get(roomId)?.notBefore ?? 0;
    const alike = [...this.leaving.values()].filter((other) => other.reason === reason).length;
    if (alike >= DEPARTURES_AT_ONCE || this.leaving.has(roomId)) return;
    if (this.signal.aborted || notBefore > this.ports.clock.now()) return;
    const done = supervise(this.depart(roomId, reason), (error) => this.fail(error)).then(() => {
      this.leaving.delete(roomId);
      this.ports.rooms.announce();
    });
    this.leaving.set(roomId, { reason, done });
  }

  private async depart(roomId: RoomId, reason: ReasonToLeave): Promise<void> {
    const { homeserver, rooms, clock, log } = this.ports;
    try {
      if (reason === "alone" && !(await this.isAlone(roomId))) return rooms.notAlone(roomId);
      await homeserver.leave(roomId, FAREWELLS[reason], this.signal);
      this.attempts.set(roomId, { failures: 0, notBefore: clock.now() + GONE_MS });
      log.info({ roomId, reason }, "left a room");
    } catch (error) {
      if (endsTheBot(error)) throw error;
      if (error instanceof Cancelled && this.signal.aborted) return;
      const failures = (this.attempts.get(roomId)?.failures ?? 0) + 1;
      const waitMs = pauseAfter(error, failures, PACE);
      this.attempts.set(roomId, { failures, notBefore: clock.now() + waitMs });
      const code = error instanceof DocketError ? error.code : "BUG";
      log.warn({ roomId, reason, code, waitMs }, "a room could not be left yet");
    }
  }

  /** An answer without ourselves in it says nothing. */
  private async isAlone(roomId: RoomId): Promise<boolean> {
    const members = await this.ports.homeserver.joinedMembers(roomId, this.signal);
    return members.length === 1 && members[0] === this.ports.ownUser;
  }
}
