/**
 * Asks the account's key backup for sessions that events can't be decrypted without, one session a request, in the background. Withheld
 * ones too: what a sender keeps from this device another device of the account may have been given, and put there.
 * Guarantees: no event waits for it; what it may hold and ask is bounded (wantedSessions.ts); a failure is repeated with a growing pause,
 * or as the homeserver asks, and one that would stay the same as rarely as what is missing. What is parked in the journal is asked for
 * again later and after a restart, so nothing need be kept here.
 */
import type { Clock } from "../clock.ts";
import { Cancelled, DocketError, endsTheBot, ServerRefused } from "../errors.ts";
import { Nudge } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import { endpointPath } from "../matrix/endpoint.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import { pauseAfter } from "../matrix/retries.ts";
import type { Metrics } from "../metrics.ts";
import { importBackedUp } from "./backedUpKeys.ts";
import { isVersionGone } from "./backupVersion.ts";
import type { SessionRef } from "./sessionRef.ts";
import type { CurrentBackup } from "./currentBackup.ts";
import type { Machine } from "./machine.ts";
import { WantedSessions, type WantedLimits } from "./wantedSessions.ts";

/**
 * Sessions that events wait for, each once, in some order.
 * @param after the last one of the page before; null for the first page
 */
export type ParkedSessions = (after: SessionRef | null, most: number) => readonly SessionRef[];

export interface BackupFetchOptions {
  readonly machine: Machine;
  readonly homeserver: Homeserver;
  readonly backup: CurrentBackup;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics?: Metrics | undefined;
  readonly signal: AbortSignal;
  /** For failures that end the process. */
  readonly onFatal: (error: Error) => void;
  /** The version may be another one by now. */
  readonly onDoubt: () => void;
  readonly parkedSessions?: ParkedSessions | undefined;
  readonly limits: WantedLimits;
}

const AT_ONCE = 3;
const TIMEOUT_MS = 30_000;
/** How often the journal is asked what waits. */
const POLL_MS = 60_000;
const MOST_PAGES = 10;
const PAUSES = { baseMs: 2_000, maxBackoffMs: 5 * 60_000 };

export class BackupFetch {
  private readonly options: BackupFetchOptions;
  private readonly wanted: WantedSessions;
  private readonly nudges = new Nudge();
  private running: Promise<void> | null = null;
  private failures = 0;
  /** How far the journal was gone through. */
  private place: SessionRef | null = null;
  private fatal = false;

  constructor(options: BackupFetchOptions) {
    this.options = options;
    this.wanted = new WantedSessions(options.clock, options.limits);
  }

  /** An event can't be decrypted without it. Cheap. */
  want(session: SessionRef): void {
    if (this.wanted.add(session)) this.nudges.nudge();
  }

  /** The backup is another one, or can be read now. Cheap. */
  refresh(): void {
    this.wanted.forgetMissing();
    this.nudges.nudge();
  }

  start(): void {
    this.running ??= this.loop().catch((error: unknown) => this.end(error));
  }

  /** Resolves when nothing is under way; the signal ends it. */
  async settled(): Promise<void> {
    await this.running;
  }

  private async loop(): Promise<void> {
    const { backup, clock, signal } = this.options;
    while (!signal.aborted && !this.fatal) {
      const isReadable = backup.state.kind === "in_use";
      if (isReadable && this.wanted.isEmpty) this.refill();
      if (!isReadable || this.wanted.isEmpty) {
        await this.nudges.wait(signal, POLL_MS);
        continue;
      }
      await clock.sleep(this.wanted.nextInMs(), signal);
      const sessions = Array.from({ length: AT_ONCE }, () => this.wanted.take()).filter((session) => session !== null);
      const outcomes = await Promise.all(sessions.map((session) => this.ask(session)));
      const pausesMs = outcomes
        .filter((error) => error !== null)
        .map((error) => pauseAfter(error, this.failures + 1, PAUSES));
      this.failures = pausesMs.length === 0 ? 0 : this.failures + 1;
      if (pausesMs.length > 0) await clock.sleep(Math.max(...pausesMs), signal);
    }
  }

  /** With what the journal waits for and it is time to ask for. */
  private refill(): void {
    const { parkedSessions, limits } = this.options;
    if (parkedSessions === undefined) return;
    for (let pages = 0; pages < MOST_PAGES && this.wanted.isEmpty; pages += 1) {
      const page = parkedSessions(this.place, limits.page);
      for (const session of page) this.wanted.add(session);
      this.place = page.length < limits.page ? null : (page.at(-1) ?? null);
      if (this.place === null) return;
    }
  }

  /** @returns why it could not be asked for and is to be repeated; null where it is done with */
  private async ask(session: SessionRef): Promise<DocketError | null> {
    const { backup, metrics } = this.options;
    const { version } = backup.state;
    try {
      const isFound = version !== null && (await this.fetch(session, version));
      if (isFound) this.wanted.found(session);
      else this.wanted.notThere(session);
      metrics?.backupLookups.inc({ outcome: isFound ? "found" : "missing" });
      return null;
    } catch (error) {
      return this.noteFailure(session, error);
    }
  }

  private noteFailure(session: SessionRef, error: unknown): DocketError | null {
    const { log, metrics, signal } = this.options;
    // What would fail again must not hold up others: its turn comes when that of what is missing comes.
    const isRepeatable = error instanceof DocketError && error.retryable;
    if (isRepeatable) this.wanted.putBack(session);
    else this.wanted.notThere(session);
    if (signal.aborted || error instanceof Cancelled) return null;
    if (endsTheBot(error)) {
      this.end(error);
      return null;
    }
    metrics?.backupLookups.inc({ outcome: "failed" });
    const known = error instanceof DocketError ? error : null;
    const status = error instanceof ServerRefused ? error.status : undefined;
    log.warn(
      { code: known?.code ?? "BUG", roomId: session.roomId, status, problem: known?.message },
      "the key backup could not be asked for a key; it will be tried again",
    );
    return isRepeatable ? error : null;
  }

  private end(error: unknown): void {
    if (!this.fatal) this.options.onFatal(error instanceof Error ? error : new Error("the key backup can't be asked"));
    this.fatal = true;
  }

  /** @returns whether the backup had a key that is better than what was here */
  private async fetch(session: SessionRef, version: string): Promise<boolean> {
    const { machine, homeserver, log, signal, onDoubt } = this.options;
    const { roomId, sessionId } = session;
    const endpoint = endpointPath("/_matrix/client/v3/room_keys/keys", roomId, sessionId);
    const options = { query: { version }, signal, retry: "none", timeoutMs: TIMEOUT_MS } as const;
    const entry = await homeserver.request("GET", endpoint, options).catch((error: unknown) => {
      if (isVersionGone(error)) return null;
      throw error;
    });
    if (entry === null) {
      // The specification has one answer for a session that is not there and for a version that is not.
      onDoubt();
      return false;
    }
    const result = await importBackedUp(machine, version, [{ ...session, entry }], signal);
    if (result === null) {
      onDoubt();
      return false;
    }
    if (result.corrupt.length > 0)
      log.warn({ roomId, sessionId }, "the key backup's entry for a session is none that its key opens");
    return result.imported.length > 0;
  }
}
