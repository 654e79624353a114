/**
 * Works off invitations of one stage, a few at a time, each until its answer is written down. What the answer is, its stage says.
 * Guarantees: one that hangs holds up no other stage; an invitation that can't be answered now is tried again, ever more rarely.
 */
import type { Clock } from "../clock.ts";
import type { SharedHistory } from "../crypto/cryptoEngine.ts";
import { Cancelled, endsTheBot, ServerRefused, ServerUnreachable } from "../errors.ts";
import type { InviteJob, InviteOutcome, Invites, InviteStage } from "../journal/invites.ts";
import { supervise, WorkLoop } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import { isFinalRefusal, pauseAfter } from "../matrix/retries.ts";
import type { RoomId } from "../protocol/ids.ts";
import type { InvitePolicy } from "./invitePolicy.ts";

export interface InviteLoopPorts {
  readonly invites: Invites;
  readonly homeserver: Homeserver;
  readonly bundles: SharedHistory;
  readonly policy: () => InvitePolicy & { readonly decline: string | null };
  readonly clock: Clock;
  readonly log: Logger;
  readonly onFailure: (error: unknown) => void;
}

const POLL_MS = 5_000;
const PACE = { baseMs: 500, maxBackoffMs: 10 * 60_000 };
/** A few hours of the homeserver saying no. That it is away, or asks us to wait, does not count: it shows an invitation only once. */
const MOST_ATTEMPTS = 30;

export abstract class InviteLoop extends WorkLoop {
  protected readonly ports: InviteLoopPorts;
  private readonly stage: InviteStage;
  /** A request through a server that does not answer must not hold up the others. */
  private readonly atOnce: number;
  private readonly inWork = new Map<RoomId, Promise<void>>();
  private lookAgainAt: number | null = null;

  constructor(ports: InviteLoopPorts, stage: InviteStage, atOnce: number) {
    super(ports.onFailure);
    this.ports = ports;
    this.stage = stage;
    this.atOnce = atOnce;
  }

  override async stop(): Promise<void> {
    await super.stop();
    await Promise.all(this.inWork.values());
  }

  protected async work(): Promise<boolean> {
    if (this.inWork.size >= this.atOnce) return false;
    const { invites, clock } = this.ports;
    const { job, lookAgainAt } = invites.next(this.stage);
    this.lookAgainAt = lookAgainAt;
    if (job === null) return false;
    if (!this.mayTake(job)) {
      this.lookAgainAt = clock.now() + POLL_MS;
      return false;
    }
    invites.take(job);
    const done = supervise(this.handle(job), (error) => this.fail(error)).then(() => {
      invites.release(job);
      this.inWork.delete(job.roomId);
      this.finished(job);
      invites.announce();
    });
    this.inWork.set(job.roomId, done);
    return true;
  }

  protected rest(): Promise<void> {
    const waitMs = this.lookAgainAt === null ? POLL_MS : this.lookAgainAt - this.ports.clock.now();
    return this.ports.invites.changed(this.stage, this.signal, Math.min(Math.max(waitMs, 1), POLL_MS));
  }

  /** @returns null where the bot stops: the invitation is taken up after the next start */
  protected abstract answer(job: InviteJob): Promise<InviteOutcome | null>;

  /** Whether it can be answered before those in work are: when they are, it is looked at again. */
  protected mayTake(_job: InviteJob): boolean {
    return true;
  }

  /** The answer to it is written down. */
  protected finished(_job: InviteJob): void {}

  /** @param otherwise what the invitation is when it can't be done at all */
  protected async attempt(
    job: InviteJob,
    otherwise: "failed" | "ignored",
    work: () => Promise<InviteOutcome>,
  ): Promise<InviteOutcome | null> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof Cancelled && this.signal.aborted) return null;
      if (endsTheBot(error)) throw error;
      const refused = error instanceof ServerRefused;
      // One room that can't be joined must not end the bot, whatever is wrong with it.
      if (!refused && !(error instanceof ServerUnreachable)) return { kind: otherwise, reason: "unexpected_error" };
      // Without an errcode a proxy has answered, not the homeserver.
      if (refused && isFinalRefusal(error) && error.errcode !== null) return { kind: otherwise, reason: error.errcode };
      const counts = refused && error.status !== 429 && error.errcode !== null;
      if (counts && job.attempts + 1 >= MOST_ATTEMPTS) return { kind: otherwise, reason: "too_many_attempts" };
      const notBefore = this.ports.clock.now() + pauseAfter(error, job.failures + 1, PACE);
      return { kind: "retry", notBefore, counts };
    }
  }

  private async handle(job: InviteJob): Promise<void> {
    const { invites, clock, log } = this.ports;
    const outcome = await this.answer(job);
    if (outcome === null) return;
    invites.finish(job, outcome);
    const fields = { roomId: job.roomId, inviter: job.inviter };
    switch (outcome.kind) {
      case "joined":
        return log.info(fields, "invitation accepted");
      case "declining":
        return;
      case "wait":
      case "retry":
        return log.info({ ...fields, waitMs: outcome.notBefore - clock.now() }, "invitation not answered yet");
      case "declined":
        return log.info({ ...fields, reason: outcome.reason }, "invitation declined");
      case "ignored":
        return log.warn({ ...fields, reason: outcome.reason }, "invitation ignored");
      case "failed":
        return log.warn({ ...fields, reason: outcome.reason }, "invitation could not be accepted");
    }
  }
}
