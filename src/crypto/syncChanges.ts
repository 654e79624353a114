/** Translates between a sync response and the objects of the crypto library. Broken user IDs and messages are passed over. */
import {
  DecryptedToDeviceEvent,
  DeviceLists,
  ProcessedToDeviceEventType,
  UserId as LibraryUserId,
  type OlmMachine,
  type ProcessedToDeviceEvent,
  type RoomKeyInfo,
} from "@matrix-org/matrix-sdk-crypto-wasm";
import type { RoomId } from "../protocol/ids.ts";
import { isJsonObject, type JsonValue } from "../protocol/json.ts";
import type { CryptoChanges } from "./cryptoEngine.ts";
import type { SessionRef } from "./sessionRef.ts";
import { decryptFromAnyDevice } from "./machine.ts";

/**
 * Hands a sync's encryption part to the library. A count that is missing means zero to it; a missing list of unused fallback
 * keys stays missing, since an empty one means that there are none left.
 */
export function receiveChanges(olm: OlmMachine, changes: CryptoChanges): Promise<ProcessedToDeviceEvent[]> {
  const { toDevice, changedUsers, leftUsers, oneTimeKeyCounts, unusedFallbackKeyTypes } = changes;
  return olm.receiveSyncChanges(
    JSON.stringify(toDevice),
    new DeviceLists(libraryUsers(changedUsers), libraryUsers(leftUsers)),
    new Map(Object.entries(oneTimeKeyCounts)),
    unusedFallbackKeyTypes === undefined ? undefined : new Set(unusedFallbackKeyTypes),
    decryptFromAnyDevice(),
  );
}

/** Those of `users` that the library can read as user IDs. */
export function libraryNames(users: readonly string[]): string[] {
  return users.filter((user) => libraryUsers([user]).length > 0);
}

/** What the library can't read as a user ID has no devices either. */
function libraryUsers(users: readonly string[]): LibraryUserId[] {
  return users.flatMap((user) => {
    try {
      return [new LibraryUserId(user)];
    } catch {
      return [];
    }
  });
}

/** What the library tells of new room keys. */
export function readSessions(keys: readonly RoomKeyInfo[]): SessionRef[] {
  return keys.map((key) => ({ roomId: key.roomId.toString() as RoomId, sessionId: key.sessionId }));
}

/** The session of a decrypted `m.room_key`; none for any other to-device message. */
export function readRoomKey(processed: { type: ProcessedToDeviceEventType; rawEvent: string }): SessionRef[] {
  if (processed.type !== ProcessedToDeviceEventType.Decrypted) return [];
  const event = JSON.parse(processed.rawEvent) as JsonValue;
  if (!isJsonObject(event) || event["type"] !== "m.room_key" || !isJsonObject(event["content"])) return [];
  const { room_id: roomId, session_id: sessionId } = event["content"];
  return typeof roomId === "string" && typeof sessionId === "string" ? [{ roomId: roomId as RoomId, sessionId }] : [];
}

/** A to-device message that says where a key bundle is (MSC4268). */
export interface ReceivedBundle {
  readonly roomId: RoomId;
  readonly sender: string;
  /** Null where the message does not tell. */
  readonly deviceId: string | null;
}

const BUNDLE_TYPES: ReadonlySet<unknown> = new Set(["io.element.msc4268.room_key_bundle", "m.room_key_bundle"]);

/** The bundle that a decrypted to-device message tells of; the library keeps what else stands in it. */
export function readBundle(processed: ProcessedToDeviceEvent): ReceivedBundle[] {
  if (!(processed instanceof DecryptedToDeviceEvent)) return [];
  const event = JSON.parse(processed.rawEvent) as JsonValue;
  if (!isJsonObject(event) || !BUNDLE_TYPES.has(event["type"]) || !isJsonObject(event["content"])) return [];
  const { room_id: roomId } = event["content"];
  const { sender } = event;
  if (typeof roomId !== "string" || typeof sender !== "string") return [];
  const info = processed.encryptionInfo;
  const device = info.senderDevice;
  const deviceId = device?.toString() ?? null;
  device?.free();
  info.free();
  return [{ roomId: roomId as RoomId, sender, deviceId }];
}

/** How many to-device messages of a sync could not be decrypted. */
export function countUndecryptable(processed: readonly { type: ProcessedToDeviceEventType }[]): number {
  return processed.filter(({ type }) => type === ProcessedToDeviceEventType.UnableToDecrypt).length;
}

export function distinct(sessions: readonly SessionRef[]): SessionRef[] {
  return [
    ...new Map(sessions.map((session) => [JSON.stringify([session.roomId, session.sessionId]), session])).values(),
  ];
}
