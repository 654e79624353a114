/**
 * Which failures are worth another attempt, and when: for the client, the sync loop and the jobs. Pure.
 * A server that names a wait is obeyed: never asked again earlier.
 */
import { ServerRefused, ServerUnreachable } from "../errors.ts";

export interface RetryLimits {
  /** Attempts in all, the first included. */
  readonly maxAttempts: number;
  /** No attempt starts later than this after the first one started, in milliseconds. */
  readonly maxTotalMs: number;
  /** First wait, in milliseconds, where the server names none; doubled for each further attempt. */
  readonly baseMs: number;
  /** Longest wait of our own choosing, in milliseconds. */
  readonly maxBackoffMs: number;
  /** A server that asks for longer than this, in milliseconds, ends the repeats: the caller hears of it instead of hanging. */
  readonly maxAskedMs: number;
}

export const standardRetries: RetryLimits = {
  maxAttempts: 5,
  maxTotalMs: 120_000,
  baseMs: 500,
  maxBackoffMs: 20_000,
  maxAskedMs: 60_000,
};

export interface AttemptSoFar {
  /** Attempts made, the failed one included: 1 or more. */
  readonly attempts: number;
  /** Milliseconds since the first attempt started. */
  readonly elapsedMs: number;
  /** From 0 (included) to 1 (excluded): the jitter, so that clients cut off together do not come back together. */
  readonly random: number;
}

/**
 * @returns milliseconds to wait before the next attempt, or null: give up and throw `error`.
 * Repeated are 429, 5xx and a server that was not reached; never another refusal, a refused token or a cancelled call.
 */
export function nextAttemptIn(
  error: unknown,
  soFar: AttemptSoFar,
  limits: RetryLimits = standardRetries,
): number | null {
  if (!(error instanceof ServerRefused || error instanceof ServerUnreachable) || !error.retryable) return null;
  if (soFar.attempts >= limits.maxAttempts) return null;
  const askedMs = error instanceof ServerRefused ? error.retryAfterMs : null;
  if (askedMs !== null && askedMs > limits.maxAskedMs) return null;
  const waitMs = askedMs ?? backoffMs(soFar.attempts, soFar.random, limits);
  return soFar.elapsedMs + waitMs > limits.maxTotalMs ? null : waitMs;
}

/**
 * For those who own their attempts: as long as the server asks, else longer with each failure. A wait too short to be meant counts as
 * none.
 * @param failures so far, this one included
 * @returns whole milliseconds
 */
export function pauseAfter(
  error: unknown,
  failures: number,
  pace: Pick<RetryLimits, "baseMs" | "maxBackoffMs">,
): number {
  const askedMs = error instanceof ServerRefused ? error.retryAfterMs : null;
  const ownMs = backoffMs(failures, NO_JITTER, pace);
  return askedMs === null || askedMs < SHORTEST_ASKED_MS ? Math.max(askedMs ?? 0, ownMs) : askedMs;
}

/** A server that asks for no wait at all, or for one of nothing, would be asked thousands of times. */
const SHORTEST_ASKED_MS = 100;

/** Statuses of a homeserver that say something about the request, and will say it again. */
const FINAL_STATUSES: ReadonlySet<number> = new Set([403, 413]);
/** Statuses that say nothing about it even with an errcode. */
const PASSING_STATUSES: ReadonlySet<number> = new Set([401, 408]);

/**
 * Whether repeating what was refused can't help. Without an errcode a proxy has answered, or a server that redirects, not the
 * homeserver.
 */
export function isFinalRefusal(error: ServerRefused): boolean {
  if (error.retryable || error.status < 400) return false;
  return FINAL_STATUSES.has(error.status) || (error.errcode !== null && !PASSING_STATUSES.has(error.status));
}

/** One bot is no herd. */
const NO_JITTER = 1;

/**
 * Exponential backoff with jitter: between half and all of `baseMs * 2^(attempts - 1)`, at most `maxBackoffMs`.
 * @returns whole milliseconds
 */
export function backoffMs(
  attempts: number,
  random: number,
  limits: Pick<RetryLimits, "baseMs" | "maxBackoffMs"> = standardRetries,
): number {
  const full = Math.min(limits.maxBackoffMs, limits.baseMs * 2 ** Math.min(Math.max(attempts, 1) - 1, 30));
  return Math.round(full * (0.5 + random / 2));
}
