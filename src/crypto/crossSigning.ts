/**
 * The account's cross-signing identity (client-server API, "Cross-signing") as this device sees it: what the homeserver says of it,
 * whether its private keys are here, and whether it signs this device. Uploads an identity, takes its private keys in, signs the device.
 *
 * Guarantees: nothing here makes or replaces an identity by itself; private keys are taken in only where they are those of the identity
 * that the homeserver shows; a device counts as signed only when signatures have been verified, the homeserver's copy of them.
 */
import { DeviceId, RequestType, UserId } from "@matrix-org/matrix-sdk-crypto-wasm";
import type { Homeserver } from "../matrix/homeserver.ts";
import type { JsonObject, JsonValue } from "../protocol/json.ts";
import { isJsonObject } from "../protocol/json.ts";
import type { OwnIdentity } from "./ownIdentity.ts";
import { deviceSignature, inside, keyIn, type DeviceSignature } from "./deviceSignature.ts";
import type { IdentitySecrets } from "./identityKeys.ts";
import { readKeyRequest, sendKeyRequest } from "./keyRequest.ts";
import { isCryptoPanic, type Machine } from "./machine.ts";
import { Mutex } from "./mutex.ts";
import { markAnswered } from "./serverAnswers.ts";

export interface IdentityView {
  /** The public master key, in unpadded base64; null: the account has no identity. */
  readonly master: string | null;
  /** The public master key that this device has seen last, before this look; null: none yet. */
  readonly lastSeenMaster: string | null;
  /** All three private keys of that identity are in the key store. */
  readonly hasPrivateKeys: boolean;
  /** Of this device, by that identity. */
  readonly signature: DeviceSignature;
  /** The homeserver has this device's keys. */
  readonly isDeviceKnown: boolean;
  /** Who has signed the master key, as the homeserver shows it to us: user IDs and own devices. Not verified. */
  readonly signers: readonly { readonly userId: string; readonly key: string }[];
}

export interface CrossSigningOptions {
  readonly machine: Machine;
  readonly homeserver: Homeserver;
  readonly identity: OwnIdentity;
}

const MOST_SIGNERS = 200;

export class CrossSigning {
  private readonly options: CrossSigningOptions;
  private readonly line = new Mutex();
  private readonly listeners = new Set<() => void>();

  constructor(options: CrossSigningOptions) {
    this.options = options;
  }

