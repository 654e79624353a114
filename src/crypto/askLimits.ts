/** How often each of many strangers may cause something. Guarantee: what is remembered of them is bounded. */
import type { Clock, EpochMs } from "../clock.ts";

export interface AskLimitsOptions {
  /** For each sender, within the window. */
  readonly perSender: number;
  /** For all of them together, within the window. */
  readonly inAll: number;
  readonly windowMs: number;
}

export class AskLimits {
  private readonly clock: Clock;
  private readonly options: AskLimitsOptions;
  private windowEndsAt: EpochMs = 0;
  private readonly counts = new Map<string, number>();
  private total = 0;

  constructor(clock: Clock, options: AskLimitsOptions) {
    this.clock = clock;
    this.options = options;
  }

  /** Counts one. @returns whether it is within the limits */
  allows(sender: string): boolean {
    const { perSender, inAll, windowMs } = this.options;
    const now = this.clock.now();
    if (now >= this.windowEndsAt) {
      this.windowEndsAt = now + windowMs;
      this.counts.clear();
      this.total = 0;
    }
    const count = this.counts.get(sender) ?? 0;
    // Nobody new is remembered once the whole is used up.
    if (count >= perSender || this.total >= inAll) return false;
    this.counts.set(sender, count + 1);
    this.total += 1;
    return true;
  }
}
