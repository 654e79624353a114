/**
 * Somebody who was in a room before the bot: has the keys of what was said there, and shares them with an invitation (MSC4268), on the
 * crypto library itself, with an identity of their own. Each step is one call, so that a test can do one of them wrong.
 */
import {
  Attachment,
  CollectStrategy,
  DecryptionSettings,
  DeviceId,
  DeviceLists,
  EncryptedAttachment,
  EncryptionSettings,
  initAsync,
  OlmMachine,
  RoomId,
  TrustRequirement,
  UserId,
  type OutgoingRequest,
} from "@matrix-org/matrix-sdk-crypto-wasm";
import type { Homeserver } from "../../src/matrix/homeserver.ts";
import { readKeyRequest, sendKeyRequest } from "../../src/crypto/keyRequest.ts";
import type { JsonObject, JsonValue } from "../../src/protocol/json.ts";

export interface Bundle {
  readonly bytes: Uint8Array;
  /** What the to-device message tells of it: how to decrypt it, and what it must look like. */
  readonly info: string;
}

const silence = { debug() {}, info() {}, warn() {}, error() {} };

export class HistorySharer {
  readonly userId: string;
  readonly deviceId: string;
  private readonly olm: OlmMachine;
  private readonly homeserver: Homeserver;

  private constructor(parts: Pick<HistorySharer, "userId" | "deviceId"> & { olm: OlmMachine; homeserver: Homeserver }) {
    this.userId = parts.userId;
    this.deviceId = parts.deviceId;
    this.olm = parts.olm;
    this.homeserver = parts.homeserver;
  }

  /** Uploads their keys, and an identity that signs the device. */
  static async start(account: { userId: string; deviceId: string }, homeserver: Homeserver): Promise<HistorySharer> {
    await initAsync();
    const { userId, deviceId } = account;
    const user = new UserId(userId);
    const olm = await OlmMachine.initialize(user, new DeviceId(deviceId), undefined, undefined, silence);
    const sharer = new HistorySharer({ userId, deviceId, olm, homeserver });
    await sharer.sendAll();
    const { uploadSigningKeysRequest, uploadSignaturesRequest } = await olm.bootstrapCrossSigning(false);
    await sharer.post("keys/device_signing/upload", JSON.parse(uploadSigningKeysRequest.body) as JsonValue);
    await sharer.post("keys/signatures/upload", JSON.parse(uploadSignaturesRequest.body) as JsonValue);
    await sharer.query(userId);
    return sharer;
  }

  /** What they said before the bot came, one session for each. @returns contents of `m.room.encrypted` events */
  async say(roomId: string, ...contents: readonly JsonObject[]): Promise<JsonObject[]> {
    const said: JsonObject[] = [];
    for (const content of contents) {
      await this.olm.invalidateGroupSession(new RoomId(roomId));
      await this.olm.shareRoomKey(new RoomId(roomId), [], new EncryptionSettings());
      const encrypted = await this.olm.encryptRoomEvent(new RoomId(roomId), "m.room.message", JSON.stringify(content));
      said.push(JSON.parse(encrypted) as JsonObject);
    }
    return said;
  }

  /** @throws Error there is nothing to share */
  async bundle(roomId: string): Promise<Bundle> {
    const built = await this.olm.buildRoomKeyBundle(new RoomId(roomId));
    if (built === undefined) throw new Error("there is nothing to share");
    return { bytes: built.encryptedData, info: built.mediaEncryptionInfo ?? "" };
  }

  /** Tells all of a user's signed devices where the bundle is, under whatever room and address. */
  async share(user: string, roomId: string, uri: string, { info }: Bundle): Promise<void> {
    await this.olm.updateTrackedUsers([new UserId(user)]);
    await this.query(user);
    const claim = await this.olm.getMissingSessions([new UserId(user)]);
    if (claim !== null && claim !== undefined) await this.send(claim);
    const strategy = CollectStrategy.identityBasedStrategy();
    const requests = await this.olm.shareRoomKeyBundleData(new UserId(user), new RoomId(roomId), uri, info, strategy);
    if (requests.length === 0) throw new Error(`${user} has no device that the history could be shared with`);
    for (const request of requests) await this.send(request);
  }

  /** Signs another device of theirs: it is theirs to everybody from now on. */
  async sign(deviceId: string): Promise<void> {
    await this.query(this.userId);
    const device = await this.olm.getDevice(new UserId(this.userId), new DeviceId(deviceId));
    if (device === undefined) throw new Error(`${this.userId} has no device ${deviceId}`);
    const { body } = await device.verify();
    await this.post("keys/signatures/upload", JSON.parse(body) as JsonValue);
  }

  /** To-device events that came for them. */
  async receive(events: readonly JsonObject[]): Promise<void> {
    const counts = new Map([["signed_curve25519", 50]]);
    const settings = new DecryptionSettings(TrustRequirement.Untrusted);
    await this.olm.receiveSyncChanges(JSON.stringify(events), new DeviceLists(), counts, undefined, settings);
    await this.sendAll();
  }

  close(): void {
    this.olm.close();
  }

  private async query(user: string): Promise<void> {
    await this.send(this.olm.queryKeysForUsers([new UserId(user)]));
  }

  private async sendAll(): Promise<void> {
    for (const request of await this.olm.outgoingRequests()) await this.send(request);
  }

  private async send(request: OutgoingRequest | { id: string }): Promise<void> {
    const read = readKeyRequest(request as Parameters<typeof readKeyRequest>[0]);
    const answer = await sendKeyRequest(this.homeserver, read, { signal: AbortSignal.timeout(60_000) });
    await this.olm.markRequestAsSent(read.id, read.type, JSON.stringify(answer));
  }

  private async post(endpoint: string, body: JsonValue): Promise<void> {
    await this.homeserver.request("POST", `/_matrix/client/v3/${endpoint}`, {
      body,
      signal: AbortSignal.timeout(60_000),
    });
  }
}

/** A bundle with anything in it, encrypted as one is. */
export function forgedBundle(content: string): Bundle {
  const { encryptedData: bytes, mediaEncryptionInfo } = Attachment.encrypt(new TextEncoder().encode(content));
  return { bytes, info: mediaEncryptionInfo ?? "" };
}

/** What stands in a bundle. */
export function openBundle({ bytes, info }: Bundle): { room_keys: JsonObject[]; withheld: JsonObject[] } {
  const clear = Attachment.decrypt(new EncryptedAttachment(bytes, info));
  return JSON.parse(new TextDecoder().decode(clear)) as { room_keys: JsonObject[]; withheld: JsonObject[] };
}
