/** Somebody with a device at a key directory, on the crypto library itself: signs devices, shares room keys, reads answers. */
import type { TestContext } from "node:test";
import {
  CollectStrategy,
  DecryptionSettings,
  DeviceId as LibraryDeviceId,
  DeviceLists,
  EncryptionSettings,
  MegolmDecryptionError,
  OlmMachine,
  RequestType,
  RoomId as LibraryRoomId,
  TrustRequirement,
  type ToDeviceRequest,
  UserId as LibraryUserId,
  initAsync,
} from "@matrix-org/matrix-sdk-crypto-wasm";
import type { RawEvent } from "../../src/protocol/events.ts";
import type { RoomId, UserId } from "../../src/protocol/ids.ts";
import type { JsonObject } from "../../src/protocol/json.ts";
import { asEvent } from "./cryptoPeer.ts";
import type { KeyDirectory } from "./keyDirectory.ts";

const ENDPOINTS: Partial<Record<RequestType, string>> = {
  [RequestType.KeysUpload]: "keys/upload",
  [RequestType.KeysQuery]: "keys/query",
  [RequestType.KeysClaim]: "keys/claim",
  [RequestType.SignatureUpload]: "keys/signatures/upload",
};

interface LibraryRequest {
  readonly id: string | undefined;
  readonly type: RequestType;
  readonly body: string;
}

export class KeyedPerson {
  readonly userId: UserId;
  readonly deviceId: string;
  readonly machine: OlmMachine;
  private readonly directory: KeyDirectory;
  private events = 0;

  private constructor(directory: KeyDirectory, userId: string, deviceId: string, machine: OlmMachine) {
    this.directory = directory;
    this.userId = userId as UserId;
    this.deviceId = deviceId;
    this.machine = machine;
  }

  /** With its device's keys uploaded. @param options.signed with an identity that has signed the device; else without any identity */
  static async create(
    t: TestContext,
    directory: KeyDirectory,
    userId: string,
    deviceId: string,
    options: { signed: boolean },
  ): Promise<KeyedPerson> {
    await initAsync();
    const machine = await OlmMachine.initialize(new LibraryUserId(userId), new LibraryDeviceId(deviceId));
    t.after(() => machine.close());
    const person = new KeyedPerson(directory, userId, deviceId, machine);
    await person.flush();
    if (options.signed) await person.makeIdentity();
    return person;
  }

  /** A new identity, which signs this device; one that was there is replaced. */
  async makeIdentity(): Promise<void> {
    const { uploadKeysRequest, uploadSigningKeysRequest, uploadSignaturesRequest } =
      await this.machine.bootstrapCrossSigning(true);
    if (uploadKeysRequest !== undefined) await this.send(uploadKeysRequest);
    await this.call("keys/device_signing/upload", uploadSigningKeysRequest.body);
    await this.call("keys/signatures/upload", uploadSignaturesRequest.body);
  }

  /** Gets what others sent, and sends what the library wants to send. */
  async sync(): Promise<void> {
    const { toDevice, changedUsers } = this.directory.sync(this);
    await this.machine.receiveSyncChanges(
      JSON.stringify(toDevice),
      new DeviceLists(
        changedUsers.map((user) => new LibraryUserId(user)),
        [],
      ),
      new Map([["signed_curve25519", 50]]),
      new Set(["signed_curve25519"]),
      new DecryptionSettings(TrustRequirement.Untrusted),
    );
    await this.flush();
  }

  /** Shares the room key with those users, and encrypts. */
  say(
    roomId: RoomId,
    to: readonly string[],
    content: JsonObject,
    strategy: () => CollectStrategy = CollectStrategy.allDevices,
  ): Promise<RawEvent> {
    return this.sayWith(roomId, to, content, (machine) => {
      const settings = new EncryptionSettings();
      settings.sharingStrategy = strategy();
      const users = to.map((user) => new LibraryUserId(user));
      return machine.shareRoomKey(new LibraryRoomId(roomId), users, settings);
    });
  }

  /** The same with another choice of who gets the key. @param share called once, when all devices are known */
  async sayWith(
    roomId: RoomId,
    to: readonly string[],
    content: JsonObject,
    share: (machine: OlmMachine) => Promise<readonly ToDeviceRequest[]>,
  ): Promise<RawEvent> {
    const users = (): LibraryUserId[] => to.map((user) => new LibraryUserId(user));
    await this.machine.updateTrackedUsers(users());
    await this.sync();
    const claim = await this.machine.getMissingSessions(users());
    if (claim !== null && claim !== undefined) await this.send(claim);
    for (const request of await share(this.machine)) {
      await this.call(`sendToDevice/${request.event_type}/${request.txn_id}`, request.body);
      await this.machine.markRequestAsSent(request.id, RequestType.ToDevice, "{}");
    }
    const encrypted = await this.machine.encryptRoomEvent(new LibraryRoomId(roomId), "x.a", JSON.stringify(content));
    this.events += 1;
    return asEvent(roomId, this.userId, JSON.parse(encrypted) as JsonObject, `$${this.deviceId}-${this.events}`);
  }

  /** Learns of that user's devices from now on. */
  async follow(userId: string): Promise<void> {
    await this.machine.updateTrackedUsers([new LibraryUserId(userId)]);
    await this.sync();
  }

  /** Signs another user's identity, as it is known now. */
  async verify(userId: string): Promise<void> {
    const identity = await this.machine.getIdentity(new LibraryUserId(userId));
    if (identity === undefined) throw new Error(`${userId} has no identity`);
    const request = await identity.verify();
    await this.call("keys/signatures/upload", request.body);
    await this.sync();
  }

  /** The next event in this room gets a key of its own. */
  async rotate(roomId: RoomId): Promise<void> {
    await this.machine.invalidateGroupSession(new LibraryRoomId(roomId));
  }

  /** @returns the clear content; or why it can't be read: the code of a withheld key where there is one */
  async read(event: RawEvent): Promise<JsonObject | string> {
    await this.sync();
    try {
      const settings = new DecryptionSettings(TrustRequirement.Untrusted);
      const decrypted = await this.machine.decryptRoomEvent(
        JSON.stringify(event),
        new LibraryRoomId(event.room_id),
        settings,
      );
      return (JSON.parse(decrypted.event) as { content: JsonObject }).content;
    } catch (error) {
      if (!(error instanceof MegolmDecryptionError)) throw error;
      return error.withheldCode ?? error.description;
    }
  }

  private async flush(): Promise<void> {
    for (const request of await this.machine.outgoingRequests()) await this.send(request);
  }

  private async send(request: LibraryRequest): Promise<void> {
    const endpoint = ENDPOINTS[request.type];
    if (endpoint === undefined) {
      const { event_type: type, txn_id: txnId } = request as LibraryRequest & { event_type: string; txn_id: string };
      await this.call(`sendToDevice/${type}/${txnId}`, request.body);
      if (request.id !== undefined) await this.machine.markRequestAsSent(request.id, request.type, "{}");
      return;
    }
    const answer = await this.call(endpoint, request.body);
    if (request.id !== undefined)
      await this.machine.markRequestAsSent(request.id, request.type, JSON.stringify(answer));
  }

  private call(endpoint: string, body: string): Promise<JsonObject> {
    return this.directory.answer(this, "POST", `/_matrix/client/v3/${endpoint}`, JSON.parse(body) as JsonObject);
  }
}
