/**
 * The background of the engine: after the start, after each committed sync and whenever something was left undone, it sends
 * what the library wants to send and claims keys for broken Olm sessions (without `getMissingSessions([])` after each sync they
 * are never mended). Failures are repeated with a growing pause, or as the server asks; none is thrown away. Whatever fails, the
 * homeserver is not asked again at once: after a failure a pause comes first, and a time that has come waits for a moment.
 */
import type { Clock } from "../clock.ts";
import { Cancelled, DocketError, endsTheBot, ServerRefused } from "../errors.ts";
import { Nudge } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import type { MemberDevices } from "./memberDevices.ts";
import type { OutgoingRequests } from "./outgoingRequests.ts";
import type { SessionClaims } from "./sessionClaims.ts";

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;
/** A server that wants to be left alone for longer is asked all the same: it may have meant something else. */
const LONGEST_OBEYED_MS = 15 * 60_000;
/** In case a nudge is missing. */
const SLOW_POLL_MS = 10 * 60_000;

export interface KeyUpkeepOptions {
  readonly requests: OutgoingRequests;
  readonly claims: SessionClaims;
  readonly devices: MemberDevices;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** For failures that end the process. */
  readonly onFatal: (error: Error) => void;
}

export class KeyUpkeep {
  private readonly options: KeyUpkeepOptions;
  private readonly nudges = new Nudge();
  private running: Promise<void> | null = null;
  private failures = 0;
  private failed = false;
  private retryAfterMs = 0;
  private fatal = false;

  constructor(options: KeyUpkeepOptions) {
    this.options = options;
  }

  /** There may be something to send. Cheap. */
  nudge(): void {
    this.nudges.nudge();
  }

  /** Something could not be sent: it is tried again after a pause. Never throws. */
  noteFailure(error: unknown): void {
    const { log, onFatal, signal } = this.options;
    if (signal.aborted || error instanceof Cancelled) return;
    if (error instanceof Error && endsTheBot(error)) {
      // Several requests may be refused before the process has ended.
      if (!this.fatal) onFatal(error);
      this.fatal = true;
      return;
    }
    this.failed = true;
    if (error instanceof ServerRefused) this.retryAfterMs = Math.max(this.retryAfterMs, error.retryAfterMs ?? 0);
    log.warn(
      {
        code: error instanceof DocketError ? error.code : "BUG",
        status: error instanceof ServerRefused ? error.status : undefined,
        errcode: error instanceof ServerRefused ? error.errcode : undefined,
        problem: error instanceof DocketError ? error.message : undefined,
      },
      "a key request failed; it will be repeated",
    );
    this.nudge();
  }

  /** Makes the first round, so that our keys are up when it resolves if the server answers; the rest runs in the background. */
  async start(): Promise<void> {
    if (this.running !== null) return;
    await this.round();
    this.running = this.loop();
  }

  /** Resolves when the loop has ended; the signal ends it. */
  async settled(): Promise<void> {
    await this.running;
  }

  private async loop(): Promise<void> {
    const { clock, devices, signal } = this.options;
    while (!signal.aborted) {
      if (!this.failed) await this.nudges.wait(signal, Math.max(devices.nextDueInMs ?? SLOW_POLL_MS, FIRST_PAUSE_MS));
      // Asked now: an encryption may have been refused meanwhile.
      const pauseMs = this.pauseMs();
      if (pauseMs > 0) await clock.sleep(pauseMs, signal);
      if (!signal.aborted) await this.round();
    }
  }

  /** Zero when nothing has failed. */
  private pauseMs(): number {
    if (!this.failed) return 0;
    const backOffMs = Math.min(FIRST_PAUSE_MS * 2 ** Math.max(this.failures - 1, 0), LONGEST_PAUSE_MS);
    return Math.max(backOffMs, Math.min(this.retryAfterMs, LONGEST_OBEYED_MS));
  }

  private async round(): Promise<void> {
    const { requests, claims, signal } = this.options;
    this.failed = false;
    this.retryAfterMs = 0;
    try {
      await requests.sendAll();
      // What a mended session has to send, if anything, belongs to the next pass.
      if (await claims.claim([], signal)) await requests.sendAll();
    } catch (error) {
      this.noteFailure(error);
    }
    this.failures = this.failed ? this.failures + 1 : 0;
  }
}
