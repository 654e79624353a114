/** Synapse's message limit: a bucket for each user that leaks at a steady rate. Off unless set. */
import { limitExceeded } from "./matrixError.ts";

export interface RateLimit {
  /** How many actions fit into an empty bucket (Synapse: 10). */
  readonly burst: number;
  /** How many leak out each second (Synapse: 0.2). */
  readonly perSecond: number;
  /** How long a refusal is itself delayed, in milliseconds (Synapse: 500). */
  readonly delayMs?: number;
}

type Bucket = { level: number; at: number };

export class RateLimits {
  #general: RateLimit | null;
  readonly #own = new Map<string, RateLimit | null>();
  readonly #buckets = new Map<string, Bucket>();
  readonly #now: () => number;

  constructor(general: RateLimit | null, now: () => number) {
    this.#general = general;
    this.#now = now;
  }

  /** @param userId null for everyone without a limit of their own. @param limit null for no limit */
  set(userId: string | null, limit: RateLimit | null): void {
    if (userId === null) this.#general = limit;
    else this.#own.set(userId, limit);
  }

  /** Counts one action. @returns null, or the refusal and how long to delay it in milliseconds */
  take(userId: string): { readonly error: Error; readonly delayMs: number } | null {
    const limit = this.#own.has(userId) ? (this.#own.get(userId) ?? null) : this.#general;
    if (limit === null) return null;
    const now = this.#now();
    const bucket = this.#buckets.get(userId) ?? { level: 0, at: now };
    this.#buckets.set(userId, bucket);
    bucket.level = Math.max(0, bucket.level - ((now - bucket.at) / 1000) * limit.perSecond);
    bucket.at = now;
    if (bucket.level + 1 <= limit.burst) {
      bucket.level += 1;
      return null;
    }
    const waitMs = Math.ceil(((bucket.level + 1 - limit.burst) / limit.perSecond) * 1000);
    return { error: limitExceeded(waitMs), delayMs: limit.delayMs ?? 500 };
  }
}
