/**
 * Gets one event to the homeserver. Guarantees: every attempt has the same transaction ID, so that a lost reply does not make two
 * events of it; no attempt starts after the lifetime, counted from the first one; a wait that the homeserver asks for is kept.
 */
import type { Clock, EpochMs } from "../clock.ts";
import { Cancelled, ServerRefused, ServerUnreachable } from "../errors.ts";
import type { Logger } from "../logging.ts";
import type { Homeserver, OutgoingEvent } from "../matrix/homeserver.ts";
import { isFinalRefusal, pauseAfter } from "../matrix/retries.ts";
import type { EventId, TxnId } from "../protocol/ids.ts";

export type Delivery =
  | {
      readonly kind: "sent";
      readonly eventId: EventId;
      /** When the first attempt began that may be the one that counts, by the local clock. */
      readonly sentAt: EpochMs;
    }
  | { readonly kind: "refused"; readonly refusal: ServerRefused };

export interface DeliveryPorts {
  readonly homeserver: Homeserver;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

const PACE = { baseMs: 500, maxBackoffMs: 10_000 };

/**
 * @param arrived resolves with the event's ID if the sync shows it, whatever becomes of the reply
 * @throws ServerUnreachable no reply came in time, and whether the event was sent is not known
 * @throws ServerRefused the token is refused, or the homeserver is failing
 * @throws Cancelled
 */
export async function deliver(
  event: OutgoingEvent,
  txnId: TxnId,
  lifetimeMs: number,
  arrived: Promise<EventId>,
  ports: DeliveryPorts,
): Promise<Delivery> {
  const { homeserver, clock, log, signal } = ports;
  const done = new AbortController();
  const stop = AbortSignal.any([signal, done.signal]);
  const firstAt = clock.now();
  const endsAt = firstAt + lifetimeMs;
  /** Of the first attempt that may have had an effect. */
  let sentAt: EpochMs | null = null;
  const seen = arrived.then((eventId) => ({ eventId }));
  const expired = clock.sleep(lifetimeMs, stop).then(() => null);
  try {
    for (let failures = 1; ; failures += 1) {
      const startedAt = clock.now();
      sentAt ??= startedAt;
      try {
        const sending = homeserver.send(event, txnId, stop).then((eventId) => ({ eventId }));
        // Whoever loses the race is aborted below; its failure is of no interest then.
        sending.catch(() => undefined);
        const found = await Promise.race([sending, seen, expired]);
        if (found === null) throw signal.aborted ? new Cancelled("Cancelled while the event was sent.") : noReply();
        return { kind: "sent", eventId: found.eventId, sentAt };
      } catch (error) {
        if (error instanceof ServerRefused && isFinalRefusal(error)) return { kind: "refused", refusal: error };
        const passing = error instanceof ServerUnreachable || (error instanceof ServerRefused && !error.tokenRefused);
        if (!passing) throw error;
        const withoutEffect = error instanceof ServerRefused ? error.status < 500 : !error.doubtful;
        // An earlier attempt may have had one.
        if (withoutEffect && sentAt === startedAt) sentAt = null;
        const waitMs = pauseAfter(error, failures, PACE);
        if (clock.now() + waitMs >= endsAt) {
          if (error instanceof ServerRefused && error.status < 500) return { kind: "refused", refusal: error };
          throw error;
        }
        log.warn({ code: error.code, waitMs, problem: error.message }, "the event could not be sent; trying again");
        const found = await Promise.race([clock.sleep(waitMs, stop).then(() => null), seen]);
        if (found !== null) return { kind: "sent", eventId: found.eventId, sentAt: sentAt ?? startedAt };
        if (signal.aborted) throw new Cancelled("Cancelled while waiting to send the event again.");
      }
    }
  } finally {
    done.abort();
  }
}

function noReply(): ServerUnreachable {
  return new ServerUnreachable(
    "The homeserver did not say within the lifetime whether it took the event; it may be in the room. Try again, with a longer --lifetime.",
    { doubtful: true },
  );
}
