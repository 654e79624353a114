/**
 * Keeps the bot from asking again and again for what the homeserver refuses for good: one-time keys under IDs of which it has others.
 * Nothing else is held up by it. Says so once it is more than an accident.
 */
import type { Clock } from "../clock.ts";
import { ServerRefused } from "../errors.ts";

const FIRST_PAUSES_MS = [5_000, 60_000] as const;
const LONGEST_PAUSE_MS = 15 * 60_000;
/** So many refusals in a row are no accident. */
const PERSISTENT = 2;

export class UploadPause {
  private readonly clock: Clock;
  private readonly onPersistent: () => void;
  private refusals = 0;
  private until = 0;

  /** @param onPersistent told again with each refusal from the second in a row on */
  constructor(clock: Clock, onPersistent: () => void) {
    this.clock = clock;
    this.onPersistent = onPersistent;
  }

  get isOn(): boolean {
    return this.clock.now() < this.until;
  }

  noteTaken(): void {
    this.refusals = 0;
    this.until = 0;
  }

  /** @returns the pause in milliseconds; null where the error is of another kind, and the upload is repeated as any request */
  noteFailure(error: unknown): number | null {
    // Without an errcode a proxy has answered. No server has another reason to refuse keys that the library made.
    if (!(error instanceof ServerRefused) || error.status !== 400 || error.errcode === null) return null;
    this.refusals += 1;
    const pauseMs = FIRST_PAUSES_MS[this.refusals - 1] ?? LONGEST_PAUSE_MS;
    this.until = this.clock.now() + pauseMs;
    if (this.refusals >= PERSISTENT) this.onPersistent();
    return pauseMs;
  }
}
