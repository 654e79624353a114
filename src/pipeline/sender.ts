/**
 * Sends what the outbox holds, the answer with the earliest end first. Guarantees: no attempt starts later than a margin before
 * the end of the lifetime, checked again after encryption; one in flight is aborted at the end; every attempt uses the same
 * transaction ID; nothing leaves in the clear where the request or the room was ever encrypted, whatever fails.
 */
import { timerDelay, type Clock } from "../clock.ts";
import type { CryptoEngine } from "../crypto/cryptoEngine.ts";
import { Cancelled, ServerRefused, ServerUnreachable } from "../errors.ts";
import type { Outbox, OutboxEntry, SendOutcome } from "../journal/outbox.ts";
import type { RoomStates, RoomView } from "../journal/roomStates.ts";
import { supervise } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import type { Homeserver, OutgoingEvent } from "../matrix/homeserver.ts";
import type { Metrics } from "../metrics.ts";
import { lastMomentToStart } from "../protocol/decision.ts";
import { Stage } from "./stage.ts";

export interface SenderPorts {
  readonly outbox: Outbox;
  readonly rooms: RoomStates;
  readonly engine: CryptoEngine;
  readonly homeserver: Homeserver;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly onFailure: (error: unknown) => void;
  /** No attempt starts later than this before the end of the lifetime, in milliseconds. */
  readonly sendMarginMs: number;
}

const LANE = "response";
const IN_FLIGHT = 8;
const POLL_MS = 1_000;
const LEASE_MS = 10 * 60_000;
/** How soon a room is looked at again whose state is not known yet, in milliseconds. */
const UNKNOWN_ROOM_MS = 250;
const FIRST_BACKOFF_MS = 250;
const LONGEST_BACKOFF_MS = 10_000;

export class Sender extends Stage {
  private readonly ports: SenderPorts;
  private readonly inFlight = new Set<Promise<void>>();
  /** The server told us to wait: its limit is for the account, so the whole lane waits. */
  private pausedUntil = 0;

  constructor(ports: SenderPorts) {
    super(ports.onFailure);
    this.ports = ports;
  }

  override async stop(): Promise<void> {
    await super.stop();
    await Promise.all(this.inFlight);
  }

  protected async work(): Promise<boolean> {
    if (this.pausedUntil > this.ports.clock.now()) return false;
    const entries = await this.ports.outbox.claim(LANE, { max: IN_FLIGHT - this.inFlight.size, leaseMs: LEASE_MS });
    for (const entry of entries) {
      const done = supervise(this.deliver(entry), (error) => this.fail(error)).then(() => {
        this.inFlight.delete(done);
        this.ports.outbox.announce();
      });
      this.inFlight.add(done);
    }
    return entries.length > 0;
  }

  protected rest(): Promise<void> {
    const now = this.ports.clock.now();
    const next = this.ports.outbox.nextAttemptAt(LANE);
    const waitMs = Math.max(next === null ? POLL_MS : next - now, this.pausedUntil - now, 1);
    return this.ports.outbox.changed(this.signal, Math.min(waitMs, POLL_MS));
  }

  private async deliver(entry: OutboxEntry): Promise<void> {
    const outcome = await this.attempt(entry);
    if (outcome === null) return this.ports.outbox.release(entry);
    await this.ports.outbox.finish(entry, outcome);
    if (outcome.kind === "retry") return;
    const ms = this.ports.clock.now() - entry.queuedAt;
    const fields = { roomId: entry.roomId, eventId: entry.causeEventId, lane: entry.lane, ms };
    this.ports.metrics.sends.inc({ lane: entry.lane, outcome: outcome.kind === "sent" ? "sent" : outcome.reason });
    if (outcome.kind === "sent") {
      this.ports.metrics.answerSeconds.observe(ms / 1000);
      this.ports.log.info({ ...fields, answerId: outcome.eventId, attempts: entry.attempts + 1 }, "answer sent");
    } else {
      this.ports.log.warn({ ...fields, reason: outcome.reason, attempts: entry.attempts + 1 }, "answer dropped");
    }
  }

  /** @returns null where the bot stops and the entry is to be tried after the next start */
  private async attempt(entry: OutboxEntry): Promise<SendOutcome | null> {
    const { clock, homeserver, rooms } = this.ports;
    const lastMoment = lastMomentToStart(entry.expiresAt, this.ports.sendMarginMs);
    if (clock.now() > lastMoment) return { kind: "dropped", reason: "expired" };
    const room = rooms.view(entry.roomId);
    if (room !== null && room.membership !== "join") return { kind: "dropped", reason: "not_in_room" };
    if (room === null || !room.stateKnown)
      return { kind: "retry", notBefore: clock.now() + UNKNOWN_ROOM_MS, doubtful: false };

    const lifetime = new AbortController();
    const timer = setTimeout(() => lifetime.abort(), timerDelay(entry.expiresAt - clock.now()));
    const signal = AbortSignal.any([lifetime.signal, this.signal]);
    let sending = false;
    try {
      const event = await this.prepare(entry, room, signal);
      if (event === null) return { kind: "retry", notBefore: clock.now(), doubtful: false };
      if (clock.now() > lastMoment) return { kind: "dropped", reason: "expired" };
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
    const now = this.ports.clock.now();
    if (error instanceof Cancelled) return at.expired ? { kind: "dropped", reason: "expired" } : null;
    if (error instanceof ServerRefused && error.tokenRefused) throw error;
    if (error instanceof ServerRefused && !error.retryable) {
      // A refusal of a key request says nothing about the answer: it is tried again while it has time.
      if (at.sending) return { kind: "dropped", reason: error.errcode === "M_TOO_LARGE" ? "too_large" : "refused" };
    } else if (!(error instanceof ServerRefused) && !(error instanceof ServerUnreachable)) {
      throw error;
    }
    const backoffMs = Math.min(FIRST_BACKOFF_MS * 2 ** Math.min(entry.attempts, 10), LONGEST_BACKOFF_MS);
    const waitMs = error instanceof ServerRefused ? (error.retryAfterMs ?? backoffMs) : backoffMs;
    if (error instanceof ServerRefused && error.status === 429)
      this.pausedUntil = Math.max(this.pausedUntil, now + waitMs);
    const doubtful =
      at.sending &&
      (error instanceof ServerUnreachable ? error.doubtful : error instanceof ServerRefused && error.status >= 500);
    this.ports.log.warn(
      {
        roomId: entry.roomId,
        eventId: entry.causeEventId,
        code: error instanceof ServerRefused ? "SERVER_REFUSED" : "SERVER_UNREACHABLE",
        waitMs,
        problem: (error as Error).message,
      },
      "the answer could not be sent; trying again while it has time",
    );
    return { kind: "retry", notBefore: now + waitMs, doubtful };
  }
}
