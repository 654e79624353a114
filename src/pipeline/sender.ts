/**
 * Sends messages: responses, the one with the earliest end first, and notices, when no response waits. Guarantees: no attempt starts
 * later than a margin before the end of the lifetime, checked again after encryption; one in flight is aborted at the end; every
 * attempt uses the same transaction ID; nothing leaves in the clear where the request or the room was ever encrypted, whatever fails.
 */
import { timerDelay, type EpochMs } from "../clock.ts";
import { encryptionTarget } from "../crypto/audience.ts";
import type { CryptoEngine } from "../crypto/cryptoEngine.ts";
import { Cancelled, DocketError, endsTheBot, ServerRefused, ServerUnreachable } from "../errors.ts";
import type { DropReason, OutboxEntry, SendOutcome } from "../journal/outboxEntry.ts";
import type { RoomStates, RoomView } from "../journal/roomStates.ts";
import type { Homeserver, OutgoingEvent } from "../matrix/homeserver.ts";
import { isFinalRefusal, pauseAfter } from "../matrix/retries.ts";
import { lastMomentToStart } from "../protocol/decision.ts";
import type { EventId } from "../protocol/ids.ts";
import type { Vitals } from "../vitals.ts";
import { answerInRoom } from "./answerInRoom.ts";
import { OutboxLoop, type LaneLimits, type OutboxLoopPorts, type Pause } from "./outboxLoop.ts";

export interface SenderPorts extends OutboxLoopPorts {
  readonly rooms: RoomStates;
  readonly engine: CryptoEngine;
  readonly homeserver: Homeserver;
  readonly vitals: Vitals;
  /** What is said in each room now; null where nothing is. */
  readonly notice: () => string | null;
  /** No attempt starts later than this before the end of the lifetime, in milliseconds. */
  readonly sendMarginMs: () => number;
}

/**
 * A notice may wait: one at a time, and few a minute, so that a hundred rooms at once do not use up the account's limit on messages,
 * which answers need. Synapse's default is ten, and then twelve a minute.
 */
const NOTICES_A_MINUTE = 6;
const MINUTE_MS = 60_000;
/** How soon a room that refuses the notice is asked again. */
const REFUSED_NOTICE_MS = 60 * MINUTE_MS;
const LANES: Readonly<Record<"response" | "notice", LaneLimits>> = {
  response: { lane: "response", inFlight: 16, inFlightPerRoom: 4 },
  notice: { lane: "notice", inFlight: 1, inFlightPerRoom: 1 },
};
/** How soon a room is looked at again whose state is not known yet, in milliseconds. */
const UNKNOWN_ROOM_MS = 250;
const PACE = { baseMs: 250, maxBackoffMs: 10_000 };

export class Sender extends OutboxLoop<SenderPorts> {
  private readonly yields: boolean;
  /** When the last few notices were sent, oldest first. */
  private readonly notices: EpochMs[] = [];

  /** @param pause shared by all that send messages */
  constructor(lane: keyof typeof LANES, ports: SenderPorts, pause: Pause) {
    super(ports, LANES[lane], pause);
    this.yields = lane === "notice";
  }

  protected override isHeldBack(): boolean {
    const now = this.ports.clock.now();
    const waiting = this.yields ? this.ports.outbox.nextAttemptAt("response") : null;
    const [oldest] = this.notices;
    const tooMany = oldest !== undefined && this.notices.length === NOTICES_A_MINUTE && oldest > now - MINUTE_MS;
    return super.isHeldBack() || tooMany || (waiting !== null && waiting <= now);
  }

  protected async attempt(entry: OutboxEntry): Promise<SendOutcome | null> {
    const { clock, homeserver, rooms } = this.ports;
    const lastMoment = lastMomentToStart(entry.expiresAt, this.ports.sendMarginMs());
    const dropped = (reason: DropReason): SendOutcome => ({ kind: "dropped", reason, doubtful: entry.doubtful });
    if (clock.now() > lastMoment) return dropped("expired");
    // It was queued, or tried, in words that do not count any more.
    if (this.yields && entry.content["body"] !== this.ports.notice()) return dropped("withdrawn");
    const room = rooms.view(entry.roomId);
    if (room !== null && room.membership !== "join") return dropped("not_in_room");
    // Nothing is guessed about a room: not even whether it is encrypted.
    if (room === null) return { kind: "retry", notBefore: clock.now() + UNKNOWN_ROOM_MS, doubtful: false };

    const lifetime = new AbortController();
    const timer = setTimeout(() => lifetime.abort(), timerDelay(entry.expiresAt - clock.now()));
    const signal = AbortSignal.any([lifetime.signal, this.signal]);
    let sending = false;
    try {
      const sent = entry.askFirst && !this.yields ? await this.askRoom(entry, signal) : null;
      if (sent !== null) return { kind: "sent", eventId: sent };
      const event = await this.prepare(entry, room, signal);
      if (event === null) return { kind: "retry", notBefore: clock.now(), doubtful: false };
      if (clock.now() > lastMoment) return dropped("expired");
      sending = true;
      if (this.yields) this.noteNotice();
      const eventId = await homeserver.send(event, entry.txnId, signal);
      this.ports.vitals.sent();
      return { kind: "sent", eventId };
    } catch (error) {
      return this.outcomeOf(error, entry, { expired: lifetime.signal.aborted, sending });
    } finally {
      clearTimeout(timer);
    }
  }

