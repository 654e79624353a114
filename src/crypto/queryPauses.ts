/**
 * Owns when a user's devices may be asked for again. A user whose server did not answer is left alone for a while (15 s, doubling
 * to 15 min). A failure of our own homeserver says nothing about the users, and has no pause here: the background makes one; but
 * nobody is asked for before the time that a rate limit names (15 min at most).
 */
import type { Clock, EpochMs } from "../clock.ts";
import { ServerRefused } from "../errors.ts";

const FIRST_PAUSE_MS = 15_000;
const LONGEST_PAUSE_MS = 15 * 60_000;

interface Silence {
  readonly failures: number;
  readonly notBefore: EpochMs;
}

export class QueryPauses {
  private readonly clock: Clock;
  private readonly silent = new Map<string, Silence>();
  /** Whose last query our own homeserver failed to answer. */
  private readonly undone = new Set<string>();
  private limitedUntil: EpochMs = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Their server did not answer, or not usably. */
  noteSilence(users: readonly string[]): void {
    for (const user of users) {
      const failures = (this.silent.get(user)?.failures ?? 0) + 1;
      const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** (failures - 1), LONGEST_PAUSE_MS);
      this.silent.set(user, { failures, notBefore: this.clock.now() + pauseMs });
    }
  }

  /** Our own homeserver failed to answer a query for them. */
  noteFailure(users: readonly string[], error: unknown): void {
    for (const user of users) this.undone.add(user);
    const waitMs = Math.min(askedWaitMs(error), LONGEST_PAUSE_MS);
    if (waitMs > 0) this.limitedUntil = this.clock.now() + waitMs;
  }

  /** They were answered for, or nobody wants to know any more. */
  forget(users: readonly string[]): void {
    this.endSilence(users);
    for (const user of users) this.undone.delete(user);
  }

  /** The library asks for these only. */
  keepOnly(users: ReadonlySet<string>): void {
    this.forget([...this.silent.keys(), ...this.undone].filter((user) => !users.has(user)));
  }

  /** Their server lives: they may be asked for at once. */
  endSilence(users: readonly string[]): void {
    for (const user of users) this.silent.delete(user);
  }

  isSilent(user: string): boolean {
    return this.silent.has(user);
  }

  /** Whether the user's last query was not answered, whosever fault it was. */
  isUnanswered(user: string): boolean {
    return this.silent.has(user) || this.undone.has(user);
  }

  isDue(user: string): boolean {
    return Math.max(this.silent.get(user)?.notBefore ?? 0, this.limitedUntil) <= this.clock.now();
  }

  /** What is left of our own homeserver's rate limit, in milliseconds. */
  get limitedForMs(): number {
    return Math.max(0, this.limitedUntil - this.clock.now());
  }

  /**
   * When somebody is to be asked for again, in milliseconds from now; null when nothing here says so.
   * @param leftOut whom it is not time to ask, whatever is noted here
   */
  nextDueInMs(leftOut: ReadonlySet<string>): number | null {
    const due = [...this.silent]
      .filter(([user]) => !leftOut.has(user))
      .map(([, { notBefore }]) => Math.max(notBefore - this.clock.now(), this.limitedForMs));
    if (this.undone.size > 0 && this.limitedForMs > 0) due.push(this.limitedForMs);
    return due.length === 0 ? null : Math.min(...due);
  }
}

/** In milliseconds; zero where the server did not ask for any. */
export function askedWaitMs(error: unknown): number {
  return error instanceof ServerRefused ? (error.retryAfterMs ?? 0) : 0;
}
