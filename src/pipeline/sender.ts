/**
 * Sends what the outbox holds, the answer with the earliest end first. Guarantees: no attempt starts later than a margin before
 * the end of the lifetime, checked again after encryption; one in flight is aborted at the end; every attempt uses the same
 * transaction ID; nothing leaves in the clear where the request or the room was ever encrypted, whatever fails.
 */
import { timerDelay, type Clock } from "../clock.ts";
import type { CryptoEngine } from "../crypto/cryptoEngine.ts";
import { Cancelled, CryptoPanicked, DocketError, ServerRefused, ServerUnreachable, StoreFailed } from "../errors.ts";
import type { DropReason, Outbox, OutboxEntry, SendOutcome } from "../journal/outbox.ts";
import type { RoomStates, RoomView } from "../journal/roomStates.ts";
import { supervise, WorkLoop } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import type { Homeserver, OutgoingEvent } from "../matrix/homeserver.ts";
import type { Metrics } from "../metrics.ts";
import { pauseAfter } from "../matrix/retries.ts";
import { lastMomentToStart } from "../protocol/decision.ts";
import type { RoomId } from "../protocol/ids.ts";

export interface SenderPorts {
  readonly outbox: Outbox;
  readonly rooms: RoomStates;
  readonly engine: CryptoEngine;
  readonly homeserver: Homeserver;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly onFailure: (error: unknown) => void;
  /** How long answers may still go out when the bot stops, in milliseconds. */
  readonly drainMs: number;
  /** No attempt starts later than this before the end of the lifetime, in milliseconds. */
  readonly sendMarginMs: () => number;
}

const LANE = "response";
const IN_FLIGHT = 16;
/** Of those for one room: a room whose members' servers are slow must not hold up the others. */
const IN_FLIGHT_PER_ROOM = 4;
const POLL_MS = 1_000;
const DRAIN_POLL_MS = 50;
const LEASE_MS = 10 * 60_000;
/** How soon a room is looked at again whose state is not known yet, in milliseconds. */
const UNKNOWN_ROOM_MS = 250;
const PACE = { baseMs: 250, maxBackoffMs: 10_000 };
/** Statuses of a homeserver that say something about this answer, and will say it again. */
const FINAL_STATUSES: ReadonlySet<number> = new Set([403, 413]);
/** Statuses that say nothing about it even with an errcode. */
const PASSING_STATUSES: ReadonlySet<number> = new Set([401, 408]);

export class Sender extends WorkLoop {
  private readonly ports: SenderPorts;
  private readonly inFlight = new Map<Promise<void>, RoomId>();
  /** The server told us to wait: its limit is for the account, so the whole lane waits. */
  private pausedUntil = 0;

  constructor(ports: SenderPorts) {
    super(ports.onFailure);
    this.ports = ports;
  }

  /** What the last handlers answered still goes out, for a bounded time. */
  override async stop(): Promise<void> {
    const { clock, drainMs } = this.ports;
    const end = clock.now() + drainMs;
    while (clock.now() < end && (this.inFlight.size > 0 || this.isDue())) {
      await Promise.race([...this.inFlight.keys(), clock.sleep(Math.min(DRAIN_POLL_MS, end - clock.now()))]);
    }
    await super.stop();
    await Promise.all(this.inFlight.keys());
  }

  protected async work(): Promise<boolean> {
    const max = IN_FLIGHT - this.inFlight.size;
    if (max <= 0 || this.pausedUntil > this.ports.clock.now()) return false;
    const busy = [...this.inFlight.values()];
    const entries = await this.ports.outbox.claim(LANE, { max, perRoom: IN_FLIGHT_PER_ROOM, busy, leaseMs: LEASE_MS });
    for (const entry of entries) {
      const done = supervise(this.deliver(entry), (error) => this.fail(error)).then(() => {
        this.inFlight.delete(done);
        this.ports.outbox.announce();
      });
      this.inFlight.set(done, entry.roomId);
    }
    return entries.length > 0;
  }

  protected rest(): Promise<void> {
    const now = this.ports.clock.now();
    const next = this.ports.outbox.nextAttemptAt(LANE);
    // What is due and was not claimed waits for a delivery to end, and that nudges.
    const waitMs = next === null || next <= now ? POLL_MS : next - now;
    return this.ports.outbox.changed(this.signal, Math.min(Math.max(waitMs, this.pausedUntil - now), POLL_MS));
  }

  private isDue(): boolean {
    const now = this.ports.clock.now();
    const next = this.ports.outbox.nextAttemptAt(LANE);
    return next !== null && next <= now && this.pausedUntil <= now;
  }

  private async deliver(entry: OutboxEntry): Promise<void> {
    const outcome = await this.attempt(entry);
    if (outcome === null) return this.ports.outbox.release(entry);
    await this.ports.outbox.finish(entry, outcome);
    if (outcome.kind === "retry") return;
    const ms = this.ports.clock.now() - entry.receivedAt;
    const fields = { roomId: entry.roomId, eventId: entry.causeEventId, lane: entry.lane, ms };
    this.ports.metrics.sends.inc({ lane: entry.lane, outcome: outcome.kind === "sent" ? "sent" : outcome.reason });
    if (outcome.kind === "sent") {
      this.ports.metrics.answerSeconds.observe(ms / 1000);
      this.ports.log.info({ ...fields, answerId: outcome.eventId, attempts: entry.attempts + 1 }, "answer sent");
    } else {
      const { reason, doubtful } = outcome;
      this.ports.log.warn({ ...fields, reason, doubtful, attempts: entry.attempts + 1 }, "answer dropped");
    }
  }

