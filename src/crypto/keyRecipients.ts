/**
 * Owns which devices get a room key of ours. `all`: every device. `cross_signed`: those that their owner has signed, whoever the owner
 * is, as MSC4153 asks; who has no identity gets nothing.
 *
 * Where that becomes stricter, the library itself ends a session that was given to a device which may not have it any more.
 *
 * The library's strategy for that (identity-based) refuses to share anything in two cases, and an answer must go out in both:
 * - Our own device is not signed. Then every device gets the key but those that we mark: the unsigned ones. The marks are taken
 *   away again when they are not needed any more.
 * - Somebody whom we verified has another identity now. They are left out until they are verified anew.
 */
import {
  CollectStrategy,
  type Device,
  LocalTrust,
  OtherUserIdentity,
  RoomId as LibraryRoomId,
  UserId as LibraryUserId,
  type EncryptionSettings,
  type OlmMachine,
  type ToDeviceRequest,
} from "@matrix-org/matrix-sdk-crypto-wasm";
import { DocketError } from "../errors.ts";
import type { SendTo } from "./cryptoEngine.ts";
import type { LibraryCall } from "./machine.ts";

export interface Wanted {
  readonly roomId: string;
  readonly users: readonly string[];
  readonly sendTo: SendTo;
  /** @param strategy consumed */
  readonly settings: (strategy: CollectStrategy) => EncryptionSettings;
}

export interface Shares {
  readonly requests: readonly ToDeviceRequest[];
  /** Left out, since their identity is not the one that we verified. */
  readonly changed: readonly string[];
}

export class KeyRecipients {
  private readonly ownUserId: string;
  /** Users none of whose devices has a mark. */
  private readonly unmarked = new Set<string>();

  constructor(ownUserId: string) {
    this.ownUserId = ownUserId;
  }

  /** Under the machine's lock. @returns what is to be sent so that the wanted users have the room's key; empty where they have it */
  async share(library: LibraryCall, wanted: Wanted): Promise<Shares> {
    const { users, sendTo } = wanted;
    const byIdentity = sendTo === "cross_signed" && (await this.isOwnDeviceSigned(library));
    const byMarks = sendTo === "cross_signed" && !byIdentity;
    for (const user of users) await this.mark(library, user, byMarks);
    const strategy = (): CollectStrategy =>
      byIdentity ? CollectStrategy.identityBasedStrategy() : CollectStrategy.allDevices();
    const ask = async (recipients: readonly string[]): Promise<ToDeviceRequest[]> =>
      library("shareRoomKey", async (olm) => {
        const settings = wanted.settings(strategy());
        const ids = recipients.map((user) => new LibraryUserId(user));
        const requests = await olm.shareRoomKey(new LibraryRoomId(wanted.roomId), ids, settings);
        settings.free();
        return requests;
      });
    try {
      return { requests: await ask(users), changed: [] };
    } catch (error) {
      if (!byIdentity || error instanceof DocketError) throw error;
      const changed: string[] = [];
      for (const user of users) if (await hasOtherIdentity(library, user)) changed.push(user);
      if (changed.length === 0) throw error;
      return { requests: await ask(users.filter((user) => !changed.includes(user))), changed };
    }
  }

  private isOwn(olm: OlmMachine, user: string, device: Device): boolean {
    return user === this.ownUserId && device.deviceId.toString() === olm.deviceId.toString();
  }

  private async isOwnDeviceSigned(library: LibraryCall): Promise<boolean> {
    return library("getIdentity", async (olm) => {
      const identity = await olm.getIdentity(new LibraryUserId(this.ownUserId));
      const signed = identity?.isVerified() ?? false;
      identity?.free();
      return signed;
    });
  }

  /** Marks the unsigned devices of a user, or none. */
  private async mark(library: LibraryCall, user: string, unsigned: boolean): Promise<void> {
    if (!unsigned && this.unmarked.has(user)) return;
    await library("setLocalTrust", async (olm) => {
      for (const device of await devicesOf(olm, user)) {
        const marked = device.isBlacklisted();
        const mark = unsigned && !device.isCrossSignedByOwner() && !this.isOwn(olm, user, device);
        if (marked !== mark) await device.setLocalTrust(mark ? LocalTrust.BlackListed : LocalTrust.Unset);
        device.free();
      }
    });
    if (unsigned) this.unmarked.delete(user);
    else this.unmarked.add(user);
  }
}

async function devicesOf(olm: OlmMachine, user: string): Promise<Device[]> {
  const all = await olm.getUserDevices(new LibraryUserId(user));
  const devices = all.devices();
  all.free();
  return devices;
}

async function hasOtherIdentity(library: LibraryCall, user: string): Promise<boolean> {
  return library("getIdentity", async (olm) => {
    const identity = await olm.getIdentity(new LibraryUserId(user));
    const changed = identity instanceof OtherUserIdentity && identity.hasVerificationViolation();
    identity?.free();
    return changed;
  });
}
