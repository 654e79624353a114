/** Signing in at the homeserver itself (client-server API, "Legacy API"): what it offers, the password, new tokens for old ones. */
import type { Clock } from "../clock.ts";
import { ServerRefused, ServerUnreachable } from "../errors.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import { isPrintableId, type DeviceId, type UserId } from "../protocol/ids.ts";
import { isJsonObject, type JsonObject } from "../protocol/json.ts";
import { readTokens } from "./readTokens.ts";
import type { TokenSet } from "./tokenKeeper.ts";

type Requests = Pick<Homeserver, "request">;

export interface PasswordSignIn {
  readonly userId: UserId;
  readonly password: string;
  /** One that the account has keeps its keys and its name; else it is made. */
  readonly deviceId: DeviceId;
  readonly deviceName: string;
}

export interface SignedIn extends TokenSet {
  readonly userId: UserId;
  readonly deviceId: DeviceId;
}

export const PASSWORD_FLOW = "m.login.password";

/** @returns the types of sign-in that `GET /login` offers. @throws ServerRefused | ServerUnreachable | Cancelled */
export async function offeredFlows(homeserver: Requests, signal: AbortSignal): Promise<readonly string[]> {
  const { flows } = await homeserver.request("GET", "/_matrix/client/v3/login", { signal });
  if (!Array.isArray(flows)) return [];
  return flows.flatMap((flow) => (isJsonObject(flow) && typeof flow["type"] === "string" ? [flow["type"]] : []));
}

/**
 * `POST /login`. Asks for a refresh token; whether one comes is the server's choice.
 * @throws ServerRefused with `tokenRefused` where the password is not accepted
 * @throws ServerRefused | ServerUnreachable | Cancelled
 */
export async function signInByPassword(
  homeserver: Requests,
  { userId, password, deviceId, deviceName }: PasswordSignIn,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): Promise<SignedIn> {
  const body = {
    type: PASSWORD_FLOW,
    identifier: { type: "m.id.user", user: userId },
    password,
    device_id: deviceId,
    initial_device_display_name: deviceName,
    refresh_token: true,
  };
  let answer: JsonObject;
  try {
    // A repetition names the same device: a lost answer leaves no second one.
    answer = await homeserver.request("POST", "/_matrix/client/v3/login", { body, signal });
  } catch (error) {
    if (!(error instanceof ServerRefused) || error.errcode === null || error.retryable) throw error;
    throw new ServerRefused(`The homeserver does not sign ${userId} in: ${signInHint(error)}`, {
      status: error.status,
      errcode: error.errcode,
      tokenRefused: error.status === 403,
    });
  }
  const { user_id: signedInUser, device_id: signedInDevice } = answer;
  if (!isPrintableId(signedInUser) || !isPrintableId(signedInDevice)) throw unusable("/login");
  return {
    userId: signedInUser as UserId,
    deviceId: signedInDevice as DeviceId,
    ...tokensIn(answer, "/login", clock),
  };
}

/**
 * One attempt at `POST /refresh`.
 * @throws ServerRefused with `tokenRefused`: the sign-in is over
 * @throws ServerRefused | ServerUnreachable | Cancelled to be tried again
 */
export async function exchangeAtHomeserver(
  homeserver: Requests,
  refreshToken: string,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): Promise<TokenSet> {
  try {
    const body = { refresh_token: refreshToken };
    const answer = await homeserver.request("POST", "/_matrix/client/v3/refresh", { body, signal, retry: "none" });
    return tokensIn(answer, "/refresh", clock);
  } catch (error) {
    if (!(error instanceof ServerRefused) || error.retryable) throw error;
    const { status, errcode } = error;
    // Synapse: 401 M_UNKNOWN_TOKEN for a token that it does not know, 403 M_FORBIDDEN for one that was used or has expired.
    if ((status === 401 || status === 403) && errcode !== null) {
      throw new ServerRefused(
        `The homeserver gives no new access token for this device (status ${status} ${errcode}): its sign-in is over. Sign in again with \`docket login\``,
        { status, errcode, tokenRefused: true },
      );
    }
    throw new ServerUnreachable(error.message, { doubtful: false, cause: error });
  }
}

function tokensIn(answer: JsonObject, endpoint: string, clock: Clock): TokenSet {
  const { access_token: accessToken, refresh_token: refreshToken, expires_in_ms: lifetimeMs } = answer;
  const tokens = readTokens({ accessToken, refreshToken, lifetimeMs }, clock.now());
  if (tokens === null) throw unusable(endpoint);
  return tokens;
}

function unusable(endpoint: string): ServerUnreachable {
  return new ServerUnreachable(
    `The homeserver's answer to ${endpoint} can't be used: it lacks the access token, the user or the device. If it stays so, look at the proxies between`,
    { doubtful: true },
  );
}

function signInHint({ errcode }: ServerRefused): string {
  if (errcode === "M_FORBIDDEN") return "the password is wrong, or there is no such account";
  if (errcode === "M_USER_DEACTIVATED" || errcode === "M_USER_LOCKED" || errcode === "M_USER_SUSPENDED")
    return `the account can't be used (${errcode}); its administrator knows more`;
  return `it answers ${errcode}, see the Matrix specification`;
}