  /** @returns null where the bot stops and the entry is to be tried after the next start */
  private async attempt(entry: OutboxEntry): Promise<SendOutcome | null> {
    const { clock, homeserver, rooms } = this.ports;
    const lastMoment = lastMomentToStart(entry.expiresAt, this.ports.sendMarginMs());
    const dropped = (reason: DropReason): SendOutcome => ({ kind: "dropped", reason, doubtful: entry.doubtful });
    if (clock.now() > lastMoment) return dropped("expired");
    const room = rooms.view(entry.roomId);
    if (room !== null && room.membership !== "join") return dropped("not_in_room");
    // Nothing is guessed about a room: not even whether it is encrypted.
    if (room === null) return { kind: "retry", notBefore: clock.now() + UNKNOWN_ROOM_MS, doubtful: false };

    const lifetime = new AbortController();
    const timer = setTimeout(() => lifetime.abort(), timerDelay(entry.expiresAt - clock.now()));
    const signal = AbortSignal.any([lifetime.signal, this.signal]);
    let sending = false;
    try {
      const event = await this.prepare(entry, room, signal);
      if (event === null) return { kind: "retry", notBefore: clock.now(), doubtful: false };
      if (clock.now() > lastMoment) return dropped("expired");
      sending = true;
      return { kind: "sent", eventId: await homeserver.send(event, entry.txnId, signal) };
    } catch (error) {
      return this.outcomeOf(error, entry, { expired: lifetime.signal.aborted, sending });
    } finally {
      clearTimeout(timer);
    }
  }

  /** @returns the event as it goes on the wire; null where the room became encrypted meanwhile */
  private async prepare(entry: OutboxEntry, room: RoomView, signal: AbortSignal): Promise<OutgoingEvent | null> {
    const { roomId, type, content } = entry;
    if (!entry.mustEncrypt && !room.everEncrypted) {
      return this.ports.rooms.view(roomId)?.everEncrypted === false ? { roomId, type, content } : null;
    }
    const encrypted = await this.ports.engine.encrypt(
      {
        roomId,
        settings: room.encryption,
        historyVisibility: room.historyVisibility,
        recipients: this.ports.rooms.recipients(room),
      },
      type,
      content,
      signal,
    );
    if (encrypted.withheldFrom.length > 0) {
      this.ports.log.warn(
        { roomId, eventId: entry.causeEventId, devices: encrypted.withheldFrom.length },
        "some devices could not be given the key of the answer",
      );
    }
    return { roomId, type: "m.room.encrypted", content: encrypted.content };
  }

  private outcomeOf(
    error: unknown,
    entry: OutboxEntry,
    at: { expired: boolean; sending: boolean },
  ): SendOutcome | null {
    const { clock, log } = this.ports;
    if (error instanceof StoreFailed || error instanceof CryptoPanicked) throw error;
    if (error instanceof ServerRefused && error.tokenRefused) throw error;
    if (error instanceof Cancelled) {
      return at.expired ? { kind: "dropped", reason: "expired", doubtful: entry.doubtful || at.sending } : null;
    }
    // A refusal of a key request says nothing about the answer.
    if (at.sending && error instanceof ServerRefused && isFinal(error)) {
      return { kind: "dropped", reason: error.errcode === "M_TOO_LARGE" ? "too_large" : "refused", doubtful: false };
    }
    const waitMs = pauseAfter(error, entry.attempts + 1, PACE);
    const notBefore = clock.now() + waitMs;
    // Messages have a limit of their own, for the account: all answers wait. One for key requests delays this answer alone.
    if (at.sending && error instanceof ServerRefused && error.status === 429) {
      this.pausedUntil = Math.max(this.pausedUntil, notBefore);
    }
    const doubtful = at.sending && (error instanceof ServerRefused ? error.status >= 500 : isDoubtful(error));
    log.warn(
      {
        roomId: entry.roomId,
        eventId: entry.causeEventId,
        // Anything else is a bug, which must cost this answer at most: the next start would meet it again.
        code: error instanceof DocketError ? error.code : "BUG",
        waitMs,
        problem: error instanceof DocketError ? error.message : undefined,
      },
      "the answer could not be sent; trying again while it has time",
    );
    return { kind: "retry", notBefore, doubtful };
  }
}

/** Whether repeating can't help. Without an errcode a proxy has answered, or a server that redirects, not the homeserver. */
function isFinal(error: ServerRefused): boolean {
  if (error.retryable || error.status < 400) return false;
  return FINAL_STATUSES.has(error.status) || (error.errcode !== null && !PASSING_STATUSES.has(error.status));
}

function isDoubtful(error: unknown): boolean {
  return !(error instanceof ServerUnreachable) || error.doubtful;
}
