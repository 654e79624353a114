/**
 * Signs the account of the configuration in, for a data directory: one device for each, whose tokens stay there.
 *
 * Guarantees: a directory of another account or device, and one whose device was signed out, is refused before anybody signs in. A
 * device whose keys are elsewhere is not taken. Where a directory has keys, their device is signed in again, and no other. A device that
 * was just made and can't be used is signed out again; an interrupted attempt leaves one at most, and the next attempt takes that one.
 */
import { randomInt } from "node:crypto";
import type { Clock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import type { NetworkSettings } from "../config/network.ts";
import { ConfigError, DataDirectoryRefused, DocketError, ServerRefused } from "../errors.ts";
import { Credentials, type SignedInDevice } from "../journal/credentials.ts";
import type { Database } from "../journal/database.ts";
import { claimOwnership, holdsKeys, ownerOf, type Owner } from "../journal/ownership.ts";
import type { Logger } from "../logging.ts";
import { DocketClient } from "../matrix/client.ts";
import { WebFetch } from "../matrix/webFetch.ts";
import type { DeviceId } from "../protocol/ids.ts";
import { keepSignedIn } from "./accessToken.ts";
import { offeredFlows, PASSWORD_FLOW, signInByPassword } from "./homeserverSignIn.ts";
import { AuthorizationServer } from "./oauth/authorizationServer.ts";
import { signInByDeviceGrant, type DeviceInvitation } from "./oauth/deviceGrant.ts";
import { uploadedKey } from "./ownKeys.ts";
import { endSession } from "./signOut.ts";

export interface SignInPorts {
  readonly config: Pick<Config, "file" | "account" | "homeserver">;
  readonly network: NetworkSettings;
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** How an account can be signed in. */
export interface Offers {
  readonly password: boolean;
  /** Null where there is none, or none that lets a sign-in be confirmed elsewhere. */
  readonly authorizationServer: AuthorizationServer | null;
  /** All types of `GET /login`, for people. */
  readonly flows: readonly string[];
}

export class SignIn {
  private readonly ports: SignInPorts;
  private readonly credentials: Credentials;
  private readonly owner: Owner | null;
  /** Sends no token. */
  private readonly homeserver: DocketClient;
  private readonly web: WebFetch;

  /**
   * @throws ConfigError the configuration has a token, so that nothing stored would count
   * @throws DataDirectoryRefused it is another account's, or its device was signed out
   */
  constructor(ports: SignInPorts) {
    this.ports = ports;
    const { config, database } = ports;
    requireNoToken(config);
    this.owner = ownerOf(database);
    requirePlace(database.directory, this.owner, config.account.user);
    this.credentials = new Credentials(database);
    this.homeserver = new DocketClient({ ...ports, homeserverUrl: config.homeserver, tokenProvider: () => null });
    this.web = new WebFetch(ports);
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await Promise.all([this.homeserver.close(), this.web.close()]);
  }

  /**
   * @returns the device that is signed in here, if the homeserver takes its token; null: none, or the token is no longer good
   * @throws ServerRefused | ServerUnreachable | Cancelled | StoreFailed
   */
  async current(): Promise<SignedInDevice | null> {
    const { config, signal } = this.ports;
    const device = this.credentials.read();
    if (device === null || device.userId !== config.account.user || device.homeserver !== config.homeserver)
      return null;
    const token = keepSignedIn(device, this.credentials, this.ports);
    const client = new DocketClient({
      ...this.ports,
      homeserverUrl: config.homeserver,
      tokenProvider: token.provide,
    });
    try {
      await client.whoami(signal);
      return device;
    } catch (error) {
      if (error instanceof ServerRefused && error.tokenRefused) return null;
      throw error;
    } finally {
      await client.close();
      await token.stop();
    }
  }

  /** @throws ServerRefused | ServerUnreachable | Cancelled */
  async offers(): Promise<Offers> {
    const { clock, signal } = this.ports;
    const server = await AuthorizationServer.discover(this.homeserver, signal, { web: this.web, clock });
    const flows = await offeredFlows(this.homeserver, signal).catch((error: unknown): readonly string[] => {
      // Beside an authorization server there need not be anything else.
      if (server !== null && error instanceof ServerRefused) return [];
      throw error;
    });
    const authorizationServer = server?.grantsDevices === true ? server : null;
    return { password: flows.includes(PASSWORD_FLOW), authorizationServer, flows };
  }

  /**
   * @returns the device, which is stored
   * @throws ServerRefused with `tokenRefused` where the password is wrong
   * @throws DataDirectoryRefused | ConfigError | ServerRefused | ServerUnreachable | StoreFailed
   */
  async byPassword(password: string, deviceName: string): Promise<SignedInDevice> {
    const { config, clock, signal } = this.ports;
    const { user: userId } = config.account;
    const wanted = { userId, password, deviceId: this.deviceId(), deviceName };
    const signedIn = await signInByPassword(this.homeserver, wanted, { clock, signal });
    return await this.settle({ ...signedIn, homeserver: config.homeserver, authorizationServer: null }, "made");
  }

  /**
   * @param onInvitation shows somebody where to confirm the sign-in
   * @returns the device, which is stored
   * @throws ServerRefused with `tokenRefused` where the sign-in was refused, or not confirmed in time
   * @throws DataDirectoryRefused | ConfigError | ServerRefused | ServerUnreachable | StoreFailed
   */
  async byDeviceGrant(
    server: AuthorizationServer,
    onInvitation: (invitation: DeviceInvitation) => void,
  ): Promise<SignedInDevice> {
    const { config, clock, signal } = this.ports;
    const clientId = await server.register(signal);
    const deviceId = this.deviceId();
    const tokens = await signInByDeviceGrant(server, clientId, deviceId, { clock, signal, onInvitation });
    const unchecked = {
      ...tokens,
      homeserver: config.homeserver,
      userId: config.account.user,
      deviceId,
      authorizationServer: { issuer: server.issuer, clientId },
    };
    const who = await this.whoami(unchecked.accessToken);
    // Whoever confirmed it was signed in where they confirmed it, and need not have been the bot's account.
    return await this.settle({ ...unchecked, ...who, deviceId: who.deviceId ?? deviceId }, "made");
  }

  /**
   * Takes over a device that was signed in elsewhere.
   * @returns the device, which is stored
   * @throws ServerRefused with `tokenRefused` where the token is not accepted
   * @throws DataDirectoryRefused | ConfigError | ServerRefused | ServerUnreachable | StoreFailed
   */
  async byToken(accessToken: string): Promise<SignedInDevice> {
    const { config } = this.ports;
    const { userId, deviceId } = await this.whoami(accessToken);
    if (deviceId === null) {
      throw accountProblem(
        config.file,
        "the token belongs to no device, so there is nobody to encrypt for",
        "Use a token from a sign-in, which makes a device; or sign in with the account's password.",
      );
    }
    const device = { homeserver: config.homeserver, userId, deviceId, accessToken, refreshToken: null };
    return await this.settle({ ...device, expiresAt: null, authorizationServer: null }, "found");
  }

  private deviceId(): DeviceId {
    return this.owner?.deviceId ?? this.credentials.deviceIdFor(this.ports.config.account.user, freshDeviceId);
  }

  /** @param origin `made`: it is signed out again where it can't be used; `found`: it is somebody else's to sign out */
  private async settle(device: SignedInDevice, origin: "made" | "found"): Promise<SignedInDevice> {
    try {
      await this.requireUsable(device);
      claimOwnership(this.ports.database, device, null);
    } catch (error) {
      // A device whose keys are here is not made by signing in; to sign it out would be the end of them.
      if (origin === "made" && this.owner?.deviceId !== device.deviceId) await this.signOutQuietly(device);
      throw error;
    }
    this.credentials.write(device);
    return device;
  }

  private async requireUsable(device: SignedInDevice): Promise<void> {
    const { config, database, signal } = this.ports;
    const { user } = config.account;
    if (device.userId !== user) {
      throw accountProblem(
        config.file,
        `this was a sign-in of ${device.userId}, but account.user is ${user}`,
        `Sign in as ${user}, or correct account.user.`,
      );
    }
    const isOurs = this.owner?.deviceId === device.deviceId;
    const known = await this.asDevice(device.accessToken, (client) => uploadedKey(client, device, signal));
    if (known !== null && !isOurs) {
      throw new DataDirectoryRefused(
        `The device ${device.deviceId} has keys already, and they are not in ${database.directory}: another client uses it, or another data directory. ` +
          "Sign in with the account's password, or with a token that no client has used yet.",
      );
    }
    if (known === null && isOurs && holdsKeys(database)) {
      throw new DataDirectoryRefused(
        `The homeserver no longer has the keys of the device ${device.deviceId}, which are in ${database.directory}: the device was deleted there. ` +
          "Give the configuration a new, empty data.directory and sign in again, which makes a new device; keep the old directory, which holds the record.",
      );
    }
  }

  private whoami(accessToken: string): ReturnType<DocketClient["whoami"]> {
    return this.asDevice(accessToken, (client) => client.whoami(this.ports.signal));
  }

  private async asDevice<T>(accessToken: string, ask: (client: DocketClient) => Promise<T>): Promise<T> {
    const { homeserver: homeserverUrl } = this.ports.config;
    const client = new DocketClient({ ...this.ports, homeserverUrl, tokenProvider: () => accessToken });
    try {
      return await ask(client);
    } finally {
      await client.close();
    }
  }

  private async signOutQuietly(device: SignedInDevice): Promise<void> {
    try {
      await endSession(device, () => device, this.ports);
    } catch (error) {
      const { deviceId } = device;
      const code = error instanceof DocketError ? error.code : "BUG";
      this.ports.log.warn({ deviceId, code }, "the device that was just made could not be signed out again");
    }
  }
}

/** Lower case, so that it can stand in a name of a profile field (MSC4133); at least 10 characters, as authorization servers want. */
function freshDeviceId(): DeviceId {
  const letters = "abcdefghijklmnopqrstuvwxyz0123456789";
  const random = Array.from({ length: 10 }, () => letters.charAt(randomInt(letters.length))).join("");
  return `docket-${random}` as DeviceId;
}

function requireNoToken({ file, account }: SignInPorts["config"]): void {
  if (account.token === null) return;
  throw new ConfigError([
    {
      file,
      line: null,
      column: null,
      path: "account.token",
      message: "the configuration has an access token, and it would count before what is stored by signing in",
      hint: "Remove account.token to use `docket login`; or leave all as it is: the bot needs no other sign-in.",
    },
  ]);
}

function requirePlace(directory: string, owner: Owner | null, user: string): void {
  if (owner === null) return;
  if (owner.userId !== user) {
    throw new DataDirectoryRefused(
      `The data directory ${directory} belongs to the account ${owner.userId}, but account.user is ${user}. ` +
        "Give this account a data.directory of its own, or correct account.user.",
    );
  }
  if (owner.isSignedOut) {
    throw new DataDirectoryRefused(
      `The device ${owner.deviceId} of the data directory ${directory} was signed out, and its keys can't be used again. ` +
        "Give the configuration a new, empty data.directory and sign in again, which makes a new device; keep the old directory, which holds the record.",
    );
  }
}

function accountProblem(file: string, message: string, hint: string): ConfigError {
  return new ConfigError([{ file, line: null, column: null, path: "account", message, hint }]);
}
