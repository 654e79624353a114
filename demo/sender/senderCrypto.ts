/**
 * The independent sender's own encryption: one OlmMachine with its store in memory.
 * Everything that shares or uses an outbound session runs one at a time for each room; key requests run one at a time in
 * all. It knows nothing of the bot's engine: it is there to judge it.
 */
import {
  CollectStrategy,
  DecryptionSettings,
  DeviceId,
  DeviceLists,
  EncryptionSettings,
  HistoryVisibility,
  type KeysClaimRequest,
  MegolmDecryptionError,
  OlmMachine,
  RequestType,
  RoomId,
  type ToDeviceRequest,
  TrustRequirement,
  UserId,
} from "@matrix-org/matrix-sdk-crypto-wasm";
import type { JsonObject, JsonValue } from "../../src/protocol/json.ts";
import { type MatrixHttp, segment } from "./matrixHttp.ts";
import { OneAtATime } from "./oneAtATime.ts";
import { asArray, asObject } from "./seenEvent.ts";
import type { SenderRoom } from "./senderRoom.ts";

/** A room key that has been made but not handed out. */
export interface HeldKeys {
  /** Ciphertext content for an `m.room.encrypted` event. */
  readonly content: JsonObject;
  /** Hands the room key out by to-device messages. Does so once, however often it is called. */
  releaseKeys(): Promise<void>;
}

/** What the library's requests about keys have in common. */
interface KeyRequest {
  readonly id: string | undefined;
  readonly type: RequestType;
  readonly body: string;
}

export type ClearText =
  | { readonly ok: true; readonly type: string; readonly content: JsonObject; readonly senderDevice: string | null }
  | { readonly ok: false; readonly problem: string };

const VISIBILITY: Readonly<Record<string, HistoryVisibility>> = {
  invited: HistoryVisibility.Invited,
  joined: HistoryVisibility.Joined,
  shared: HistoryVisibility.Shared,
  world_readable: HistoryVisibility.WorldReadable,
};

export class SenderCrypto {
  readonly #http: MatrixHttp;
  readonly #machine: OlmMachine;
  readonly #turns = new OneAtATime();
  #closed = false;
  /** Whether room keys go to devices alone that their owner has cross-signed, as clients do that follow MSC4153. */
  onlyToSigned = false;

  private constructor(http: MatrixHttp, machine: OlmMachine) {
    this.#http = http;
    this.#machine = machine;
  }

  /** A new identity for this device; its keys are on the server when this resolves. */
  static async create(http: MatrixHttp, userId: string, deviceId: string): Promise<SenderCrypto> {
    const machine = await OlmMachine.initialize(new UserId(userId), new DeviceId(deviceId));
    const crypto = new SenderCrypto(http, machine);
    await crypto.flush();
    return crypto;
  }

