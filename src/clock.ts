/** Time as the rest of the house sees it: injected, so that tests decide what "now" is. */

/** Milliseconds since the Unix epoch. */
export type EpochMs = number;

export interface Clock {
  /** The local wall clock, in milliseconds since the Unix epoch. */
  now(): EpochMs;
  /**
   * Resolves after `ms` milliseconds, or early, without an error, when `signal` aborts.
   * @param ms milliseconds to wait; zero or less resolves in the next turn
   */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** setTimeout overflows above 2^31-1 ms and would fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * A delay that setTimeout can take.
 * @param ms milliseconds, of any size and sign
 */
export function timerDelay(ms: number): number {
  return Math.min(Math.max(ms, 0), LONGEST_TIMER_MS);
}

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, timerDelay(ms));
      signal?.addEventListener("abort", done, { once: true });
    }),
};
