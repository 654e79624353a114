/** Wakes whoever waits for the server's state to move. May wake too often, never too rarely. */
export class Changes {
  readonly #waiters = new Set<() => void>();

  /** Wakes everyone who waits now. */
  notify(): void {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const wake of waiters) wake();
  }

  /**
   * Resolves at the next change, after `maxWaitMs` milliseconds, or when `signal` aborts, whichever is first.
   * Never throws: the caller looks again and decides.
   */
  next(maxWaitMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted || maxWaitMs <= 0) return resolve();
      const done = (): void => {
        clearTimeout(timer);
        this.#waiters.delete(done);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, Math.min(maxWaitMs, LONGEST_TIMER_MS));
      this.#waiters.add(done);
      signal?.addEventListener("abort", done, { once: true });
    });
  }
}

/** setTimeout overflows above 2^31-1 ms and would fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The one order of everything that a sync can deliver: each event, key change and account data has a position of its own. */
export class Stream {
  #position = 0;
  readonly changes = new Changes();
  readonly #anything: Changes;

  /** @param anything is told of every change as well */
  constructor(anything: Changes) {
    this.#anything = anything;
  }

  get position(): number {
    return this.#position;
  }

  /** Takes the next position. The caller stores its item before it yields, so that nobody who wakes can miss it. */
  advance(): number {
    this.#position += 1;
    this.touch();
    return this.#position;
  }

  /** Something changed that has no position of its own, such as how a key query is to be answered. */
  touch(): void {
    this.changes.notify();
    this.#anything.notify();
  }
}
