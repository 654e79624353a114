/** Works off invitations, one at a time: accepts those that the policy allows, through the inviter's server, and leaves the others alone. */
import type { Clock } from "../clock.ts";
import { Cancelled, ServerRefused, ServerUnreachable } from "../errors.ts";
import type { InviteJob, InviteOutcome, Invites } from "../journal/invites.ts";
import { supervise, type Service } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import type { UserId } from "../protocol/ids.ts";
import { serverOf } from "./invitePolicy.ts";

const POLL_MS = 5_000;
const FIRST_BACKOFF_MS = 500;
const LONGEST_BACKOFF_MS = 60_000;
/** About half an hour of trying. A server that asks us to wait (429) does not count against it. */
const MOST_ATTEMPTS = 30;

export class Invitations implements Service {
  private readonly invites: Invites;
  private readonly homeserver: Homeserver;
  private readonly accepts: (inviter: UserId) => boolean;
  private readonly clock: Clock;
  private readonly log: Logger;
  private readonly onFailure: (error: unknown) => void;
  private readonly stopping = new AbortController();
  private running: Promise<void> = Promise.resolve();

  constructor(ports: {
    invites: Invites;
    homeserver: Homeserver;
    accepts: (inviter: UserId) => boolean;
    clock: Clock;
    log: Logger;
    onFailure: (error: unknown) => void;
  }) {
    this.invites = ports.invites;
    this.homeserver = ports.homeserver;
    this.accepts = ports.accepts;
    this.clock = ports.clock;
    this.log = ports.log;
    this.onFailure = ports.onFailure;
  }

  async start(): Promise<void> {
    this.running = supervise(this.run(this.stopping.signal), this.onFailure);
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const { job, lookAgainAt } = this.invites.next();
      if (job === null) {
        const waitMs = lookAgainAt === null ? POLL_MS : lookAgainAt - this.clock.now();
        await this.invites.changed(signal, Math.min(Math.max(waitMs, 1), POLL_MS));
        continue;
      }
      const outcome = await this.answer(job, signal);
      if (outcome === null) return;
      this.invites.finish(job, outcome);
      const fields = { roomId: job.roomId, inviter: job.inviter, attempts: job.attempts + 1 };
      if (outcome.kind === "joined") this.log.info(fields, "invitation accepted");
      else if (outcome.kind === "retry")
        this.log.info({ ...fields, waitMs: outcome.notBefore - this.clock.now() }, "invitation not accepted yet");
      else
        this.log.warn(
          { ...fields, reason: outcome.reason },
          outcome.kind === "ignored" ? "invitation ignored" : "invitation could not be accepted",
        );
    }
  }

  /** @returns null where the bot stops: the invitation is taken up after the next start */
  private async answer(job: InviteJob, signal: AbortSignal): Promise<InviteOutcome | null> {
    if (!this.accepts(job.inviter)) return { kind: "ignored", reason: "inviter_not_allowed" };
    const via = serverOf(job.inviter);
    try {
      await this.homeserver.join(job.roomId, via === null ? [] : [via], signal);
      return { kind: "joined" };
    } catch (error) {
      if (error instanceof Cancelled && signal.aborted) return null;
      if (error instanceof ServerRefused && error.tokenRefused) throw error;
      if (error instanceof ServerRefused && !error.retryable)
        return { kind: "failed", reason: error.errcode ?? `status_${error.status}` };
      if (!(error instanceof ServerRefused) && !(error instanceof ServerUnreachable)) throw error;
      const limited = error instanceof ServerRefused && error.status === 429;
      if (!limited && job.attempts + 1 >= MOST_ATTEMPTS) return { kind: "failed", reason: "too_many_attempts" };
      const backoffMs = Math.min(FIRST_BACKOFF_MS * 2 ** Math.min(job.attempts, 10), LONGEST_BACKOFF_MS);
      const waitMs = error instanceof ServerRefused ? (error.retryAfterMs ?? backoffMs) : backoffMs;
      return { kind: "retry", notBefore: this.clock.now() + waitMs, counts: !limited };
    }
  }
}
