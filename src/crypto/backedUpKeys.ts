/**
 * Opens entries of the account's key backup and gives their keys to the library, which wakes what waits for them.
 * Guarantees: an entry, however broken, costs itself alone and is named; a key goes in under its own session ID only, whatever the
 * homeserver calls it; the library's lock is held for one call's keys (`MOST_AT_ONCE`), so callers bring them in portions. What a backup
 * says of who sent a key is nobody's word: the library marks such keys as imported, and events read with them as from an unknown device.
 */
import { type BackupDecryptionKey, RoomId as LibraryRoomId } from "@matrix-org/matrix-sdk-crypto-wasm";
import { isJsonObject, type JsonObject, type JsonValue } from "../protocol/json.ts";
import type { RoomId } from "../protocol/ids.ts";
import type { SessionRef } from "./sessionRef.ts";
import { isCryptoPanic, type LibraryCall, type Machine } from "./machine.ts";

/** A `KeyBackupData` of the specification, as the homeserver sent it. */
export interface BackedUpKey extends SessionRef {
  readonly entry: JsonValue;
}

export interface ImportedKeys {
  /** New here, or better than what was here. */
  readonly imported: readonly SessionRef[];
  /** Not to be opened with the backup's key, or no room keys, or another session's. */
  readonly corrupt: readonly SessionRef[];
}

/** Opening one takes a third of a millisecond. */
export const MOST_AT_ONCE = 100;

type OpenedKey = SessionRef & { readonly content: JsonObject };

/**
 * @param version of the backup that they come from
 * @param keys at most `MOST_AT_ONCE`
 * @returns null where the key of this version is not (any more) here
 * @throws CryptoPanicked | Cancelled
 */
export async function importBackedUp(
  machine: Machine,
  version: string,
  keys: readonly BackedUpKey[],
  signal?: AbortSignal,
): Promise<ImportedKeys | null> {
  return await machine.hold(async (library) => {
    const opened = await library("openBackedUpKeys", async (olm) => {
      const saved = await olm.getBackupKeys();
      const { decryptionKey, backupVersion } = saved;
      saved.free();
      if (decryptionKey === undefined || backupVersion !== version) return null;
      const all = keys.map((key) => open(decryptionKey, key));
      decryptionKey.free();
      return all;
    });
    if (opened === null) return null;
    const readable = opened.filter((key) => key !== null);
    const corrupt = keys.filter((_, place) => opened[place] === null).map(refOf);
    const together = await give(library, version, readable);
    if (!together.failed) return { imported: together.imported, corrupt };
    // One of them at least: which, only trying each by itself tells. The others are here by now.
    for (const key of readable) if ((await give(library, version, [key])).failed) corrupt.push(refOf(key));
    return { imported: together.imported, corrupt };
  }, signal);
}

function refOf({ roomId, sessionId }: SessionRef): SessionRef {
  return { roomId, sessionId };
}

function open(decryptionKey: BackupDecryptionKey, { roomId, sessionId, entry }: BackedUpKey): OpenedKey | null {
  const data = isJsonObject(entry) ? entry["session_data"] : null;
  if (!isJsonObject(data)) return null;
  const { ephemeral, mac, ciphertext } = data;
  if (typeof ephemeral !== "string" || typeof mac !== "string" || typeof ciphertext !== "string") return null;
  try {
    new LibraryRoomId(roomId).free();
    const content = JSON.parse(decryptionKey.decryptV1(ephemeral, mac, ciphertext)) as JsonValue;
    if (!isJsonObject(content) || sessionIdOf(content["session_key"]) !== sessionId) return null;
    return { roomId, sessionId, content };
  } catch (error) {
    // A panic, which is the machine's to report.
    if (isCryptoPanic(error)) throw error;
    return null;
  }
}

/** Of an exported session: its version (one byte), index (4), ratchet (128), then the public key, which is what the ID encodes. */
const EXPORTED_BYTES = 1 + 4 + 128 + 32;

function sessionIdOf(sessionKey: JsonValue | undefined): string | null {
  if (typeof sessionKey !== "string" || sessionKey.length > EXPORTED_BYTES * 2) return null;
  const bytes = Buffer.from(sessionKey, "base64");
  if (bytes.length !== EXPORTED_BYTES) return null;
  return bytes.subarray(-32).toString("base64").replaceAll("=", "");
}

async function give(
  library: LibraryCall,
  version: string,
  keys: readonly OpenedKey[],
): Promise<{ imported: readonly SessionRef[]; failed: boolean }> {
  if (keys.length === 0) return { imported: [], failed: false };
  return await library("importBackedUpRoomKeys", async (olm) => {
    const rooms = new Map<string, Map<string, JsonObject>>();
    for (const { roomId, sessionId, content } of keys) {
      const sessions = rooms.get(roomId) ?? new Map<string, JsonObject>();
      rooms.set(roomId, sessions.set(sessionId, content));
    }
    let failures = 0n;
    const byRoom = new Map([...rooms].map(([roomId, sessions]) => [new LibraryRoomId(roomId), sessions]));
    const result = await olm.importBackedUpRoomKeys(
      byRoom,
      (_, __, failed) => void (failures = failed > failures ? failed : failures),
      version,
    );
    const imported = [...result.keys()].flatMap(([roomId, senders]) =>
      [...senders.values()].flatMap((sessions) =>
        [...sessions].map((sessionId) => ({ roomId: roomId as RoomId, sessionId })),
      ),
    );
    result.free();
    return { imported, failed: failures > 0n };
  });
}
