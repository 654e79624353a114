/**
 * Asks the homeserver for what is new, for ever, and hands each response to one receiver. Guarantees: one response at a time;
 * the next request carries the token that the receiver left on disk; a response that could not be used is asked for again.
 */
import type { Clock } from "../clock.ts";
import { ServerRefused, ServerUnreachable } from "../errors.ts";
import { WorkLoop } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import { pauseAfter } from "../matrix/retries.ts";
import type { SyncToken } from "../protocol/ids.ts";
import type { JsonObject } from "../protocol/json.ts";
import type { Vitals } from "../vitals.ts";

export interface SyncReceiver {
  /** The token of the last response that is on disk. */
  position(): SyncToken | null;
  /** Resolves when there is room for another response. */
  ready(signal: AbortSignal): Promise<void>;
  /**
   * Keeps the response as a whole.
   * @throws ServerUnreachable the response is no usable sync response; it is asked for again
   */
  receive(response: unknown, since: SyncToken | null): Promise<void>;
}

export interface SyncLoopPorts {
  readonly homeserver: Homeserver;
  readonly receiver: SyncReceiver;
  readonly clock: Clock;
  readonly log: Logger;
  readonly vitals: Vitals;
  /** The server offers MSC4222. */
  readonly stateAfter: boolean;
  /** What is asked for; by default what a bot needs of all its rooms. */
  readonly filter?: JsonObject;
  /** Told once, of the error that ended the loop. */
  readonly onFailure: (error: unknown) => void;
}

/** Members are not lazy-loaded: encryption needs all of them. What Docket has no use for is left out. */
const BOT_FILTER: JsonObject = {
  presence: { not_types: ["*"] },
  account_data: { not_types: ["*"] },
  room: {
    timeline: { limit: 100 },
    state: { lazy_load_members: false },
    ephemeral: { not_types: ["*"] },
    account_data: { not_types: ["*"] },
  },
};

const LONG_POLL_MS = 30_000;
const IDLE_PAUSE_MS = 250;
const PACE = { baseMs: 500, maxBackoffMs: 30_000 };

export class SyncLoop extends WorkLoop {
  private readonly ports: SyncLoopPorts;
  private failures = 0;
  /** How long the next request may wait for news. The first comes at once, so that a bot that was away catches up first. */
  private timeoutMs = 0;
  private pauseMs = 0;

  constructor(ports: SyncLoopPorts) {
    super(ports.onFailure);
    this.ports = ports;
  }

  /** One sync. @returns false for a pause: after a failure, or where there was no news and no wait */
  protected async work(): Promise<boolean> {
    const { homeserver, receiver, stateAfter, filter = BOT_FILTER, clock, log, vitals } = this.ports;
    await receiver.ready(this.signal);
    if (this.signal.aborted) return false;
    const since = receiver.position();
    const startedAt = clock.now();
    try {
      const request = { since, filter, timeoutMs: this.timeoutMs, stateAfter };
      await receiver.receive(await homeserver.sync(request, this.signal), since);
    } catch (error) {
      this.noteFailure(error);
      return false;
    }
    vitals.synced(clock.now());
    if (this.failures > 0) log.info({ failures: this.failures }, "syncing again");
    this.failures = 0;
    this.timeoutMs = LONG_POLL_MS;
    // A server that answers at once without news would be asked for ever.
    const idle = receiver.position() === since && clock.now() - startedAt < IDLE_PAUSE_MS;
    this.pauseMs = IDLE_PAUSE_MS;
    return !idle;
  }

  protected rest(): Promise<void> {
    return this.ports.clock.sleep(this.pauseMs, this.signal);
  }

  /** @throws the error itself, where repeating can't help */
  private noteFailure(error: unknown): void {
    const retryable = error instanceof ServerUnreachable || (error instanceof ServerRefused && !error.tokenRefused);
    if (!retryable) throw error;
    this.failures += 1;
    // A long poll would tell only after its end that all is well again.
    this.timeoutMs = 0;
    this.pauseMs = pauseAfter(error, this.failures, PACE);
    this.ports.vitals.syncFailed(this.ports.clock.now(), error);
    this.ports.log.warn(
      { code: error.code, failures: this.failures, waitMs: this.pauseMs, problem: error.message },
      "the sync failed; trying again",
    );
  }
}
