/**
 * Shows an identity to the homeserver, with what it wants to see of the account's owner (client-server API, "User-interactive
 * authentication"): nothing where it needs nothing (MSC3967), the password where it takes one and there is one. Guarantees: the password
 * goes only to a server that asked for it, once for each upload; nothing of the owner is given where the account has got another identity
 * meanwhile (a second bot on it, another client): that would replace it; what can't be given is returned, for people.
 */
import type { CrossSigning } from "../crypto/crossSigning.ts";
import { ServerRefused, type AuthenticationChallenge } from "../errors.ts";
import { APPROVAL_STAGES } from "../matrix/authenticationChallenge.ts";
import type { UserId } from "../protocol/ids.ts";
import type { JsonObject } from "../protocol/json.ts";
import type { Wanted } from "./identityStanding.ts";

export interface Confirmation {
  readonly userId: UserId;
  /** Null: there is none. */
  readonly password: string | null;
}

/** Remembers what the homeserver called an approval that has not been given yet. In memory alone: a new one costs nothing. */
export class OwnerConfirmation {
  private readonly crossSigning: Pick<CrossSigning, "upload" | "look">;
  private session: string | null = null;

  constructor(crossSigning: Pick<CrossSigning, "upload" | "look">) {
    this.crossSigning = crossSigning;
  }

  /**
   * @param identity the public master key of what is shown, and of what it takes the place of; null: of nothing
   * @returns null when the homeserver has it; else what it wants, or `overtaken`: the account has another identity by now
   * @throws ServerRefused | ServerUnreachable | Cancelled
   */
  async upload(
    publicIdentity: JsonObject,
    { master, replaces }: { readonly master: string; readonly replaces: string | null },
    { userId, password }: Confirmation,
    signal: AbortSignal,
  ): Promise<Wanted | "overtaken" | null> {
    const approval = this.session;
    this.session = null;
    const challenge = await this.attempt(publicIdentity, approval === null ? null : { session: approval }, signal);
    if (challenge === null) return null;
    // An attempt whose answer was lost may have done it already, and a repetition may be asked for more.
    const { master: present } = await this.crossSigning.look(signal);
    if (present === master) return null;
    if (present !== null && present !== replaces) return "overtaken";
    const { session } = challenge;
    const named = session === null ? {} : { session };
    if (offers(challenge, ["m.login.dummy"])) {
      const again = await this.attempt(publicIdentity, { type: "m.login.dummy", ...named }, signal);
      return again === null ? null : { kind: "unknown", stages: [] };
    }
    const takesPassword = offers(challenge, ["m.login.password"]);
    if (takesPassword && password !== null) {
      const identifier = { type: "m.id.user", user: userId };
      const auth = { type: "m.login.password", identifier, password, ...named };
      const again = await this.attempt(publicIdentity, auth, signal);
      return again === null ? null : { kind: "other_password" };
    }
    if (APPROVAL_STAGES.some((stage) => offers(challenge, [stage]))) {
      this.session = session;
      return { kind: "approval", url: challenge.approvalUrl };
    }
    if (takesPassword) return { kind: "password" };
    return { kind: "unknown", stages: challenge.flows.flat() };
  }

  /** @returns null when it was done */
  private async attempt(
    publicIdentity: JsonObject,
    auth: JsonObject | null,
    signal: AbortSignal,
  ): Promise<AuthenticationChallenge | null> {
    try {
      await this.crossSigning.upload(publicIdentity, auth, signal);
      return null;
    } catch (error) {
      if (!(error instanceof ServerRefused)) throw error;
      if (error.challenge !== null) return error.challenge;
      // Some say 403 to a wrong password, and to a session that they have forgotten.
      if (auth !== null && !error.tokenRefused && (error.status === 401 || error.status === 403))
        return { session: null, flows: [], approvalUrl: null };
      throw error;
    }
  }
}

function offers({ flows }: AuthenticationChallenge, stages: readonly string[]): boolean {
  return flows.some((flow) => flow.length === stages.length && flow.every((stage, index) => stage === stages[index]));
}
