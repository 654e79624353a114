/**
 * Judges invitations, and accepts those that the policy allows, through the inviter's server; leaves the others alone, or hands them to
 * those who decline (declines.ts). Those for which there is no room in this hour wait.
 */
import type { InviteJob, InviteOutcome } from "../journal/invites.ts";
import type { RoomId } from "../protocol/ids.ts";
import { InviteLoop, type InviteLoopPorts } from "./inviteLoop.ts";
import { HOUR_MS, judgeInvite, serverOf, type Residency } from "./invitePolicy.ts";

const JOINS_AT_ONCE = 4;

export class Invitations extends InviteLoop {
  /** Until it is written down what became of the join: no room is counted too late. */
  private readonly joining = new Set<RoomId>();

  constructor(ports: InviteLoopPorts) {
    super(ports, "judge", JOINS_AT_ONCE);
  }

  protected override mayTake(job: InviteJob): boolean {
    return judgeInvite(job, this.ports.policy(), this.residency()).kind !== "busy";
  }

  protected async answer(job: InviteJob): Promise<InviteOutcome | null> {
    const policy = this.ports.policy();
    const verdict = judgeInvite(job, policy, this.residency());
    // Nothing has changed since `mayTake`; were it so, it would be asked again.
    if (verdict.kind === "busy") return { kind: "wait", notBefore: this.ports.clock.now() };
    if (verdict.kind === "wait") return { kind: "wait", notBefore: verdict.until };
    if (verdict.kind === "refuse")
      return { kind: policy.decline === null ? "ignored" : "declining", reason: verdict.refusal };
    this.joining.add(job.roomId);
    const { bundles, homeserver } = this.ports;
    const outcome = await this.attempt(job, "failed", async () => {
      // Before the join: after a kill between the two nobody would know that there was an invitation.
      await bundles.expect(job.roomId, job.inviter);
      const via = serverOf(job.inviter);
      await homeserver.join(job.roomId, via === null ? [] : [via], this.signal);
      bundles.joined(job.roomId);
      return { kind: "joined" };
    });
    if (outcome?.kind === "failed") await bundles.forget(job.roomId);
    return outcome;
  }

  protected override finished(job: InviteJob): void {
    this.joining.delete(job.roomId);
  }

  private residency(): Residency {
    const { invites, clock, policy } = this.ports;
    const now = clock.now();
    const accepted = invites.acceptedSince(now - HOUR_MS, policy().maxPerHour);
    return { now, rooms: invites.roomCount(), joining: this.joining.size, accepted };
  }
}
