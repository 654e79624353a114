/**
 * One attempt to take over the history that an inviter shared (MSC4268): looks whether the library has heard of a bundle of theirs,
 * makes sure that their keys are current, downloads the bundle from our own homeserver and hands it to the library.
 *
 * Guarantees: a bundle is taken only from a device that its owner has cross-signed, of the user who invited us, and only for the room
 * it was sent for (the library looks once more, but does not say when it refuses); no request is made under the machine's lock.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import {
  RoomId as LibraryRoomId,
  UserId as LibraryUserId,
  type OlmMachine,
  type StoredRoomKeyBundleData,
} from "@matrix-org/matrix-sdk-crypto-wasm";
import { DocketError } from "../errors.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import { ReplyTooLong } from "../matrix/refusals.ts";
import type { RoomId, UserId } from "../protocol/ids.ts";
import { readKeyRequest, sendKeyRequest } from "./keyRequest.ts";
import { isCryptoPanic, type Machine } from "./machine.ts";
import { markAnswered } from "./serverAnswers.ts";

export interface BundleImportOptions {
  readonly machine: Machine;
  readonly homeserver: Homeserver;
  /** How many room keys the library has told of so far, outside of syncs. */
  readonly keysHeard: () => number;
  readonly signal: AbortSignal;
}

export type BundleOutcome =
  /** They have sent none, so far. */
  | { readonly kind: "none" }
  /** No device of theirs that may have sent it is signed by them, as far as is known now. */
  | { readonly kind: "untrusted" }
  /** `keys`: how many were new. */
  | { readonly kind: "taken"; readonly keys: number }
  /** `unusable`: it was downloaded, and is not what was named; another answer of the homeserver may be. */
  | { readonly kind: "too_large" | "unusable" | "no_address" };

/**
 * Some 16,000 keys. The library takes a bundle in one call, and nothing else is decrypted or encrypted meanwhile: 0.4 ms for each key
 * (2 cores, Node 24), so some 7 s at the most.
 */
const MOST_BYTES = 8 * 1024 * 1024;
const DOWNLOAD_MS = 120_000;
const QUERY_MS = 30_000;

export class BundleImport {
  private readonly options: BundleImportOptions;

  constructor(options: BundleImportOptions) {
    this.options = options;
  }

  /**
   * @param senderDevice which of the inviter's devices has sent it; null where that is not known any more
   * @throws ServerRefused | ServerUnreachable | Cancelled | CryptoPanicked
   */
  async attempt(roomId: RoomId, inviter: UserId, senderDevice: string | null): Promise<BundleOutcome> {
    if ((await this.uriOf(roomId, inviter)) === null) return { kind: "none" };
    await this.queryKeys(inviter);
    const uri = await this.uriOf(roomId, inviter);
    if (uri === null) return { kind: "none" };
    if (!(await this.isSigned(inviter, senderDevice))) return { kind: "untrusted" };
    const bytes = await this.download(uri);
    return bytes instanceof Uint8Array ? await this.hand(roomId, inviter, bytes) : { kind: bytes };
  }

  private async uriOf(roomId: RoomId, inviter: UserId): Promise<string | null> {
    return await this.options.machine.use("getReceivedRoomKeyBundleData", async (olm) => {
      const data = await received(olm, roomId, inviter);
      const uri = data?.url ?? null;
      data?.free();
      return uri;
    });
  }

  /** What the library knows of the sender may be older than the signature of the device. */
  private async queryKeys(user: UserId): Promise<void> {
    const { machine, homeserver, signal } = this.options;
    const request = await machine.use("queryKeysForUsers", (olm) =>
      Promise.resolve(readKeyRequest(olm.queryKeysForUsers([new LibraryUserId(user)]))),
    );
    const options = { signal, timeoutMs: QUERY_MS, retry: "none" } as const;
    await markAnswered(machine, request, await sendKeyRequest(homeserver, request, options));
  }

  private async isSigned(user: UserId, senderDevice: string | null): Promise<boolean> {
    return await this.options.machine.use("getUserDevices", async (olm) => {
      const identity = await olm.getIdentity(new LibraryUserId(user));
      const changed = identity?.hasVerificationViolation() ?? true;
      identity?.free();
      if (changed) return false;
      const devices = await olm.getUserDevices(new LibraryUserId(user));
      const signed = devices.devices().some((device) => {
        const { deviceId } = device;
        const fits = senderDevice === null || deviceId.toString() === senderDevice;
        const is = fits && device.isCrossSignedByOwner();
        deviceId.free();
        device.free();
        return is;
      });
      devices.free();
      return signed;
    });
  }

  private async download(uri: string): Promise<Uint8Array | "too_large" | "no_address"> {
    const { homeserver, signal } = this.options;
    try {
      return await homeserver.download(uri, { maxBytes: MOST_BYTES, timeoutMs: DOWNLOAD_MS, signal });
    } catch (error) {
      if (error instanceof ReplyTooLong) return "too_large";
      if (error instanceof TypeError) return "no_address";
      throw error;
    }
  }

  private async hand(roomId: RoomId, inviter: UserId, bytes: Uint8Array): Promise<BundleOutcome> {
    const { machine, keysHeard } = this.options;
    try {
      return await machine.use("receiveRoomKeyBundle", async (olm): Promise<BundleOutcome> => {
        const data = await received(olm, roomId, inviter);
        if (data === undefined) return { kind: "none" };
        const before = keysHeard();
        // Consumes `data`.
        await olm.receiveRoomKeyBundle(data, bytes);
        // The library tells of new keys in turns of its own.
        await nextTurn();
        return { kind: "taken", keys: keysHeard() - before };
      });
    } catch (error) {
      if (error instanceof DocketError || isCryptoPanic(error)) throw error;
      return { kind: "unusable" };
    }
  }
}

function received(olm: OlmMachine, roomId: RoomId, inviter: UserId): Promise<StoredRoomKeyBundleData | undefined> {
  return olm.getReceivedRoomKeyBundleData(new LibraryRoomId(roomId), new LibraryUserId(inviter));
}