  /** A cross-signing identity for the account, with which this device is signed; one that is there is replaced. */
  async makeIdentity(): Promise<void> {
    await this.#turns.run("requests", async () => {
      const requests = await this.#machine.bootstrapCrossSigning(true);
      const { uploadKeysRequest, uploadSigningKeysRequest, uploadSignaturesRequest } = requests;
      if (uploadKeysRequest !== undefined) await this.#post(uploadKeysRequest, "keys/upload");
      await this.#http.call("POST", "/_matrix/client/v3/keys/device_signing/upload", {
        body: JSON.parse(uploadSigningKeysRequest.body) as JsonValue,
      });
      await this.#signatures(uploadSignaturesRequest.body);
    });
  }

  /** Signs this device with the keys that another device of the account has. */
  async signWithIdentityOf(other: SenderCrypto): Promise<void> {
    const keys = await other.#machine.exportCrossSigningKeys();
    if (keys === undefined) throw new Error("the other device has no cross-signing keys");
    const own = this.#machine.userId;
    await this.#machine.updateTrackedUsers([own.clone()]);
    await this.flush();
    await this.#turns.run("requests", async () => {
      await this.#machine.importCrossSigningKeys(keys.masterKey, keys.self_signing_key, keys.userSigningKey);
      const device = await this.#machine.getDevice(own, this.#machine.deviceId);
      if (device === undefined) throw new Error("the device is not known to its own machine");
      await this.#signatures((await device.verify()).body);
    });
  }

  /** Public keys of this device, unpadded base64. */
  get identityKeys(): { readonly ed25519: string; readonly curve25519: string } {
    const keys = this.#machine.identityKeys;
    return { ed25519: keys.ed25519.toBase64(), curve25519: keys.curve25519.toBase64() };
  }

  /** Takes the encryption part of a sync answer; sends what it makes necessary. */
  async receive(sync: JsonObject): Promise<void> {
    const lists = asObject(sync["device_lists"]);
    const counts = asObject(sync["device_one_time_keys_count"]);
    const fallback = sync["device_unused_fallback_key_types"];
    await this.#machine.receiveSyncChanges(
      JSON.stringify(asObject(sync["to_device"])["events"] ?? []),
      new DeviceLists(
        strings(lists["changed"]).map((id) => new UserId(id)),
        strings(lists["left"]).map((id) => new UserId(id)),
      ),
      new Map(Object.entries(counts).map(([name, count]) => [name, Number(count)])),
      Array.isArray(fallback) ? new Set(strings(fallback)) : undefined,
      new DecryptionSettings(TrustRequirement.Untrusted),
    );
    await this.flush();
    await this.#claim([]);
  }

  /** Never throws for a bad event. @param event the whole event as it came, `room_id` not needed */
  async decrypt(event: JsonObject, roomId: string): Promise<ClearText> {
    try {
      const settings = new DecryptionSettings(TrustRequirement.Untrusted);
      const decrypted = await this.#machine.decryptRoomEvent(JSON.stringify(event), new RoomId(roomId), settings);
      const clear = JSON.parse(decrypted.event) as { type: string; content: JsonObject };
      const senderDevice = decrypted.senderDevice?.toString() ?? null;
      return { ok: true, type: clear.type, content: clear.content, senderDevice };
    } catch (error) {
      return { ok: false, problem: error instanceof MegolmDecryptionError ? error.description : String(error) };
    }
  }

  /** @returns ciphertext content; every member's device has been sent the room key */
  async encrypt(room: SenderRoom, type: string, content: JsonObject): Promise<JsonObject> {
    return await this.#turns.run(room.id, async () => {
      for (const share of await this.#share(room)) await this.#sendToDevice(share);
      return await this.#encryptNow(room, type, content);
    });
  }

  /** As `encrypt`, under a new room key that nobody else has until `releaseKeys` is called. */
  async encryptHoldingKeys(room: SenderRoom, type: string, content: JsonObject): Promise<HeldKeys> {
    return await this.#turns.run(room.id, async () => {
      await this.#machine.invalidateGroupSession(new RoomId(room.id));
      const shares = await this.#share(room);
      const held = shares.map((share) => ({ type: share.event_type, txnId: share.txn_id, body: share.body }));
      // To the library they are sent: it would not encrypt otherwise.
      for (const share of shares) await this.#machine.markRequestAsSent(share.id, share.type, "{}");
      const ciphertext = await this.#encryptNow(room, type, content);
      let released: Promise<void> | null = null;
      const release = async (): Promise<void> => {
        for (const share of held) await this.#putToDevice(share.type, share.txnId, share.body);
      };
      return { content: ciphertext, releaseKeys: () => (released ??= release()) };
    });
  }

  /** The next event in this room gets a new session. */
  async rotate(roomId: string): Promise<void> {
    await this.#turns.run(roomId, () => this.#machine.invalidateGroupSession(new RoomId(roomId)));
  }

  /** Sends what the machine has to send: key uploads, key queries, to-device messages. */
  async flush(): Promise<void> {
    await this.#turns.run("requests", async () => {
      for (const request of await this.#machine.outgoingRequests()) {
        switch (request.type) {
          case RequestType.KeysUpload:
            await this.#post(request, "keys/upload");
            break;
          case RequestType.KeysQuery:
            await this.#post(request, "keys/query");
            break;
          case RequestType.KeysClaim:
            await this.#post(request, "keys/claim");
            break;
          case RequestType.SignatureUpload:
            await this.#post(request, "keys/signatures/upload");
            break;
          case RequestType.ToDevice:
            await this.#sendToDevice(request as ToDeviceRequest);
            break;
          default:
            throw new Error(`the library asks for a request of type ${request.type}, which this sender never causes`);
        }
      }
    });
  }

  /** Whether that device's keys are on its server, so that a room key can be sent to it. */
  async knowsDevice(userId: string, deviceId: string): Promise<boolean> {
    await this.#machine.updateTrackedUsers([new UserId(userId)]);
    await this.flush();
    return (await this.#machine.getDevice(new UserId(userId), new DeviceId(deviceId))) !== undefined;
  }

  /** Every room key that this device has, as JSON, in the clear: so that a test can look for them where they must not be. */
  async exportRoomKeys(): Promise<string> {
    return await this.#machine.exportRoomKeys(() => true);
  }

  /** May be called more than once. */
  close(): void {
    if (!this.#closed) this.#machine.close();
    this.#closed = true;
  }

  async #share(room: SenderRoom): Promise<ToDeviceRequest[]> {
    const users = [...room.recipients()];
    await this.#machine.updateTrackedUsers(users.map((id) => new UserId(id)));
    await this.flush();
    await this.#claim(users);
    const settings = new EncryptionSettings();
    settings.sharingStrategy = this.onlyToSigned
      ? CollectStrategy.identityBasedStrategy()
      : CollectStrategy.allDevices();
    settings.historyVisibility = VISIBILITY[room.historyVisibility] ?? HistoryVisibility.Shared;
    // Microseconds here, milliseconds in the room's state.
    if (room.rotationPeriodMs !== null) settings.rotationPeriod = BigInt(room.rotationPeriodMs) * 1000n;
    if (room.rotationPeriodMessages !== null) settings.rotationPeriodMessages = BigInt(room.rotationPeriodMessages);
    return await this.#machine.shareRoomKey(
      new RoomId(room.id),
      users.map((id) => new UserId(id)),
      settings,
    );
  }

  async #encryptNow(room: SenderRoom, type: string, content: JsonObject): Promise<JsonObject> {
    const encrypted = await this.#machine.encryptRoomEvent(new RoomId(room.id), type, JSON.stringify(content));
    return JSON.parse(encrypted) as JsonObject;
  }

  async #claim(users: readonly string[]): Promise<void> {
    await this.#turns.run("requests", async () => {
      const claim: KeysClaimRequest | null = await this.#machine.getMissingSessions(users.map((id) => new UserId(id)));
      if (claim) await this.#post(claim, "keys/claim");
    });
  }

  async #post(request: KeyRequest, endpoint: string): Promise<void> {
    const body = JSON.parse(request.body) as JsonValue;
    const answer = await this.#http.call("POST", `/_matrix/client/v3/${endpoint}`, { body });
    if (request.id === undefined) throw new Error("the library gave a request without an ID");
    await this.#machine.markRequestAsSent(request.id, request.type, JSON.stringify(answer));
  }

  async #signatures(body: string): Promise<void> {
    const answer = await this.#http.call("POST", "/_matrix/client/v3/keys/signatures/upload", {
      body: JSON.parse(body) as JsonValue,
    });
    const failures = asObject(answer["failures"]);
    if (Object.keys(failures).length > 0) throw new Error(`signatures were refused: ${JSON.stringify(failures)}`);
  }

  async #sendToDevice(request: ToDeviceRequest): Promise<void> {
    await this.#putToDevice(request.event_type, request.txn_id, request.body);
    await this.#machine.markRequestAsSent(request.id, request.type, "{}");
  }

  async #putToDevice(type: string, txnId: string, body: string): Promise<void> {
    await this.#http.call("PUT", `/_matrix/client/v3/sendToDevice/${segment(type)}/${segment(txnId)}`, {
      body: JSON.parse(body) as JsonValue,
    });
  }
}

function strings(value: JsonValue | undefined): string[] {
  return asArray(value).filter((entry) => typeof entry === "string");
}
