/**
 * Works off invitations, a few at a time: accepts those that the policy allows, through the inviter's server; declines the others, or
 * leaves them alone. Those for which there is no room in this hour wait.
 */
import type { Clock } from "../clock.ts";
import { Cancelled, endsTheBot, ServerRefused, ServerUnreachable } from "../errors.ts";
import type { InviteJob, InviteOutcome, Invites } from "../journal/invites.ts";
import { supervise, WorkLoop } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import { isFinalRefusal, pauseAfter } from "../matrix/retries.ts";
import type { RoomId } from "../protocol/ids.ts";
import {
  HOUR_MS,
  judgeInvite,
  refusalTexts,
  serverOf,
  type InvitePolicy,
  type InviteRefusal,
  type Residency,
} from "./invitePolicy.ts";

export interface InvitationsPorts {
  readonly invites: Invites;
  readonly homeserver: Homeserver;
  readonly policy: () => InvitePolicy & { readonly decline: string | null };
  readonly clock: Clock;
  readonly log: Logger;
  readonly onFailure: (error: unknown) => void;
}

const POLL_MS = 5_000;
/** A join through a server that does not answer must not hold up the others. */
const AT_ONCE = 4;
const PACE = { baseMs: 500, maxBackoffMs: 10 * 60_000 };
/** A few hours of the homeserver saying no. That it is away, or asks us to wait, does not count: it shows an invitation only once. */
const MOST_ATTEMPTS = 30;

export class Invitations extends WorkLoop {
  private readonly ports: InvitationsPorts;
  private readonly inWork = new Map<RoomId, Promise<void>>();
  /** Until it is written down what became of the join: no room is counted too late. */
  private readonly joining = new Set<RoomId>();
  private lookAgainAt: number | null = null;

  constructor(ports: InvitationsPorts) {
    super(ports.onFailure);
    this.ports = ports;
  }

  override async stop(): Promise<void> {
    await super.stop();
    await Promise.all(this.inWork.values());
  }

  protected async work(): Promise<boolean> {
    if (this.inWork.size >= AT_ONCE) return false;
    const { job, lookAgainAt } = this.ports.invites.next([...this.inWork.keys()]);
    this.lookAgainAt = lookAgainAt;
    if (job === null) return false;
    const done = supervise(this.handle(job), (error) => this.fail(error)).then(() => {
      this.inWork.delete(job.roomId);
      this.joining.delete(job.roomId);
      this.ports.invites.announce();
    });
    this.inWork.set(job.roomId, done);
    return true;
  }

  protected rest(): Promise<void> {
    const waitMs = this.lookAgainAt === null ? POLL_MS : this.lookAgainAt - this.ports.clock.now();
    return this.ports.invites.changed(this.signal, Math.min(Math.max(waitMs, 1), POLL_MS));
  }

  private async handle(job: InviteJob): Promise<void> {
    const { invites, clock, log } = this.ports;
    const outcome = await this.answer(job);
    if (outcome === null) return;
    invites.finish(job, outcome);
    const fields = { roomId: job.roomId, inviter: job.inviter };
    if (outcome.kind === "joined") log.info(fields, "invitation accepted");
    else if (outcome.kind === "retry")
      log.info({ ...fields, waitMs: outcome.notBefore - clock.now() }, "invitation not accepted yet");
    else if (outcome.declined === true) log.info({ ...fields, reason: outcome.reason }, "invitation declined");
    else
      log.warn(
        { ...fields, reason: outcome.reason },
        outcome.kind === "ignored" ? "invitation ignored" : "invitation could not be accepted",
      );
  }

  /** @returns null where the bot stops: the invitation is taken up after the next start */
  private async answer(job: InviteJob): Promise<InviteOutcome | null> {
    const verdict = judgeInvite(job, this.ports.policy(), this.residency());
    if (verdict.kind === "wait") return { kind: "retry", notBefore: verdict.until, counts: false };
    if (verdict.kind === "refuse") return await this.refuse(job, verdict.refusal);
    this.joining.add(job.roomId);
    return await this.attempt(job, "failed", () => this.join(job));
  }

  private residency(): Residency {
    const { invites, clock, policy } = this.ports;
    const now = clock.now();
    const accepted = invites.acceptedSince(now - HOUR_MS, policy().maxPerHour);
    return { now, rooms: invites.roomCount(), joining: this.joining.size, accepted };
  }

  private async join({ roomId, inviter }: InviteJob): Promise<InviteOutcome> {
    const via = serverOf(inviter);
    await this.ports.homeserver.join(roomId, via === null ? [] : [via], this.signal);
    return { kind: "joined" };
  }

  private async refuse(job: InviteJob, refusal: InviteRefusal): Promise<InviteOutcome | null> {
    const { decline } = this.ports.policy();
    const ignored: InviteOutcome = { kind: "ignored", reason: refusal };
    if (decline === null) return ignored;
    const reason = `${refusalTexts[refusal]} ${decline}`.trim();
    const outcome = await this.attempt(job, "ignored", async () => {
      await this.ports.homeserver.leave(job.roomId, reason, this.signal);
      return { ...ignored, declined: true };
    });
    // That the homeserver would not take the refusal is no reason of its own: it is left alone then.
    return outcome?.kind === "ignored" ? { ...outcome, reason: refusal } : outcome;
  }

  /** @param otherwise what the invitation is when it can't be done at all */
  private async attempt(
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
      const notBefore = this.ports.clock.now() + pauseAfter(error, job.attempts + 1, PACE);
      return { kind: "retry", notBefore, counts };
    }
  }
}
