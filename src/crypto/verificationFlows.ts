/**
 * The verifications that are known: open ones, and those that ended a while ago. Guarantees: a bounded number of them; whoever waits
 * for a change hears of it; what has ended stays as it ended.
 */
import { randomUUID } from "node:crypto";
import type { Clock, EpochMs } from "../clock.ts";
import type { Verification } from "./verification.ts";

/** How long somebody may still ask how it ended. */
const REMEMBERED_MS = 10 * 60_000;
const MOST_OPEN = 20;
const MOST_ENDED = 50;

/** A verification, and what only this room knows of it. */
export interface Flow {
  /** The library's name for it, unique for each user. */
  readonly flowId: string;
  /** A person is there for it: the steps that need none are taken by themselves. */
  taken: boolean;
  /** When we begin, if the other side has not; null while it is not time to think of that. */
  beginAt: EpochMs | null;
  now: Verification;
}

export function isOpen({ phase }: Pick<Verification, "phase">): boolean {
  return phase !== "verified" && phase !== "cancelled";
}

export class VerificationFlows {
  private readonly clock: Clock;
  private flows: Flow[] = [];
  private waiters: (() => void)[] = [];
  private changes = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  get version(): number {
    return this.changes;
  }

  get isFull(): boolean {
    return this.open().length >= MOST_OPEN;
  }

  add(flowId: string, verification: Omit<Verification, "id">, taken: boolean): Flow {
    const flow: Flow = { flowId, taken, beginAt: null, now: { ...verification, id: randomUUID() } };
    this.flows = [...this.all(), flow];
    this.announce();
    return flow;
  }

  /** @returns whether it has changed */
  update(flow: Flow, news: Partial<Omit<Verification, "id">>): boolean {
    if (!isOpen(flow.now)) return false;
    const next = { ...flow.now, ...news };
    if (JSON.stringify(next) === JSON.stringify(flow.now)) return false;
    flow.now = isOpen(next) ? next : { ...next, expiresAt: this.clock.now() + REMEMBERED_MS };
    this.announce();
    return true;
  }

  /** In the order in which they came. Forgets what ended too long ago. */
  all(): readonly Flow[] {
    const now = this.clock.now();
    const ended = this.flows.filter((flow) => !isOpen(flow.now)).slice(-MOST_ENDED);
    this.flows = this.flows.filter((flow) => isOpen(flow.now) || (ended.includes(flow) && flow.now.expiresAt > now));
    return this.flows;
  }

  open(): readonly Flow[] {
    return this.flows.filter((flow) => isOpen(flow.now));
  }

  withId(id: string): Flow | null {
    return this.flows.find((flow) => flow.now.id === id) ?? null;
  }

  /** The open one that an event belongs to. */
  find(flowId: string, isTheirs: (verification: Verification) => boolean): Flow | null {
    return this.open().find((flow) => flow.flowId === flowId && isTheirs(flow.now)) ?? null;
  }

  /** When the next open one is over, or begins; null where there is none. */
  nextDue(): EpochMs | null {
    const ends = this.open().map((flow) => flow.beginAt ?? flow.now.expiresAt);
    return ends.length === 0 ? null : Math.min(...ends);
  }

  changed(since: number, signal: AbortSignal): Promise<void> {
    if (this.changes !== since || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        signal.removeEventListener("abort", done);
        this.waiters = this.waiters.filter((waiter) => waiter !== done);
        resolve();
      };
      signal.addEventListener("abort", done, { once: true });
      this.waiters.push(done);
    });
  }

  private announce(): void {
    this.changes += 1;
    for (const wake of this.waiters) wake();
  }
}
