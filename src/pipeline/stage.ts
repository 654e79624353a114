/** What the stages share: a loop that works while there is work, sleeps until it is woken, and reports its failure in one place. */
import { Cancelled } from "../errors.ts";
import { supervise, type Service } from "../lifecycle.ts";

export abstract class Stage implements Service {
  private readonly stopping = new AbortController();
  private readonly onFailure: (error: unknown) => void;
  private running: Promise<void> = Promise.resolve();

  /** @param onFailure told once, of the error that ended the stage: the bot can't go on without it */
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

  /** Aborted when the stage is to stop. */
  protected get signal(): AbortSignal {
    return this.stopping.signal;
  }

  /** Does what there is to do. @returns whether it did anything; if not, the loop rests */
  protected abstract work(): Promise<boolean>;

  /** Resolves when there may be work again, or the stage stops. */
  protected abstract rest(): Promise<void>;

  /** Reports an error that the stage can't recover from. */
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
