/**
 * The crypto engine on `matrix-sdk-crypto-wasm`: composes the rooms of this folder and owns the reception of a sync.
 *
 * Guarantees:
 * - A sync's encryption part is received as a whole: the machine's lock and the key store's hold are kept until `commit` has
 *   put keys and events on disk together. Until then nothing is decrypted, encrypted or marked.
 * - No network request is made under that lock.
 * - After a panic of the library, or a commit that failed, nothing goes on: `onFatal` must end the process.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { Cancelled, CryptoPanicked, DocketError } from "../errors.ts";
import { noHeldWrites } from "../journal/heldWrites.ts";
import type { RawEvent } from "../protocol/events.ts";
import type { JsonObject } from "../protocol/json.ts";
import type {
  CryptoChanges,
  CryptoEngine,
  Decrypted,
  EncryptedContent,
  Received,
  TrustNews,
  Undecryptable,
} from "./cryptoEngine.ts";
import type { EncryptionTarget } from "./encryptionTarget.ts";
import type { OwnIdentity } from "./ownIdentity.ts";
import type { CryptoEngineOptions } from "./cryptoEngineOptions.ts";
import { CrossSigning } from "./crossSigning.ts";
import { decryptEvent } from "./decryption.ts";
import { KeyBackup } from "./keyBackup.ts";
import { KeyBundles } from "./keyBundles.ts";
import { KeyUpkeep } from "./keyUpkeep.ts";
import { Machine } from "./machine.ts";
import { MemberDevices } from "./memberDevices.ts";
import { OutboundSessions } from "./outboundSessions.ts";
import { OutgoingRequests } from "./outgoingRequests.ts";
import { uploadNews } from "./ownKeyNews.ts";
import { RoomMessages } from "./roomMessages.ts";
import { RoomEncryption } from "./roomEncryption.ts";
import { RoomKeyImport } from "./roomKeyImport.ts";
import { RoomSettings } from "./roomSettings.ts";
import { SenderNews } from "./senderNews.ts";
import { SessionClaims } from "./sessionClaims.ts";
import type { SessionRef } from "./sessionRef.ts";
import {
  countUndecryptable,
  distinct,
  libraryNames,
  readBundle,
  readRoomKey,
  readSessions,
  receiveChanges,
} from "./syncChanges.ts";
import { splitToDevice } from "./verificationEvents.ts";
import { SasVerifications } from "./verifications.ts";

/** Of the library's database in the key store. */
export const STORE_NAME = "docket";
const MEMBER_QUERY_TIMEOUT_MS = 5_000;
const WATCHDOG_MS = 60_000;
/** Of the wait for device lists: what one query may take, so that whoever comes during it still gets the next one. */
const SHARE_OF_ONE_QUERY = 0.6;

/**
 * Opens or creates the device's keys. Sends nothing until `start()`.
 * @throws DataDirectoryRefused the key store belongs to another account or device
 */
export async function createCryptoEngine(options: CryptoEngineOptions): Promise<CryptoEngine> {
  const machine = await Machine.open({
    userId: options.userId,
    deviceId: options.deviceId,
    storeName: options.keyStore === null ? null : STORE_NAME,
    watchdogMs: options.watchdogMs ?? WATCHDOG_MS,
    onFatal: options.onFatal,
    metrics: options.metrics,
  });
  const identity = { userId: options.userId, deviceId: options.deviceId, ...(await machine.identityKeys()) };
  return new Engine(options, machine, identity);
}

class Engine implements CryptoEngine {
  readonly identity: OwnIdentity;
  readonly crossSigning: CrossSigning;
  readonly backup: KeyBackup;
  readonly bundles: KeyBundles;
  readonly roomKeyImport: RoomKeyImport;
  readonly trust: TrustNews;
  readonly outbound: OutboundSessions;
  private readonly options: CryptoEngineOptions;
  private readonly machine: Machine;
  private readonly stopping = new AbortController();
  private readonly devices: MemberDevices;
  private readonly requests: OutgoingRequests;
  private readonly rooms: RoomEncryption;
  readonly verifications: SasVerifications;
  private readonly upkeep: KeyUpkeep;
  private readonly senders: SenderNews;
  private readonly working = new Set<Promise<unknown>>();
  private keysHeard = 0;
  /** Room keys heard of during a reception; null outside of one. */
  private receivedSessions: SessionRef[] | null = null;
  private stopped: Promise<void> | null = null;

