/**
 * Works off one lane of the outbox: takes what is due, a bounded number at once and of one room, attempts it, and writes down what
 * became of it. What an attempt is, its lane says. Guarantees: one that fails costs the others nothing; what still has time when the
 * bot stops goes out for a bounded while.
 */
import type { Clock } from "../clock.ts";
import type { Outbox } from "../journal/outbox.ts";
import type { Lane, OutboxEntry, SendOutcome } from "../journal/outboxEntry.ts";
import { supervise, WorkLoop } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import type { Metrics } from "../metrics.ts";
import type { RoomId } from "../protocol/ids.ts";

export interface OutboxLoopPorts {
  readonly outbox: Outbox;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly onFailure: (error: unknown) => void;
  /** How long it may go on sending when the bot stops, in milliseconds. */
  readonly drainMs: number;
}

export interface LaneLimits {
  readonly lane: Lane;
  /** Attempts at once. */
  readonly inFlight: number;
  /** Of those in one room: one whose members' servers are slow must not hold up the others. Null where no room can. */
  readonly inFlightPerRoom: number | null;
}

/**
 * The homeserver told us to wait. Its limit on messages is for the account, so all lanes that send messages share one.
 */
export class Pause {
  /** Milliseconds since the Unix epoch. */
  until = 0;

  extendTo(until: number): void {
    this.until = Math.max(this.until, until);
  }
}

const POLL_MS = 1_000;
const DRAIN_POLL_MS = 50;
const LEASE_MS = 10 * 60_000;
/** What the log calls the things of a lane. */
const WORDS: Readonly<Record<Lane, string>> = { response: "answer", receipt: "receipt", notice: "notice" };

export abstract class OutboxLoop<Ports extends OutboxLoopPorts> extends WorkLoop {
  protected readonly ports: Ports;
  protected readonly pause: Pause;
  private readonly limits: LaneLimits;
  private readonly inFlight = new Map<Promise<void>, RoomId>();

  constructor(ports: Ports, limits: LaneLimits, pause: Pause) {
    super(ports.onFailure);
    this.ports = ports;
    this.limits = limits;
    this.pause = pause;
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
    const { lane, inFlight, inFlightPerRoom: perRoom } = this.limits;
    const want = { max: inFlight - this.inFlight.size, leaseMs: LEASE_MS };
    if (want.max <= 0 || this.isHeldBack()) return false;
    const { outbox } = this.ports;
    const busy = [...this.inFlight.values()];
    const entries =
      perRoom === null ? await outbox.claimDue(lane, want) : await outbox.claim(lane, { ...want, perRoom, busy });
    for (const entry of entries) {
      const done = supervise(this.deliver(entry), (error) => this.fail(error)).then(() => {
        this.inFlight.delete(done);
        outbox.announce([lane]);
      });
      this.inFlight.set(done, entry.roomId);
    }
    return entries.length > 0;
  }

  protected rest(): Promise<void> {
    const { outbox, clock } = this.ports;
    const now = clock.now();
    const next = outbox.nextAttemptAt(this.limits.lane);
    // What is due and was not claimed waits for a delivery to end, and that nudges.
    const waitMs = next === null || next <= now ? POLL_MS : next - now;
    return outbox.changed(this.limits.lane, this.signal, Math.min(Math.max(waitMs, this.pause.until - now), POLL_MS));
  }

  /** @returns null where the bot stops and the entry is to be tried after the next start */
  protected abstract attempt(entry: OutboxEntry): Promise<SendOutcome | null>;

  /** Whether nothing may start now, whatever is due. */
  protected isHeldBack(): boolean {
    return this.pause.until > this.ports.clock.now();
  }

  private isDue(): boolean {
    const next = this.ports.outbox.nextAttemptAt(this.limits.lane);
    return next !== null && next <= this.ports.clock.now() && !this.isHeldBack();
  }

  private async deliver(entry: OutboxEntry): Promise<void> {
    const { outbox, clock, metrics, log } = this.ports;
    const outcome = await this.attempt(entry);
    if (outcome === null) return outbox.release(entry);
    await outbox.finish(entry, outcome);
    if (outcome.kind === "retry") return;
    const { lane } = entry;
    const ms = clock.now() - entry.receivedAt;
    const about = lane === "notice" ? {} : { eventId: entry.causeEventId };
    const fields = { roomId: entry.roomId, ...about, lane, ms, attempts: entry.attempts + 1 };
    metrics.sends.inc({ lane, outcome: outcome.kind === "sent" ? "sent" : outcome.reason });
    if (outcome.kind === "dropped") {
      const { reason, doubtful } = outcome;
      return log.warn({ ...fields, reason, doubtful }, `${WORDS[lane]} dropped`);
    }
    if (lane === "response") metrics.answerSeconds.observe(ms / 1000);
    const words = `${WORDS[lane]} sent`;
    // One for each event: too many for every day.
    if (lane === "receipt") log.debug(fields, words);
    else log.info({ ...fields, answerId: outcome.eventId }, words);
  }
}
