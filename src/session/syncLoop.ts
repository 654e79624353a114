/**
 * Asks the homeserver for what is new, for ever, and hands each response to one receiver. Guarantees: one response at a time;
 * the next request carries the token that the receiver left on disk; a response that could not be used is asked for again.
 */
import type { Clock } from "../clock.ts";
import { Cancelled, ServerRefused, ServerUnreachable } from "../errors.ts";
import { supervise, type Service } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import type { SyncToken } from "../protocol/ids.ts";
import type { JsonObject } from "../protocol/json.ts";

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

/** Members are not lazy-loaded: encryption needs all of them. What Docket has no use for is left out. */
const FILTER: JsonObject = {
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
const LONGEST_PAUSE_MS = 30_000;

export class SyncLoop implements Service {
  private readonly homeserver: Homeserver;
  private readonly receiver: SyncReceiver;
  private readonly clock: Clock;
  private readonly log: Logger;
  private readonly stateAfter: boolean;
  private readonly onFailure: (error: unknown) => void;
  private readonly stopping = new AbortController();
  private running: Promise<void> = Promise.resolve();
  private failures = 0;

  constructor(ports: {
    homeserver: Homeserver;
    receiver: SyncReceiver;
    clock: Clock;
    log: Logger;
    /** The server offers MSC4222. */
    stateAfter: boolean;
    /** Told once, of the error that ended the loop. */
    onFailure: (error: unknown) => void;
  }) {
    this.homeserver = ports.homeserver;
    this.receiver = ports.receiver;
    this.clock = ports.clock;
    this.log = ports.log;
    this.stateAfter = ports.stateAfter;
    this.onFailure = ports.onFailure;
  }

  async start(): Promise<void> {
    this.running = supervise(this.run(this.stopping.signal), this.onFailure);
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private async run(signal: AbortSignal): Promise<void> {
    // The first response comes at once, so that a bot that was away catches up before it waits for news.
    let timeoutMs = 0;
    while (!signal.aborted) {
      await this.receiver.ready(signal);
      if (signal.aborted) return;
      try {
        const since = this.receiver.position();
        const response = await this.homeserver.sync(
          { since, filter: FILTER, timeoutMs, stateAfter: this.stateAfter },
          signal,
        );
        await this.receiver.receive(response, since);
        if (this.failures > 0) this.log.info({ failures: this.failures }, "syncing again");
        this.failures = 0;
        timeoutMs = LONG_POLL_MS;
      } catch (error) {
        if (error instanceof Cancelled && signal.aborted) return;
        await this.pauseAfter(error, signal);
      }
    }
  }

  /** @throws the error itself, where repeating can't help */
  private async pauseAfter(error: unknown, signal: AbortSignal): Promise<void> {
    const retryable = error instanceof ServerUnreachable || (error instanceof ServerRefused && !error.tokenRefused);
    if (!retryable) throw error;
    this.failures += 1;
    const backoffMs = Math.min(500 * 2 ** Math.min(this.failures - 1, 10), LONGEST_PAUSE_MS);
    const waitMs = Math.max(backoffMs, error instanceof ServerRefused ? (error.retryAfterMs ?? 0) : 0);
    this.log.warn(
      { code: error.code, failures: this.failures, waitMs, problem: error.message },
      "the sync failed; trying again",
    );
    await this.clock.sleep(waitMs, signal);
  }
}
