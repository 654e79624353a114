/** What a server hands out as tokens, read with care: a lifetime that makes no sense must not cost the tokens that came with it. Pure. */
import type { EpochMs } from "../clock.ts";
import type { TokenSet } from "./tokenKeeper.ts";

export interface GivenTokens {
  readonly accessToken: unknown;
  readonly refreshToken: unknown;
  /** Milliseconds from now. */
  readonly lifetimeMs: unknown;
}

/**
 * @returns null: there is no access token that an HTTP header can carry. An end that is not in the future, or that no clock reaches,
 * counts as not known: the token is used until the homeserver refuses it
 */
export function readTokens({ accessToken, refreshToken, lifetimeMs }: GivenTokens, now: EpochMs): TokenSet | null {
  if (typeof accessToken !== "string" || !/^[\x21-\x7e]+$/.test(accessToken)) return null;
  const end = typeof lifetimeMs === "number" && lifetimeMs > 0 ? Math.floor(now + lifetimeMs) : null;
  return {
    accessToken,
    refreshToken: typeof refreshToken === "string" && refreshToken !== "" ? refreshToken : null,
    expiresAt: Number.isSafeInteger(end) ? end : null,
  };
}
