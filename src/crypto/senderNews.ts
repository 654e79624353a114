/**
 * Owns what becomes known of others after they have sent something: their devices, their identities, and that they withhold a key.
 *
 * Guarantee: what is told here is told after the library knows it, so whoever decrypts again then sees it. An identity that takes the
 * place of another one is told once: the new one is pinned, so that the next change is seen too. (The library trusts an identity that
 * nobody verified as soon as it sees it, and the next one just so; only for one that we verified does it go on to object.)
 */
import {
  OtherUserIdentity,
  UserId as LibraryUserId,
  type RoomKeyWithheldInfo,
} from "@matrix-org/matrix-sdk-crypto-wasm";
import { Cancelled, CryptoPanicked } from "../errors.ts";
import type { Logger } from "../logging.ts";
import type { Metrics } from "../metrics.ts";
import type { RoomId, UserId } from "../protocol/ids.ts";
import type { TrustNews } from "./cryptoEngine.ts";
import { readWithheldCode } from "./decryption.ts";
import type { Machine } from "./machine.ts";
import type { MemberDevices } from "./memberDevices.ts";
import type { OutgoingRequests } from "./outgoingRequests.ts";
import type { SessionRef } from "./sessionRef.ts";
import { distinct, libraryNames } from "./syncChanges.ts";

export interface SenderNewsOptions {
  readonly machine: Machine;
  readonly devices: MemberDevices;
  readonly requests: OutgoingRequests;
  /** Of `learn`, in milliseconds. */
  readonly maxWaitMs: number;
  readonly userId: UserId;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly metrics?: Metrics;
  readonly onFatal: (error: Error) => void;
  readonly onSendersChanged?: (users: readonly UserId[]) => void;
  readonly onIdentityChanged?: (userId: UserId, wasVerified: boolean) => void;
}

export class SenderNews implements TrustNews {
  private readonly options: SenderNewsOptions;
  private news = 0;
  private withheld: SessionRef[] = [];
  private readonly looking = new Set<Promise<void>>();

  constructor(options: SenderNewsOptions) {
    this.options = options;
  }

  get epoch(): number {
    return this.news;
  }

  async start(): Promise<void> {
    await this.options.machine.use("registerCallbacks", (olm) => {
      olm.registerDevicesUpdatedCallback(async (users) => this.tell(users));
      olm.registerUserIdentityUpdatedCallback(async (user) => {
        const userId = user.toString();
        user.free();
        this.tell([userId]);
        this.look(userId);
      });
      olm.registerRoomKeysWithheldCallback(async (infos) => this.noteWithheld(infos));
      return Promise.resolve();
    });
  }

  /** Sessions whose keys somebody said since the last call not to give us. */
  takeWithheld(): readonly SessionRef[] {
    const taken = distinct(this.withheld);
    this.withheld = [];
    return taken;
  }

  async learn(userId: UserId, signal: AbortSignal): Promise<void> {
    const { devices, requests, maxWaitMs } = this.options;
    await devices.follow(libraryNames([userId]), signal);
    await requests.refreshDevices(maxWaitMs, signal);
  }

  /** Resolves when nothing is looked at any more. */
  async settled(): Promise<void> {
    await Promise.all(this.looking);
  }

  private tell(users: readonly string[]): void {
    this.news += 1;
    this.options.onSendersChanged?.(users as readonly UserId[]);
  }

  private noteWithheld(infos: readonly RoomKeyWithheldInfo[]): void {
    for (const info of infos) {
      const { roomId, sessionId, withheldCode } = info;
      this.options.metrics?.keysRefused.inc({ code: readWithheldCode(withheldCode) });
      this.withheld.push({ roomId: roomId.toString() as RoomId, sessionId });
      info.free();
    }
  }

  /** In the background: the library's callback must not wait for the lock. */
  private look(userId: string): void {
    const looked = this.lookNow(userId).catch((error: unknown) => {
      if (error instanceof Cancelled || error instanceof CryptoPanicked) return;
      this.options.log.warn({ code: "BUG" }, "a changed identity could not be looked at");
    });
    this.looking.add(looked);
    void looked.then(() => this.looking.delete(looked));
  }

  private async lookNow(userId: string): Promise<void> {
    const { machine, metrics, log, signal, onIdentityChanged } = this.options;
    const change = await machine.use(
      "getIdentity",
      async (olm) => {
        const identity = await olm.getIdentity(new LibraryUserId(userId));
        if (!(identity instanceof OtherUserIdentity) || !identity.identityNeedsUserApproval()) {
          identity?.free();
          return null;
        }
        const wasVerified = identity.hasVerificationViolation();
        await identity.pinCurrentMasterKey();
        identity.free();
        return { wasVerified };
      },
      signal,
    );
    if (change === null) return;
    metrics?.identityChanges.inc();
    log.warn({ userId, wasVerified: change.wasVerified }, "a user has another identity than before");
    onIdentityChanged?.(userId as UserId, change.wasVerified);
  }
}
