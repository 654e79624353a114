/**
 * Owns waiting in line. `Mutex` lets one piece of work run at a time, in order of arrival; `KeyedMutex` does so for each key.
 * Guarantees: the lock is free again when the work has settled, however it settled; somebody who gives up while waiting
 * leaves the line and runs nothing.
 */
import { Cancelled } from "../errors.ts";

export class Mutex {
  private held = false;
  private line: (() => void)[] = [];

  /** Whether nobody holds the lock or waits for it. */
  get idle(): boolean {
    return !this.held;
  }

  /**
   * Runs `work` when all who came before are done.
   * @param signal leaves the line when it aborts; work that has started is not touched
   * @throws Cancelled when the signal aborted first; whatever `work` throws
   */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    await this.acquire(signal);
    try {
      return await work();
    } finally {
      this.release();
    }
  }

  private acquire(signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) return Promise.reject(new Cancelled("Cancelled before its turn came."));
    if (!this.held) {
      this.held = true;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const turn = (): void => {
        signal?.removeEventListener("abort", leave);
        resolve();
      };
      const leave = (): void => {
        this.line = this.line.filter((waiting) => waiting !== turn);
        reject(new Cancelled("Cancelled while waiting for its turn."));
      };
      signal?.addEventListener("abort", leave, { once: true });
      this.line.push(turn);
    });
  }

  private release(): void {
    const next = this.line.shift();
    if (next === undefined) this.held = false;
    else next();
  }
}

export class KeyedMutex {
  private readonly locks = new Map<string, Mutex>();

  /** As `Mutex.run`; work under different keys does not wait for each other. */
  async run<T>(key: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    let lock = this.locks.get(key);
    if (lock === undefined) {
      lock = new Mutex();
      this.locks.set(key, lock);
    }
    try {
      return await lock.run(work, signal);
    } finally {
      if (lock.idle) this.locks.delete(key);
    }
  }
}