  /** One piece of work that changes the identity at a time. @throws Cancelled before its turn; what `work` throws */
  exclusively<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    return this.line.run(work, signal);
  }

  /** Begins to listen to the library. */
  async start(): Promise<void> {
    const { machine, identity } = this.options;
    await machine.use("registerUserIdentityUpdatedCallback", (olm) => {
      olm.registerUserIdentityUpdatedCallback((user) => {
        if (user.toString() === identity.userId) this.noteChange();
        return Promise.resolve();
      });
      return Promise.resolve();
    });
  }

  /**
   * Calls back when the library has learned something new of the own identity; cheap, and may come too often.
   * @returns ends it
   */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** Somebody has changed how this device stands to the identity: whoever watches looks anew. */
  noteChange(): void {
    for (const listener of this.listeners) listener();
  }

  /**
   * Asks the homeserver, and has the library take in what it says: private keys of another identity are gone after it.
   * @throws ServerRefused | ServerUnreachable | Cancelled | CryptoPanicked
   */
  async look(signal: AbortSignal): Promise<IdentityView> {
    const { machine, homeserver, identity } = this.options;
    const { userId, deviceId } = identity;
    const request = await machine.use("queryKeysForUsers", (olm) =>
      Promise.resolve(readKeyRequest(olm.queryKeysForUsers([new UserId(userId)]))),
    );
    const answer = await sendKeyRequest(homeserver, request, { signal });
    const lastSeenMaster = await this.lastSeenMaster();
    await markAnswered(machine, { id: request.id, type: RequestType.KeysQuery }, answer);
    const master = keyIn(inside(answer, "master_keys", userId));
    return {
      master,
      lastSeenMaster,
      hasPrivateKeys: master !== null && (await this.holdsPrivateKeys()),
      signature: deviceSignature(answer, userId, deviceId),
      isDeviceKnown:
        inside(answer, "device_keys", userId, deviceId, "keys", `ed25519:${deviceId}`) === identity.ed25519,
      signers: signersIn(inside(answer, "master_keys", userId, "signatures"), userId, master),
    };
  }

  /**
   * Shows an identity to the homeserver.
   * @param auth for user-interactive authentication; null in the first attempt
   * @throws ServerRefused with a `challenge` where the homeserver wants the owner to confirm it
   * @throws ServerRefused | ServerUnreachable | Cancelled
   */
  async upload(publicIdentity: JsonObject, auth: JsonObject | null, signal: AbortSignal): Promise<void> {
    const body = auth === null ? publicIdentity : { ...publicIdentity, auth };
    await this.options.homeserver.request("POST", "/_matrix/client/v3/keys/device_signing/upload", { body, signal });
  }

  /**
   * Takes private keys of the identity that `look` has seen.
   * @returns whether they are that identity's, all of them; if not, nothing is gained
   * @throws CryptoPanicked | Cancelled
   */
  async takeIn({ master, selfSigning, userSigning }: IdentitySecrets): Promise<boolean> {
    await this.options.machine.use("importCrossSigningKeys", async (olm) => {
      try {
        (await olm.importCrossSigningKeys(master, selfSigning, userSigning)).free();
      } catch (error) {
        // What is no key: the library's words may quote it. A panic is not a matter of the key.
        if (isCryptoPanic(error)) throw error;
      }
    });
    return await this.holdsPrivateKeys();
  }

  /** @returns null where not all of them are here. @throws CryptoPanicked | Cancelled */
  async secrets(): Promise<IdentitySecrets | null> {
    return await this.options.machine.use("exportCrossSigningKeys", async (olm) => {
      const exported = await olm.exportCrossSigningKeys();
      if (exported === undefined) return null;
      const { masterKey: master, self_signing_key: selfSigning, userSigningKey: userSigning } = exported;
      exported.free();
      if (master === undefined || selfSigning === undefined || userSigning === undefined) return null;
      return { master, selfSigning, userSigning };
    });
  }

  /**
   * Signs this device; its private keys must be here.
   * @throws ServerRefused | ServerUnreachable | Cancelled | CryptoPanicked
   */
  async signDevice(signal: AbortSignal): Promise<void> {
    const { machine, homeserver, identity } = this.options;
    const body = await machine.use("signDevice", async (olm) => {
      const device = await olm.getDevice(new UserId(identity.userId), new DeviceId(identity.deviceId));
      if (device === undefined) return null;
      const request = await device.verify();
      device.free();
      const signed = JSON.parse(request.body) as JsonValue;
      request.free();
      return signed;
    });
    if (!isJsonObject(body)) throw new TypeError("the crypto library does not know its own device");
    await homeserver.request("POST", "/_matrix/client/v3/keys/signatures/upload", { body, signal });
  }

  private async lastSeenMaster(): Promise<string | null> {
    const { machine, identity } = this.options;
    return await machine.use("getIdentity", async (olm) => {
      const own = await olm.getIdentity(new UserId(identity.userId));
      if (own === undefined) return null;
      const key = keyIn(JSON.parse(own.masterKey) as JsonValue);
      own.free();
      return key;
    });
  }

  private async holdsPrivateKeys(): Promise<boolean> {
    return await this.options.machine.use("crossSigningStatus", async (olm) => {
      const status = await olm.crossSigningStatus();
      const { hasMaster, hasSelfSigning, hasUserSigning } = status;
      status.free();
      return hasMaster && hasSelfSigning && hasUserSigning;
    });
  }
}

function signersIn(
  signatures: JsonValue | undefined,
  ownUserId: string,
  master: string | null,
): { userId: string; key: string }[] {
  if (!isJsonObject(signatures)) return [];
  return Object.entries(signatures)
    .flatMap(([userId, keys]) => (isJsonObject(keys) ? Object.keys(keys).map((key) => ({ userId, key })) : []))
    .filter(({ userId, key }) => !(userId === ownUserId && key === `ed25519:${master}`))
    .slice(0, MOST_SIGNERS);
}
