/**
 * Two OlmMachines that talk without a server: one on the installed IndexedDB, under test, and a peer that keeps its keys in
 * memory. Each request of the one under test is answered at once, from what the peer would have uploaded.
 */
import {
  DecryptionSettings,
  DeviceId,
  DeviceLists,
  EncryptionAlgorithm,
  EncryptionSettings,
  OlmMachine,
  RequestType,
  RoomId,
  TrustRequirement,
  UserId,
  type KeysClaimRequest,
  type ToDeviceRequest,
} from "@matrix-org/matrix-sdk-crypto-wasm";

const BOT = "@bot:example.org";
const PEER = "@peer:example.org";
const ROOM = "!room:example.org";

interface Uploaded {
  device_keys?: object;
  one_time_keys?: Record<string, object>;
}

export interface Party {
  readonly olm: OlmMachine;
  readonly userId: string;
  readonly deviceId: string;
  readonly uploaded: Uploaded;
}

const silence = { debug() {}, info() {}, warn() {}, error() {} };

/** The bot, on `globalThis.indexedDB`. */
export function openBot(): Promise<Party> {
  return openParty(BOT, "BOT", "docket");
}

export function openPeer(): Promise<Party> {
  return openParty(PEER, "PEER", undefined);
}

async function openParty(userId: string, deviceId: string, storeName: string | undefined): Promise<Party> {
  const olm = await OlmMachine.initialize(new UserId(userId), new DeviceId(deviceId), storeName, undefined, silence);
  const party: Party = { olm, userId, deviceId, uploaded: {} };
  return party;
}

/** Uploads device keys and one-time keys, and answers what else is outgoing with nothing. */
export async function upload(party: Party): Promise<void> {
  for (const request of await party.olm.outgoingRequests()) {
    if (request.type === RequestType.KeysUpload) {
      Object.assign(party.uploaded, JSON.parse(request.body) as Uploaded);
      await party.olm.markRequestAsSent(
        request.id ?? "",
        request.type,
        JSON.stringify({ one_time_key_counts: { signed_curve25519: 50 } }),
      );
    }
  }
}

/** Learns the other's device, takes a one-time key and makes an Olm session. */
export async function meet(party: Party, other: Party): Promise<void> {
  await party.olm.updateTrackedUsers([new UserId(other.userId)]);
  const query = party.olm.queryKeysForUsers([new UserId(other.userId)]);
  const devices = { [other.userId]: { [other.deviceId]: other.uploaded.device_keys } };
  await party.olm.markRequestAsSent(query.id, query.type, JSON.stringify({ device_keys: devices, failures: {} }));
  const claim: KeysClaimRequest | null = (await party.olm.getMissingSessions([new UserId(other.userId)])) ?? null;
  if (claim === null) return;
  const [key] = Object.entries(other.uploaded.one_time_keys ?? {});
  if (key === undefined) throw new Error("the other party has uploaded no one-time keys");
  const keys = { [other.userId]: { [other.deviceId]: { [key[0]]: key[1] } } };
  await party.olm.markRequestAsSent(claim.id, claim.type, JSON.stringify({ one_time_keys: keys, failures: {} }));
}

/** Shares a room key. @returns the to-device events that the other would get */
export async function share(party: Party, other: Party): Promise<object[]> {
  const settings = new EncryptionSettings();
  settings.algorithm = EncryptionAlgorithm.MegolmV1AesSha2;
  const requests: ToDeviceRequest[] = await party.olm.shareRoomKey(
    new RoomId(ROOM),
    [new UserId(other.userId)],
    settings,
  );
  const events: object[] = [];
  for (const request of requests) {
    const { messages } = JSON.parse(request.body) as { messages: Record<string, Record<string, object>> };
    const content = messages[other.userId]?.[other.deviceId];
    if (content !== undefined) events.push({ type: request.event_type, sender: party.userId, content });
    await party.olm.markRequestAsSent(request.id, request.type, "{}");
  }
  return events;
}

/** @returns the event as it would come in a timeline */
export async function encrypt(party: Party, body: string): Promise<string> {
  const content = await party.olm.encryptRoomEvent(
    new RoomId(ROOM),
    "m.room.message",
    JSON.stringify({ msgtype: "m.text", body }),
  );
  return JSON.stringify({
    type: "m.room.encrypted",
    event_id: "$event",
    room_id: ROOM,
    sender: party.userId,
    origin_server_ts: 1,
    content: JSON.parse(content) as object,
  });
}

/** @throws what the library throws when it has no key */
export async function decrypt(party: Party, event: string): Promise<string> {
  const decrypted = await party.olm.decryptRoomEvent(
    event,
    new RoomId(ROOM),
    new DecryptionSettings(TrustRequirement.Untrusted),
  );
  return (JSON.parse(decrypted.event) as { content: { body: string } }).content.body;
}

export async function receive(party: Party, toDevice: readonly object[]): Promise<void> {
  await party.olm.receiveSyncChanges(
    JSON.stringify(toDevice),
    new DeviceLists(),
    new Map([["signed_curve25519", 49]]),
    new Set(["signed_curve25519"]),
    new DecryptionSettings(TrustRequirement.Untrusted),
  );
}