  private async askRoom(entry: OutboxEntry, signal: AbortSignal): Promise<EventId | null> {
    const { homeserver, engine, log } = this.ports;
    const sent = await answerInRoom(entry, engine.identity.userId, homeserver, signal);
    const { roomId, causeEventId: eventId } = entry;
    if (sent !== null)
      log.info({ roomId, eventId, answerId: sent }, "the room has this answer already; it is not sent again");
    return sent;
  }

  private noteNotice(): void {
    this.notices.push(this.ports.clock.now());
    if (this.notices.length > NOTICES_A_MINUTE) this.notices.shift();
  }

  /** @returns the event as it goes on the wire; null where the room became encrypted meanwhile */
  private async prepare(entry: OutboxEntry, room: RoomView, signal: AbortSignal): Promise<OutgoingEvent | null> {
    const { roomId, type, content } = entry;
    if (!entry.mustEncrypt && !room.everEncrypted) {
      return this.ports.rooms.view(roomId)?.everEncrypted === false ? { roomId, type, content } : null;
    }
    const target = encryptionTarget(this.ports.rooms, room);
    const encrypted = await this.ports.engine.encrypt(target, type, content, signal);
    this.ports.vitals.unreadable(roomId, encrypted.unreadableFor);
    if (encrypted.withheldCount > 0) {
      this.ports.log.warn(
        { roomId, eventId: entry.causeEventId, devices: encrypted.withheldCount },
        "some devices could not be given the key of what was sent",
      );
    }
    return { roomId, type: "m.room.encrypted", content: encrypted.content };
  }

  private outcomeOf(
    error: unknown,
    entry: OutboxEntry,
    at: { expired: boolean; sending: boolean },
  ): SendOutcome | null {
    if (endsTheBot(error)) throw error;
    const refusal = at.sending && error instanceof ServerRefused && isFinalRefusal(error) ? error : null;
    // Power levels change, and a room must be told: it is asked again. That it refuses says nothing about sending elsewhere.
    if (this.yields && refusal !== null && refusal.errcode !== "M_TOO_LARGE")
      return this.again(entry, error, REFUSED_NOTICE_MS, false);
    if (!(error instanceof Cancelled) || at.expired) this.ports.vitals.sendFailed(this.ports.clock.now(), error);
    if (error instanceof Cancelled) {
      return at.expired ? { kind: "dropped", reason: "expired", doubtful: entry.doubtful || at.sending } : null;
    }
    // A refusal of a key request says nothing about the answer.
    if (refusal !== null)
      return { kind: "dropped", reason: refusal.errcode === "M_TOO_LARGE" ? "too_large" : "refused", doubtful: false };
    const waitMs = pauseAfter(error, entry.attempts + 1, PACE);
    // Messages have a limit of their own, for the account: all answers wait. One for key requests delays this answer alone.
    if (at.sending && error instanceof ServerRefused && error.status === 429) {
      this.pause.extendTo(this.ports.clock.now() + waitMs);
    }
    const doubtful = at.sending && (error instanceof ServerRefused ? error.status >= 500 : isDoubtful(error));
    return this.again(entry, error, waitMs, doubtful);
  }

  private again(entry: OutboxEntry, error: unknown, waitMs: number, doubtful: boolean): SendOutcome {
    const { clock, log } = this.ports;
    log.warn(
      {
        roomId: entry.roomId,
        ...(this.yields ? {} : { eventId: entry.causeEventId }),
        // Anything else is a bug, which must cost this answer at most: the next start would meet it again.
        code: error instanceof DocketError ? error.code : "BUG",
        waitMs,
        problem: error instanceof DocketError ? error.message : undefined,
      },
      `the ${this.yields ? "notice" : "answer"} could not be sent; trying again while it has time`,
    );
    return { kind: "retry", notBefore: clock.now() + waitMs, doubtful };
  }
}

function isDoubtful(error: unknown): boolean {
  return !(error instanceof ServerUnreachable) || error.doubtful;
}
