/**
 * Signs a device out where it was signed in, for good: its tokens end, and the homeserver deletes it with its keys. What is stored here
 * goes only after that.
 */
import type { Clock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import type { NetworkSettings } from "../config/network.ts";
import type { Secret } from "../config/secret.ts";
import { ServerRefused } from "../errors.ts";
import { Credentials, type SignedInDevice } from "../journal/credentials.ts";
import type { Database } from "../journal/database.ts";
import { ownerOf, releaseOwnership } from "../journal/ownership.ts";
import type { Logger } from "../logging.ts";
import { DocketClient } from "../matrix/client.ts";
import type { TokenProvider } from "../matrix/http.ts";
import type { DeviceId, UserId } from "../protocol/ids.ts";
import { keepSignedIn } from "./accessToken.ts";
import { connect } from "./connect.ts";
import { TokenExchange } from "./tokenExchange.ts";

export interface SignOutPorts {
  readonly network: NetworkSettings;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

export interface SignedOut {
  readonly userId: UserId;
  readonly deviceId: DeviceId;
  /** False where the homeserver did not take its tokens any more; then the device itself may still be there, and its keys of use. */
  readonly wasKnown: boolean;
  /** Whether the data directory, which had no keys, is nobody's again. */
  readonly isFree: boolean;
}

/**
 * Signs out the device that is stored in the data directory.
 * @returns null: nobody is signed in
 * @throws ServerRefused | ServerUnreachable | Cancelled | StoreFailed nothing was removed here
 */
export async function signOutStored(database: Database, ports: SignOutPorts): Promise<SignedOut | null> {
  const credentials = new Credentials(database);
  const device = credentials.read();
  if (device === null) return null;
  const token = keepSignedIn(device, credentials, ports);
  try {
    const wasKnown = await endSession(device, () => credentials.read() ?? device, ports, token.provide);
    credentials.clear();
    const isFree = wasKnown && releaseOwnership(database);
    const { userId, deviceId } = device;
    return { userId, deviceId, wasKnown, isFree };
  } finally {
    await token.stop();
  }
}

/**
 * Signs out the device of the configuration's own token.
 * @throws ConfigError it is the token of another account, or of no device
 * @throws ServerRefused | ServerUnreachable | Cancelled | StoreFailed
 */
export async function signOutConfigured(
  database: Database,
  config: Pick<Config, "file" | "homeserver" | "account">,
  token: Secret,
  ports: SignOutPorts,
): Promise<SignedOut> {
  const accessToken = token.reveal();
  const client = new DocketClient({ ...ports, homeserverUrl: config.homeserver, tokenProvider: () => accessToken });
  try {
    const { userId, deviceId } = await connect(config, { ...ports, homeserver: client, patience: "once" });
    await client.request("POST", "/_matrix/client/v3/logout", { body: {}, signal: ports.signal });
    const owner = ownerOf(database);
    const isFree = owner?.userId !== userId || owner.deviceId !== deviceId || releaseOwnership(database);
    return { userId, deviceId, wasKnown: true, isFree };
  } finally {
    await client.close();
  }
}

/**
 * @param latest the device with its tokens as they stand after a request: they may have been exchanged for it
 * @param provide the token for requests; by default the device's as it is
 * @returns false where the server did not take the tokens any more, so that there was nothing to end
 * @throws ServerRefused | ServerUnreachable | Cancelled nothing has ended, as far as is known
 */
export async function endSession(
  device: SignedInDevice,
  latest: () => SignedInDevice,
  ports: SignOutPorts,
  provide: TokenProvider = () => device.accessToken,
): Promise<boolean> {
  const { signal } = ports;
  const client = new DocketClient({ ...ports, homeserverUrl: device.homeserver, tokenProvider: provide });
  const exchange = new TokenExchange(device, ports);
  try {
    if (device.authorizationServer === null) {
      await client.request("POST", "/_matrix/client/v3/logout", { body: {}, signal });
    } else {
      // Servers say nothing of a token that they don't know: asked with it first, it is known to be the one that counts.
      await client.whoami(signal);
      await exchange.revoke(latest(), device.authorizationServer, signal);
    }
    return true;
  } catch (error) {
    if (error instanceof ServerRefused && error.tokenRefused) return false;
    throw error;
  } finally {
    await client.close();
    await exchange.close();
  }
}