  constructor(options: CryptoEngineOptions, machine: Machine, identity: OwnIdentity) {
    this.identity = identity;
    this.options = options;
    this.machine = machine;
    this.outbound = new OutboundSessions(options.doubtsRoomKeys ?? false);
    const { homeserver, clock, log, userId: ownUserId } = options;
    const { signal } = this.stopping;
    const memberQueryTimeoutMs = options.memberQueryTimeoutMs ?? MEMBER_QUERY_TIMEOUT_MS;
    const waitMs = memberQueryTimeoutMs * SHARE_OF_ONE_QUERY;
    const onDueChanged = (): void => this.upkeep.nudge();
    const onFailure = (error: unknown): void => this.upkeep.noteFailure(error);
    const devices = { machine, homeserver, clock, log, ownUserId, waitMs, signal, onDueChanged, onFailure };
    this.devices = new MemberDevices(devices);
    const claims = new SessionClaims({ machine, homeserver, clock, ownUserId, waitMs });
    const roomMessages = new RoomMessages({
      homeserver,
      audience: options.audience ?? (() => null),
      encrypt: async (...what) => (await this.encrypt(...what)).content,
    });
    const mayVerify = (user: string): boolean =>
      user === ownUserId || (options.verifiers?.() ?? []).some((verifier) => verifier === user);
    this.requests = new OutgoingRequests({
      machine,
      homeserver,
      devices: this.devices,
      roomMessages,
      clock,
      signal,
      onFailure,
      onDue: onDueChanged,
      mayVerify,
      ...uploadNews(options),
    });
    const [own, requests] = [{ devices: this.devices, claims, signal }, this.requests];
    this.upkeep = new KeyUpkeep({ ...options, ...own, requests });
    this.crossSigning = new CrossSigning({ machine, homeserver, identity });
    this.backup = new KeyBackup({ ...options, machine, signal });
    this.roomKeyImport = new RoomKeyImport(machine);
    this.bundles = new KeyBundles({ ...options, machine, signal, keysHeard: () => this.keysHeard });
    this.rooms = new RoomEncryption({
      machine,
      homeserver,
      ...own,
      requests,
      settings: new RoomSettings(machine),
      outbound: this.outbound,
      onEncrypted: options.onEncrypted,
      ownUserId,
      sendTo: options.sendTo ?? (() => "cross_signed"),
      metrics: options.metrics,
      memberQueryTimeoutMs,
    });
    const learning = { devices: this.devices, requests: this.requests, maxWaitMs: memberQueryTimeoutMs };
    this.senders = new SenderNews({ ...options, machine, signal, ...learning });
    this.trust = this.senders;
    const verifying = {
      roomMessages,
      requests,
      ownUserId,
      ownDeviceId: options.deviceId,
      onDue: onDueChanged,
      mayVerify,
      onFailure,
    };
    this.verifications = new SasVerifications({ ...options, machine, ...own, ...verifying });
  }

  async start(): Promise<void> {
    await this.machine.use("registerRoomKeyUpdatedCallback", (olm) => {
      olm.registerRoomKeyUpdatedCallback((keys) => Promise.resolve(this.noteSessions(readSessions(keys))));
      return Promise.resolve();
    });
    await this.crossSigning.start();
    await this.senders.start();
    await this.upkeep.start();
    this.backup.start();
    this.bundles.start();
    this.verifications.start();
  }

  async receive<T>(changes: CryptoChanges, commit: (received: Received) => Promise<T>): Promise<T> {
    // Verification has its own way into the library, behind this sync.
    const { verification, rest: toDevice } = splitToDevice(changes.toDevice);
    let bundles: ReturnType<typeof readBundle> = [];
    const result = await this.machine.hold(async (library) => {
      const hold = this.options.keyStore?.hold() ?? null;
      try {
        this.receivedSessions = [];
        const processed = await library("receiveSyncChanges", async (olm) => {
          const events = await receiveChanges(olm, { ...changes, toDevice });
          // The callback for room keys runs in turns of its own.
          await nextTurn();
          return events;
        }).catch((error: unknown) => {
          throw error instanceof DocketError ? error : refusedSync(error);
        });
        const newSessions = distinct([...this.receivedSessions, ...processed.flatMap(readRoomKey)]);
        this.receivedSessions = null;
        const withheldSessions = this.senders.takeWithheld();
        const committed = await commit({ newSessions, withheldSessions, held: hold ?? noHeldWrites });
        hold?.release();
        bundles = processed.flatMap(readBundle);
        const count = countUndecryptable(processed);
        if (count > 0) this.options.log.info({ count }, "to-device messages that could not be decrypted");
        return committed;
      } catch (error) {
        this.receivedSessions = null;
        return this.machine.fail(error instanceof Error ? error : refusedSync(error));
      }
    });
    this.devices.noteChanged(changes.changedUsers);
    this.devices.forget(changes.leftUsers);
    this.bundles.noteReceived(bundles);
    this.bundles.noteChanged(changes.changedUsers);
    this.verifications.receiveToDevice(verification);
    this.upkeep.nudge();
    return result;
  }

  async decrypt(event: RawEvent): Promise<Decrypted | Undecryptable> {
    const decrypted = await decryptEvent(this.machine, event);
    // A missing key makes the library ask for it. Knowing the sender's devices early saves the answer the wait for them.
    if (decrypted.kind === "undecryptable") {
      this.upkeep.nudge();
      this.backup.noteUndecryptable(event.room_id, decrypted);
    } else if (await this.devices.follow(libraryNames([event.sender]))) this.upkeep.nudge();
    return decrypted;
  }

  async encrypt(
    target: EncryptionTarget,
    type: string,
    content: JsonObject,
    signal: AbortSignal,
  ): Promise<EncryptedContent> {
    const work = this.rooms.encrypt(target, type, content, AbortSignal.any([signal, this.stopping.signal]));
    this.working.add(work);
    try {
      return await work;
    } finally {
      this.working.delete(work);
    }
  }

  stop(): Promise<void> {
    this.stopped ??= this.stopAll();
    return this.stopped;
  }

  private async stopAll(): Promise<void> {
    this.stopping.abort(new Cancelled("The crypto engine has been stopped."));
    await this.verifications.settled();
    await Promise.allSettled(this.working);
    await this.upkeep.settled();
    await this.backup.settled();
    await this.bundles.settled();
    await this.requests.settled();
    await this.devices.settled();
    await this.senders.settled();
    await this.machine.close();
  }

  private noteSessions(sessions: readonly SessionRef[]): void {
    this.backup.noteNewKeys();
    if (this.receivedSessions !== null) this.receivedSessions.push(...sessions);
    else {
      this.keysHeard += sessions.length;
      this.options.onNewSessions?.(sessions);
    }
  }
}

/** Half-way through a sync the library's memory is ahead of the disk: it can't be repeated in this process. */
function refusedSync(cause: unknown): CryptoPanicked {
  return new CryptoPanicked("The crypto library refused a sync; what is on disk is whole. Start again.", { cause });
}
