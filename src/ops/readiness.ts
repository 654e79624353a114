/**
 * Whether the bot does what it is there for, now: judges what its parts tell (healthChecks.ts), remembers since when, and logs each
 * change between ready and not ready once. Guarantees: never ready during start and stop, nor after a failure that ends the bot.
 */
import type { Clock, EpochMs } from "../clock.ts";
import { supervise, type Service } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import type { Facts, Phase, Vitals } from "../vitals.ts";
import { checkNames, keyNote, problemsOf, type CheckName } from "./healthChecks.ts";

export interface Check {
  readonly ok: boolean;
  /** Since when it has been so, milliseconds since the epoch. */
  readonly since: EpochMs;
  /** Why it is not, and what to do. */
  readonly problem: string | null;
}

/** What `/readyz` answers with. */
export interface HealthReport {
  readonly ready: boolean;
  readonly since: EpochMs;
  readonly phase: Phase;
  /** Why the bot as a whole is not ready, apart from the checks. */
  readonly problem: string | null;
  readonly checks: Readonly<Record<CheckName, Check>>;
  /** What is off, by choice or by the homeserver, although the bot is well. */
  readonly notes: readonly string[];
}

export interface ReadinessPorts {
  readonly vitals: Vitals;
  readonly clock: Clock;
  readonly log: Logger;
  /** Whether messages still wait to be sent. @throws StoreFailed */
  readonly messagesWait: () => boolean;
  readonly onFailure: (error: unknown) => void;
}

const LOOK_EVERY_MS = 250;

export class Readiness implements Service {
  private readonly ports: ReadinessPorts;
  private readonly stopping = new AbortController();
  private readonly since: Record<CheckName | "ready", { ok: boolean; since: EpochMs }>;
  private looking: Promise<void> = Promise.resolve();

  constructor(ports: ReadinessPorts) {
    this.ports = ports;
    const now = ports.clock.now();
    const not = () => ({ ok: false, since: now });
    this.since = { ready: not(), syncing: not(), decrypting: not(), writing: not(), sending: not() };
  }

  async start(): Promise<void> {
    this.looking = supervise(this.look(), this.ports.onFailure);
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.looking;
  }

  /** Judges anew. */
  report(): HealthReport {
    const { vitals, clock, log, messagesWait } = this.ports;
    const now = clock.now();
    const facts = vitals.facts();
    const problems = problemsOf(facts, now, messagesWait);
    const checked = checkNames.map((name): [CheckName, Check] => {
      const problem = problems[name];
      return [name, { ok: problem === null, since: this.noteSince(name, problem === null, now), problem }];
    });
    const problem = problemOf(facts);
    const ready = problem === null && checked.every(([, { ok }]) => ok);
    const wasReady = this.since.ready.ok;
    const since = this.noteSince("ready", ready, now);
    if (ready && !wasReady) log.info({}, "ready");
    // A stop says so itself.
    if (!ready && wasReady && facts.phase !== "stopping") {
      const reasons = [problem, ...checked.map((entry) => entry[1].problem)].filter((reason) => reason !== null);
      log.warn({ reasons }, "not ready any more");
    }
    const checks = Object.fromEntries(checked) as Record<CheckName, Check>;
    const note = keyNote(facts, now);
    const notes = [...vitals.notes(), ...(note === null ? [] : [note])];
    return { ready, since, phase: facts.phase, problem, checks, notes };
  }

  private noteSince(name: CheckName | "ready", ok: boolean, now: EpochMs): EpochMs {
    if (this.since[name].ok !== ok) this.since[name] = { ok, since: now };
    return this.since[name].since;
  }

  /** So that a change is logged when it happens, and not when somebody asks. */
  private async look(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      this.report();
      await this.ports.clock.sleep(LOOK_EVERY_MS, this.stopping.signal);
    }
  }
}

function problemOf({ phase, failure }: Facts): string | null {
  if (failure !== null) return `The bot ends: ${failure.problem ?? "this is a bug"} (${failure.code})`;
  if (phase === "starting") return "The bot is starting.";
  if (phase === "stopping") return "The bot is stopping.";
  return null;
}
