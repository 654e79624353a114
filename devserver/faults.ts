/** Faults that a test plans: which requests they meet, how often, and what happens to those. */
import type { JsonValue } from "../src/protocol/json.ts";
import type { Changes } from "./changes.ts";

/** "Effect" is what the request does to the server's state. */
export type FaultAction =
  /** Waits, then goes on as usual. `after`: the effect happens first and the answer comes late. */
  | { readonly kind: "delay"; readonly ms: number; readonly after?: boolean }
  /** Cuts the connection; nothing has happened. */
  | { readonly kind: "dropBefore" }
  /** Cuts the connection after the effect. */
  | { readonly kind: "dropAfter" }
  /** Answers with this. `afterEffect`: the effect happens all the same. A string body is written as it is. */
  | {
      readonly kind: "answer";
      readonly status: number;
      readonly body?: JsonValue;
      readonly headers?: Readonly<Record<string, string>>;
      readonly afterEffect?: boolean;
    }
  /** 429 `M_LIMIT_EXCEEDED` with `retry_after_ms` and `Retry-After`. */
  | { readonly kind: "rateLimited"; readonly retryAfterMs: number }
  /** The effect happens. `connection`: Content-Length promises more than is sent; `json`: half of the JSON, length right. */
  | { readonly kind: "truncate"; readonly how: "connection" | "json" }
  /** Never answers, until released; then goes on as usual. `after`: the effect happens first. */
  | { readonly kind: "hang"; readonly after?: boolean };

export interface FaultRule {
  readonly method?: string;
  /** Tested against the percent-decoded path without the query. */
  readonly path?: RegExp | string;
  readonly userId?: string;
  readonly deviceId?: string;
  /** Let so many matching requests through first; 0 by default. */
  readonly skip?: number;
  /** How many requests it meets; 1 by default, `Infinity` for all. */
  readonly times?: number;
  readonly action: FaultAction;
}

export interface Fault {
  readonly id: number;
  /** How many requests it has met. */
  readonly hits: number;
  /** Meets no further requests; those that hang go on hanging. */
  remove(): void;
  /** Lets requests that hang or are delayed by it go on; later ones too. */
  release(): void;
}

/** A fault that has met a request. */
export interface Meeting {
  readonly faultId: number;
  readonly action: FaultAction;
  /** Aborted by `release`. */
  readonly released: AbortSignal;
}

export interface Met {
  readonly method: string;
  readonly path: string;
  readonly userId: string | null;
  readonly deviceId: string | null;
}

export class Faults {
  readonly #planned: Plan[] = [];
  readonly #changes: Changes;
  #lastId = 0;

  constructor(changes: Changes) {
    this.#changes = changes;
  }

  plan(rule: FaultRule): Fault {
    const plan = new Plan((this.#lastId += 1), rule);
    this.#planned.push(plan);
    return plan;
  }

  find(id: number): Fault | undefined {
    return this.#planned.find((plan) => plan.id === id);
  }

  all(): readonly Fault[] {
    return this.#planned;
  }

  /** Removes and releases every fault. */
  clear(): void {
    for (const plan of this.#planned) {
      plan.remove();
      plan.release();
    }
    this.#planned.length = 0;
  }

  /** The first planned fault that is for this request; counts it. */
  meet(request: Met): Meeting | null {
    const plan = this.#planned.find((candidate) => candidate.meets(request));
    if (plan === undefined) return null;
    this.#changes.notify();
    return { faultId: plan.id, action: plan.action, released: plan.released };
  }
}

class Plan implements Fault {
  readonly id: number;
  readonly action: FaultAction;
  hits = 0;
  readonly #rule: FaultRule;
  readonly #path: RegExp | null;
  readonly #release = new AbortController();
  #skip: number;
  #left: number;

  constructor(id: number, rule: FaultRule) {
    this.id = id;
    this.action = rule.action;
    this.#rule = rule;
    this.#path = rule.path === undefined ? null : new RegExp(rule.path);
    this.#skip = rule.skip ?? 0;
    this.#left = rule.times ?? 1;
  }

  get released(): AbortSignal {
    return this.#release.signal;
  }

  remove(): void {
    this.#left = 0;
  }

  release(): void {
    this.#release.abort();
  }

  /** Whether it is for this request; if so, one of its times is used up. */
  meets(request: Met): boolean {
    const { method, userId, deviceId } = this.#rule;
    if (this.#left <= 0) return false;
    if (method !== undefined && method !== request.method) return false;
    if (userId !== undefined && userId !== request.userId) return false;
    if (deviceId !== undefined && deviceId !== request.deviceId) return false;
    if (this.#path !== null && !this.#path.test(request.path)) return false;
    if (this.#skip > 0) {
      this.#skip -= 1;
      return false;
    }
    this.#left -= 1;
    this.hits += 1;
    return true;
  }
}
