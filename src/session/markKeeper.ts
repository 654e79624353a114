/**
 * Keeps the mark of copyMark.ts: looks at it once at the start, before anything is sent, and puts a new one there after the start and
 * after each upload of one-time keys. A homeserver that does not answer is asked again; nothing waits for it.
 */
import type { Clock } from "../clock.ts";
import { Cancelled, DocketError, endsTheBot } from "../errors.ts";
import { Nudge, WorkLoop } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import type { CopyMark } from "./copyMark.ts";

/** Not more often than this, however many keys are uploaded, and after a failure. */
const PAUSE_MS = 60_000;

export interface MarkKeeperPorts {
  readonly mark: CopyMark;
  /** The mark is another directory's. */
  readonly onForeign: () => void;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onFailure: (error: unknown) => void;
}

export class MarkKeeper extends WorkLoop {
  private readonly ports: MarkKeeperPorts;
  private readonly nudges = new Nudge();
  private looked = false;
  private due = true;
  private renewedAt = Number.NEGATIVE_INFINITY;

  constructor(ports: MarkKeeperPorts) {
    super(ports.onFailure);
    this.ports = ports;
  }

  /** Never throws for a homeserver that does not answer. @throws what ends the bot */
  async look(signal: AbortSignal): Promise<void> {
    await this.tried(async () => {
      if (await this.ports.mark.isForeign(signal)) this.ports.onForeign();
      this.looked = true;
    });
  }

  /** One-time keys were uploaded. */
  noteUpload(): void {
    this.due = true;
    this.nudges.nudge();
  }

  protected async work(): Promise<boolean> {
    const { clock, mark } = this.ports;
    if (!this.due || clock.now() - this.renewedAt < PAUSE_MS) return false;
    this.renewedAt = clock.now();
    // Before ours takes its place.
    if (!this.looked) await this.look(this.signal);
    if (!this.looked) return false;
    this.due = false;
    const done = await this.tried(() => mark.renew(this.signal));
    if (!done) this.due = true;
    return done;
  }

  protected rest(): Promise<void> {
    return this.due
      ? this.ports.clock.sleep(PAUSE_MS, this.signal)
      : this.nudges.wait(this.signal, Number.MAX_SAFE_INTEGER);
  }

  private async tried(work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      if (endsTheBot(error) || !(error instanceof DocketError)) throw error;
      if (!(error instanceof Cancelled))
        this.ports.log.warn(
          { code: error.code, problem: error.message },
          "the mark that tells a restored data directory was not looked at or renewed; trying again",
        );
      return false;
    }
  }
}
