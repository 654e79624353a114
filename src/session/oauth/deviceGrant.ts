/**
 * Signs in through an authorization server without a browser here: a person opens an address anywhere else and confirms a code, while
 * this side asks until that has happened (RFC 8628, MSC4341).
 */
import * as oauth from "oauth4webapi";
import { Cancelled, ServerRefused, ServerUnreachable } from "../../errors.ts";
import type { Clock } from "../../clock.ts";
import type { DeviceId } from "../../protocol/ids.ts";
import type { TokenSet } from "../tokenKeeper.ts";
import type { AuthorizationServer } from "./authorizationServer.ts";
import { askServer, OAuthRefusal } from "./oauthAnswers.ts";

/** What a person needs to confirm the sign-in. */
export interface DeviceInvitation {
  /** Where the code is typed in. */
  readonly address: string;
  /** The same with the code in it; null where the server has none. */
  readonly addressWithCode: string | null;
  readonly code: string;
  /** Milliseconds from now. */
  readonly lifetimeMs: number;
}

export interface DeviceGrantPorts {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Must be shown to somebody. */
  readonly onInvitation: (invitation: DeviceInvitation) => void;
}

/** Where the server names none (RFC 8628 section 3.2). */
const DEFAULT_INTERVAL_MS = 5_000;
/** What `slow_down` adds (RFC 8628 section 3.5). */
const SLOWER_BY_MS = 5_000;
const LONGEST_INTERVAL_MS = 60_000;
/** Whatever the server names: nobody needs to be asked more often. */
const SHORTEST_INTERVAL_MS = 1_000;

/** The two names of the scopes, before and after v1.15 of the specification (MSC2967). Servers refuse both at once. */
const SCOPES = {
  stable: (deviceId: DeviceId) => `urn:matrix:client:api:* urn:matrix:client:device:${deviceId}`,
  unstable: (deviceId: DeviceId) =>
    `urn:matrix:org.matrix.msc2967.client:api:* urn:matrix:org.matrix.msc2967.client:device:${deviceId}`,
};

/**
 * @returns the tokens of the new session, once somebody has confirmed it
 * @throws ServerRefused with `tokenRefused`: nobody confirmed it in time, or somebody refused it
 * @throws ServerRefused | ServerUnreachable | Cancelled
 */
export async function signInByDeviceGrant(
  server: AuthorizationServer,
  clientId: string,
  deviceId: DeviceId,
  ports: DeviceGrantPorts,
): Promise<TokenSet> {
  const { clock, signal } = ports;
  const started = await start(server, clientId, deviceId, signal);
  const lifetimeMs = started.expires_in * 1000;
  const endsAt = clock.now() + lifetimeMs;
  ports.onInvitation({
    address: started.verification_uri,
    addressWithCode: started.verification_uri_complete ?? null,
    code: started.user_code,
    lifetimeMs,
  });
  let intervalMs =
    started.interval === undefined ? DEFAULT_INTERVAL_MS : Math.max(started.interval * 1000, SHORTEST_INTERVAL_MS);
  for (;;) {
    await clock.sleep(Math.min(intervalMs, endsAt - clock.now()), signal);
    if (signal.aborted) throw new Cancelled("the sign-in was called off");
    if (clock.now() >= endsAt) throw expired(server);
    try {
      return await poll(server, clientId, started.device_code, signal);
    } catch (error) {
      intervalMs = nextInterval(server, error, intervalMs);
    }
  }
}

async function start(
  server: AuthorizationServer,
  clientId: string,
  deviceId: DeviceId,
  signal: AbortSignal,
): Promise<oauth.DeviceAuthorizationResponse> {
  const client = { client_id: clientId };
  const { metadata } = server;
  const ask = (scope: string): Promise<oauth.DeviceAuthorizationResponse> =>
    askServer(server.issuer, async () =>
      oauth.processDeviceAuthorizationResponse(
        metadata,
        client,
        await oauth.deviceAuthorizationRequest(metadata, client, oauth.None(), { scope }, server.options(signal)),
      ),
    );
  const [first, second] = server.isStable ? [SCOPES.stable, SCOPES.unstable] : [SCOPES.unstable, SCOPES.stable];
  try {
    return await ask(first(deviceId)).catch((error: unknown) => {
      if (error instanceof OAuthRefusal && error.error === "invalid_scope") return ask(second(deviceId));
      throw error;
    });
  } catch (error) {
    if (!(error instanceof OAuthRefusal)) throw error;
    throw error.refused(`The authorization server ${server.issuer} does not let Docket sign in by code. See its log`, {
      tokenRefused: false,
    });
  }
}

async function poll(
  server: AuthorizationServer,
  clientId: string,
  deviceCode: string,
  signal: AbortSignal,
): Promise<TokenSet> {
  const client = { client_id: clientId };
  const { metadata } = server;
  const answer = await askServer(server.issuer, async () =>
    oauth.processDeviceCodeResponse(
      metadata,
      client,
      await oauth.deviceCodeGrantRequest(metadata, client, oauth.None(), deviceCode, server.options(signal)),
    ),
  );
  return server.tokensIn(answer);
}

/** @throws the error itself, or what it means, where asking again can't help */
function nextInterval(server: AuthorizationServer, error: unknown, intervalMs: number): number {
  if (error instanceof OAuthRefusal) {
    if (error.error === "authorization_pending") return intervalMs;
    if (error.error === "slow_down") return intervalMs + SLOWER_BY_MS;
    if (error.error === "expired_token") throw expired(server);
    const problem =
      error.error === "access_denied"
        ? "The sign-in was refused where it was to be confirmed. Run the command again for another try"
        : `The authorization server ${server.issuer} gives no token for the code. Run the command again`;
    throw error.refused(problem, { tokenRefused: true });
  }
  // RFC 8628 section 3.5: whoever gets no answer asks less often.
  const asked = error instanceof ServerRefused && error.retryable ? (error.retryAfterMs ?? 0) : null;
  if (asked === null && !(error instanceof ServerUnreachable)) throw error;
  return Math.max(asked ?? 0, Math.min(intervalMs * 2, LONGEST_INTERVAL_MS));
}

function expired(server: AuthorizationServer): ServerRefused {
  return new ServerRefused(
    `Nobody confirmed the sign-in at ${server.issuer} before its code expired. Run the command again for a new code`,
    { status: 400, errcode: null, tokenRefused: true },
  );
}
