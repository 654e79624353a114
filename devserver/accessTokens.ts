/**
 * Access tokens and refresh tokens, as Synapse treats them: an access token that came with a refresh token expires (soft logout);
 * a refresh token may be used again until one of the tokens that it was exchanged for has been used. Tokens of an authorization
 * server (OAuth 2.0) are its own: it is asked about them.
 */
import { randomBytes } from "node:crypto";
import type { JsonObject } from "../src/protocol/json.ts";
import { MatrixError, forbidden } from "./matrixError.ts";

/** Who makes a request, and with which token. */
export interface Session {
  readonly userId: string;
  readonly deviceId: string;
  readonly accessToken: string;
}

export interface Refreshable extends Session {
  readonly refreshToken: string;
  readonly expiresInMs: number;
}

/** An authorization server that this homeserver leaves its sign-ins to (client-server API, "OAuth 2.0 API"). */
export interface AuthDelegate {
  /** What `/auth_metadata` answers with. */
  metadata(): JsonObject;
  /** Whose token it is; `expired`: it was good once; null: it is unknown or revoked. Looking counts as use. */
  introspect(accessToken: string): { readonly userId: string; readonly deviceId: string } | "expired" | null;
}

interface Held {
  readonly session: Session;
  readonly expiresAt: number | null;
  revoked: "no" | "hard" | "soft";
  used: boolean;
}

interface HeldRefresh {
  readonly session: Session;
  /** What it was exchanged for last. */
  next: Refreshable | null;
  spent: boolean;
}

export class AccessTokens {
  readonly #held = new Map<string, Held>();
  readonly #refresh = new Map<string, HeldRefresh>();
  readonly #now: () => number;
  /** Whether who asks for a refresh token when signing in gets one. */
  offersRefresh = true;
  /** Of access tokens that come with a refresh token, in milliseconds. */
  lifetimeMs = 300_000;
  delegate: AuthDelegate | null = null;

  constructor(now: () => number) {
    this.#now = now;
  }

  issue(userId: string, deviceId: string): Session {
    return this.#hold(userId, deviceId, null);
  }

  issueRefreshable(userId: string, deviceId: string): Refreshable {
    const session = this.#hold(userId, deviceId, this.#now() + this.lifetimeMs);
    const refreshToken = `syr_${randomBytes(15).toString("base64url")}`;
    this.#refresh.set(refreshToken, { session, next: null, spent: false });
    return { ...session, refreshToken, expiresInMs: this.lifetimeMs };
  }

  /** `POST /refresh`. @throws MatrixError 401 `M_UNKNOWN_TOKEN`, 403 `M_FORBIDDEN` where what it was exchanged for has been used */
  exchange(refreshToken: string): Refreshable {
    const held = this.#refresh.get(refreshToken);
    if (held === undefined) throw new MatrixError(401, "M_UNKNOWN_TOKEN", "refresh token does not exist");
    const { next } = held;
    if (held.spent || (next !== null && this.#wasUsed(next))) throw forbidden("refresh token isn't valid anymore");
    if (next !== null) {
      this.revoke(next.accessToken, "hard");
      this.#refresh.delete(next.refreshToken);
    }
    // Who exchanges a token has it, and will not go back to the one before.
    for (const [before, { next: after }] of this.#refresh)
      if (after?.refreshToken === refreshToken) this.#refresh.delete(before);
    held.next = this.issueRefreshable(held.session.userId, held.session.deviceId);
    return held.next;
  }

  /** @throws MatrixError 401 `M_MISSING_TOKEN` or `M_UNKNOWN_TOKEN` */
  authenticate(accessToken: string | null): Session {
    if (accessToken === null) throw new MatrixError(401, "M_MISSING_TOKEN", "Missing access token");
    const held = this.#held.get(accessToken);
    if (held === undefined) return this.#introspected(accessToken);
    if (held.revoked === "soft" || (held.revoked === "no" && this.#now() >= (held.expiresAt ?? Infinity)))
      throw new MatrixError(401, "M_UNKNOWN_TOKEN", "Access token has expired", { soft_logout: true });
    if (held.revoked === "hard") throw unknownToken();
    if (!held.used) {
      held.used = true;
      for (const old of this.#refresh.values()) if (old.next?.accessToken === accessToken) old.spent = true;
    }
    return held.session;
  }

  /** Whose token it is or was; for the log of requests and for faults. */
  peek(accessToken: string | null): Session | null {
    return accessToken === null ? null : (this.#held.get(accessToken)?.session ?? null);
  }

  isDelegated(accessToken: string): boolean {
    return this.delegate !== null && !this.#held.has(accessToken);
  }

  revoke(accessToken: string, how: "hard" | "soft"): void {
    const held = this.#held.get(accessToken);
    if (held === undefined) throw new Error("There is no such access token.");
    held.revoked = how;
  }

  /** Every token of the device. */
  revokeDevice(userId: string, deviceId: string): void {
    const isOf = ({ session }: { session: Session }): boolean =>
      session.userId === userId && session.deviceId === deviceId;
    for (const held of this.#held.values()) if (isOf(held)) held.revoked = "hard";
    for (const [token, held] of this.#refresh) if (isOf(held)) this.#refresh.delete(token);
  }

  #hold(userId: string, deviceId: string, expiresAt: number | null): Session {
    const accessToken = `syt_${Buffer.from(userId).toString("base64url")}_${randomBytes(15).toString("base64url")}`;
    const session = { userId, deviceId, accessToken };
    this.#held.set(accessToken, { session, expiresAt, revoked: "no", used: false });
    return session;
  }

  #wasUsed({ accessToken, refreshToken }: Refreshable): boolean {
    return this.#held.get(accessToken)?.used === true || (this.#refresh.get(refreshToken)?.next ?? null) !== null;
  }

  #introspected(accessToken: string): Session {
    const found = this.delegate?.introspect(accessToken) ?? null;
    // As Synapse 1.160 has it behind an authorization server: an expired token is no soft logout.
    if (found === null || found === "expired") throw unknownToken();
    return { ...found, accessToken };
  }
}

function unknownToken(): MatrixError {
  return new MatrixError(401, "M_UNKNOWN_TOKEN", "Invalid access token passed.", { soft_logout: false });
}
