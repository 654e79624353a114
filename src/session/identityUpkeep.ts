/**
 * Sees to it that the bot's account has an identity that signs its device, from the start on and for as long as it runs
 * (accountIdentity.ts). Guarantees: the start waits for the first attempt, but not for long, and is never ended by it; how things stand is in
 * the notes of the health report, and in the log once for each change; what waits for somebody (an approval, a homeserver) is tried again
 * ever more rarely; a change of the identity is looked at when the device hears of it. The recovery key goes to its file or to the
 * terminal, once, and never to the log.
 */
import type { Clock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import type { CrossSigning } from "../crypto/crossSigning.ts";
import { Cancelled, DocketError, endsTheBot, ServerRefused } from "../errors.ts";
import type { Database } from "../journal/database.ts";
import { IdentityDrafts } from "../journal/identityDrafts.ts";
import { Nudge, supervise } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import type { Vitals } from "../vitals.ts";
import { wordsFor, type Standing, type WhyUnsigned } from "./identityStanding.ts";
import { meansOf, accountIdentityOf, type Means, type AccountIdentity } from "./accountIdentity.ts";
import type { Session } from "./openSession.ts";
import { handOverKept } from "./recoveryHandover.ts";

export interface IdentityUpkeepPorts {
  readonly accountIdentity: Pick<AccountIdentity, "settle">;
  readonly crossSigning: Pick<CrossSigning, "onChange">;
  readonly drafts: IdentityDrafts;
  readonly means: Means;
  /** Shows a recovery key to the person at the terminal; null: nobody is there. */
  readonly showRecoveryKey: ((recoveryKey: string) => void) | null;
  readonly clock: Clock;
  readonly log: Logger;
  readonly vitals: Vitals;
  /** Told once, of what the bot can't go on with. */
  readonly onFailure: (error: unknown) => void;
  /** Ends with a nudge, or after so many milliseconds; tests have it end at once. */
  readonly wait?: (signal: AbortSignal, ms: number, nudges: Nudge) => Promise<void>;
}

/** Of the notes in the health report. */
const IDENTITY_NOTE = "identity";
/** A homeserver that does not answer must not keep the bot from what it can do. */
const FIRST_WAIT_MS = 20_000;
const FIRST_PAUSE_MS = 5_000;
/** An approval in a browser counts for about ten minutes. */
const FIRST_APPROVAL_PAUSE_MS = 20_000;
const LONGEST_PAUSE_MS = 5 * 60_000;
/** Nothing changes by itself: somebody has to do something, and most of it is heard of. */
const SLOW_POLL_MS = 60 * 60_000;
/** A nudge may come from what the last look has found. */
const SHORTEST_PAUSE_MS = 2_000;

/** What the homeserver has, and does not show yet. */
const NOT_YET: ReadonlySet<WhyUnsigned> = new Set(["device_unknown", "signature_not_shown"]);
/** What the homeserver does not show (any more), nobody has given the account anew. */
const NOT_A_RESET: ReadonlySet<WhyUnsigned> = new Set([...NOT_YET, "identity_vanished"]);

/** For a session, as the configuration wants it. */
export function identityUpkeep(
  session: Session,
  ports: Omit<IdentityUpkeepPorts, "accountIdentity" | "crossSigning" | "drafts" | "means"> & {
    database: Database;
    config: Pick<Config, "account">;
  },
): IdentityUpkeep {
  const drafts = new IdentityDrafts(ports.database);
  const { crossSigning } = session.engine;
  const accountIdentity = accountIdentityOf(session, drafts, ports.log);
  return new IdentityUpkeep({ ...ports, accountIdentity, crossSigning, drafts, means: meansOf(ports.config.account) });
}

export class IdentityUpkeep {
  private readonly ports: IdentityUpkeepPorts;
  private readonly nudges = new Nudge();
  private readonly stopping = new AbortController();
  private running: Promise<void> = Promise.resolve();
  private forget: (() => void) | null = null;
  private tries = 0;
  private wasSigned = false;

  constructor(ports: IdentityUpkeepPorts) {
    this.ports = ports;
  }

  /**
   * Resolves after the first attempt, or when that takes too long: it goes on then.
   * @param signal ends the wait: the bot is stopped while it starts
   */
  async start(signal: AbortSignal): Promise<void> {
    const { crossSigning, clock, onFailure } = this.ports;
    const first = Promise.withResolvers<void>();
    this.running = supervise(this.run(first.resolve), (error) => {
      if (!(error instanceof Cancelled && this.stopping.signal.aborted)) onFailure(error);
    });
    this.forget = crossSigning.onChange(() => this.nudges.nudge());
    const waited = new AbortController();
    const patience = clock.sleep(FIRST_WAIT_MS, AbortSignal.any([waited.signal, signal]));
    await Promise.race([first.promise, this.running, patience]);
    waited.abort();
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    this.forget?.();
    this.stopping.abort(new Cancelled("The bot stops."));
    await this.running;
  }

  private async run(onFirst: () => void): Promise<void> {
    const { clock } = this.ports;
    const { signal } = this.stopping;
    while (!signal.aborted) {
      const pauseMs = await this.attempt();
      onFirst();
      if (signal.aborted) return;
      await clock.sleep(SHORTEST_PAUSE_MS, signal);
      await (this.ports.wait?.(signal, pauseMs, this.nudges) ?? this.nudges.wait(signal, pauseMs));
    }
  }

  /** @returns how long to wait for the next one, in milliseconds, if nothing happens meanwhile */
  private async attempt(): Promise<number> {
    const { accountIdentity, means, drafts, showRecoveryKey, log } = this.ports;
    const { signal } = this.stopping;
    try {
      const standing = await accountIdentity.settle(means, signal);
      await handOverKept(drafts, { recoveryFile: means.recoveryFile, show: showRecoveryKey, log });
      this.say(standing);
      if (standing.kind === "waiting" && standing.for.kind === "approval") return this.growing(FIRST_APPROVAL_PAUSE_MS);
      if (standing.kind === "unsigned" && NOT_YET.has(standing.why)) return this.growing(FIRST_PAUSE_MS);
      this.tries = 0;
      return SLOW_POLL_MS;
    } catch (error) {
      if (endsTheBot(error) || !(error instanceof DocketError)) throw error;
      if (error instanceof Cancelled && signal.aborted) return 0;
      this.sayFailure(error);
      if (!error.retryable) return SLOW_POLL_MS;
      const askedMs = error instanceof ServerRefused ? (error.retryAfterMs ?? 0) : 0;
      return Math.max(this.growing(FIRST_PAUSE_MS), askedMs);
    }
  }

  private growing(firstMs: number): number {
    this.tries += 1;
    return Math.min(firstMs * 2 ** (this.tries - 1), LONGEST_PAUSE_MS);
  }

  private say(standing: Standing): void {
    const { vitals, log } = this.ports;
    const isSigned = standing.kind === "signed";
    const isLost = this.wasSigned && standing.kind === "unsigned" && !NOT_A_RESET.has(standing.why);
    const words = wordsFor(standing);
    const text = isLost
      ? `The account's identity has changed while the bot was running: somebody has reset it. ${words ?? ""}`
      : words;
    if (vitals.note(IDENTITY_NOTE, text) && text !== null) log.warn({}, text);
    if (isSigned && !this.wasSigned) log.info({}, "the account's identity signs the bot's device");
    // A reset stays said until it is well again.
    if (!isLost) this.wasSigned = isSigned;
  }

  private sayFailure({ code, message }: DocketError): void {
    const { vitals, log } = this.ports;
    const end = /[.!?]$/.test(message) ? "" : ".";
    const effect = this.wasSigned ? "" : " Until it is, other clients may not trust the bot's device.";
    const text = `The account's cross-signing identity could not be looked after: ${message}${end}${effect} It is tried again by itself.`;
    if (vitals.note(IDENTITY_NOTE, text)) log.warn({ code }, text);
  }
}
