/** Long-lived things: started in order, stopped in the reverse of it, each at most once. */
import { timerDelay } from "./clock.ts";
import { Cancelled, DocketError } from "./errors.ts";
import type { Logger } from "./logging.ts";

export interface Service {
  start(): Promise<void>;
  /** Idempotent; resolves when nothing of the service runs any more. */
  stop(): Promise<void>;
}

/**
 * Runs `work` in the background and hands its failure to the one place that reports it.
 * @param onFailure called once if the promise rejects
 */
export function supervise(work: Promise<unknown>, onFailure: (error: unknown) => void): Promise<void> {
  return work.then(() => undefined, onFailure);
}

/**
 * Closes what was opened, in the reverse order, each once, even if another does not close cleanly: what ended the work is reported
 * elsewhere, and must not be hidden by what it left behind.
 * @param opened emptied
 */
export async function closeAll(opened: (() => Promise<void> | void)[], log: Logger): Promise<void> {
  for (const close of opened.splice(0).reverse()) {
    try {
      await close();
    } catch (error) {
      log.error({ code: error instanceof DocketError ? error.code : "BUG" }, "a part did not close cleanly");
    }
  }
}

/** Owns services: `start` in the order given; `stop` in the reverse order, also after a start that failed half-way. */
export class Lifecycle implements Service {
  private readonly services: readonly (readonly [string, Service])[];
  private readonly log: Logger;
  private started: number = 0;
  private stopping: Promise<void> | null = null;

  constructor(services: readonly (readonly [string, Service])[], log: Logger) {
    this.services = services;
    this.log = log;
  }

  async start(): Promise<void> {
    for (const [, service] of this.services) {
      if (this.stopping !== null) return;
      this.started += 1;
      await service.start();
    }
  }

  stop(): Promise<void> {
    this.stopping ??= this.stopAll();
    return this.stopping;
  }

  private async stopAll(): Promise<void> {
    for (const [name, service] of this.services.slice(0, this.started).reverse()) {
      try {
        await service.stop();
      } catch (error) {
        this.log.error(
          { service: name, code: error instanceof DocketError ? error.code : "BUG" },
          "a service did not stop cleanly",
        );
      }
    }
  }
}

/** Payload-free nudges: may fire too often, never too rarely. A nudge while nobody waits is kept for the next waiter. */
export class Nudge {
  private pending = false;
  private waiters: (() => void)[] = [];

  nudge(): void {
    this.pending = true;
    const waiters = this.waiters;
    this.waiters = [];
    for (const wake of waiters) wake();
  }

  /**
   * Resolves at the next nudge (at once if one is pending), when `signal` aborts, or after `maxWaitMs` milliseconds.
   * One consumer: the pending nudge is taken by the first to wait.
   */
  wait(signal: AbortSignal, maxWaitMs: number): Promise<void> {
    if (this.pending || signal.aborted) {
      this.pending = false;
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        this.waiters = this.waiters.filter((waiter) => waiter !== done);
        this.pending = false;
        resolve();
      };
      const timer = setTimeout(done, timerDelay(maxWaitMs));
      signal.addEventListener("abort", done, { once: true });
      this.waiters.push(done);
    });
  }
}

/** A service that works while there is work, sleeps until it is woken, and reports its failure in one place. */
export abstract class WorkLoop implements Service {
  private readonly stopping = new AbortController();
  private readonly onFailure: (error: unknown) => void;
  private running: Promise<void> = Promise.resolve();

  /** @param onFailure told once, of the error that ended the loop: the bot can't go on without it */
  constructor(onFailure: (error: unknown) => void) {
    this.onFailure = onFailure;
  }

  async start(): Promise<void> {
    this.running = supervise(this.run(), (error) => this.fail(error));
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  /** Aborted when the loop is to stop. */
  protected get signal(): AbortSignal {
    return this.stopping.signal;
  }

  /** Does what there is to do. @returns whether it did anything; if not, the loop rests */
  protected abstract work(): Promise<boolean>;

  /** Resolves when there may be work again, or the loop stops. */
  protected abstract rest(): Promise<void>;

  /** Reports an error that the loop can't recover from. */
  protected fail(error: unknown): void {
    if (this.signal.aborted && error instanceof Cancelled) return;
    this.onFailure(error);
  }

  private async run(): Promise<void> {
    while (!this.signal.aborted) {
      if (!(await this.work()) && !this.signal.aborted) await this.rest();
    }
  }
}
