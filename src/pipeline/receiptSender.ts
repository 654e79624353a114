/**
 * Sends delivery receipts (MSC4089), in a lane of their own: they are neither encrypted nor messages, so nothing about them makes a
 * response wait. Guarantees: none for what is not in the outbox; the stable name is tried only where that is wanted, and after one
 * refusal not again until the next start; one that can't be delivered is tried again for a day.
 */
import { Cancelled, DocketError, endsTheBot, ServerRefused } from "../errors.ts";
import type { OutboxEntry, SendOutcome } from "../journal/outboxEntry.ts";
import type { RoomStates } from "../journal/roomStates.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import { isFinalRefusal, pauseAfter } from "../matrix/retries.ts";
import { mayMeanUnknownType, receiptTypes, type ReceiptSupport } from "../protocol/receipts.ts";
import { OutboxLoop, Pause, type OutboxLoopPorts } from "./outboxLoop.ts";

export interface ReceiptSenderPorts extends OutboxLoopPorts {
  readonly rooms: RoomStates;
  readonly homeserver: Homeserver;
  readonly support: ReceiptSupport;
  /** Whether the stable name is tried first. */
  readonly prefersStable: () => boolean;
}

const PACE = { baseMs: 500, maxBackoffMs: 5 * 60_000 };

export class ReceiptSender extends OutboxLoop<ReceiptSenderPorts> {
  private stableRefused = false;
  /** Since one went out. */
  private failures = 0;

  constructor(ports: ReceiptSenderPorts) {
    // A limit on receipts says nothing about messages: a pause of its own.
    super(ports, { lane: "receipt", inFlight: 4, inFlightPerRoom: null }, new Pause());
  }

  protected async attempt(entry: OutboxEntry): Promise<SendOutcome | null> {
    const { clock, rooms, homeserver, support, prefersStable } = this.ports;
    if (clock.now() > entry.expiresAt) return { kind: "dropped", reason: "expired", doubtful: entry.doubtful };
    if (rooms.view(entry.roomId)?.membership !== "join")
      return { kind: "dropped", reason: "not_in_room", doubtful: entry.doubtful };
    const event = { roomId: entry.roomId, eventId: entry.causeEventId };
    const stable = support === "released" || (prefersStable() && !this.stableRefused);
    try {
      await homeserver.receipt(event, stable ? receiptTypes.stable : receiptTypes.unstable, this.signal);
      this.failures = 0;
      return { kind: "sent", eventId: null };
    } catch (error) {
      if (endsTheBot(error)) throw error;
      if (error instanceof Cancelled) return null;
      if (stable && support === "unstable" && error instanceof ServerRefused && mayMeanUnknownType(error)) {
        this.stableRefused = true;
        return { kind: "retry", notBefore: clock.now(), doubtful: false };
      }
      if (error instanceof ServerRefused && isFinalRefusal(error))
        return { kind: "dropped", reason: "refused", doubtful: false };
      return this.again(entry, error);
    }
  }

  private again(entry: OutboxEntry, error: unknown): SendOutcome {
    const { clock, log } = this.ports;
    this.failures += 1;
    const waitMs = pauseAfter(error, this.failures, PACE);
    const notBefore = clock.now() + waitMs;
    // What the homeserver says about one, it says about all.
    this.pause.extendTo(notBefore);
    const code = error instanceof DocketError ? error.code : "BUG";
    log.debug({ roomId: entry.roomId, eventId: entry.causeEventId, code, waitMs }, "a receipt could not be sent yet");
    return { kind: "retry", notBefore, doubtful: true };
  }
}
