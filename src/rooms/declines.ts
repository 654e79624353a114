/**
 * Declines invitations that were refused, with the reason, where the operator wants that. By themselves: a refusal that hangs, or a
 * hundred of them, hold up no join.
 */
import type { InviteJob, InviteOutcome } from "../journal/invites.ts";
import { InviteLoop, type InviteLoopPorts } from "./inviteLoop.ts";
import { refusalTexts, type InviteRefusal } from "./invitePolicy.ts";

const DECLINES_AT_ONCE = 2;

export class Declines extends InviteLoop {
  constructor(ports: InviteLoopPorts) {
    super(ports, "decline", DECLINES_AT_ONCE);
  }

  protected async answer(job: InviteJob): Promise<InviteOutcome | null> {
    const refusal = job.reason as InviteRefusal;
    const { decline } = this.ports.policy();
    // Switched off since.
    if (decline === null) return { kind: "ignored", reason: refusal };
    const outcome = await this.attempt(job, "ignored", async () => {
      await this.ports.homeserver.leave(job.roomId, `${refusalTexts[refusal]} ${decline}`.trim(), this.signal);
      return { kind: "declined", reason: refusal };
    });
    // That the homeserver would not take the refusal is no reason of its own: the invitation is left alone then.
    return outcome?.kind === "ignored" ? { ...outcome, reason: refusal } : outcome;
  }
}
