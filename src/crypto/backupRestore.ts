/**
 * Takes the whole key backup in. The specification gives all of it in one answer or room by room, and no list of its rooms: the rooms that
 * the bot has left are in it, too, so it is asked for whole, once, with a bound on the answer's size. From there it goes in portions: the
 * library's lock is held for one of them, and a running bot goes on between.
 * Guarantees: an entry that can't be used is counted, and the first ones are named; the others are taken in. Can be repeated.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Homeserver } from "../matrix/homeserver.ts";
import { isJsonObject, type JsonValue } from "../protocol/json.ts";
import type { RoomId } from "../protocol/ids.ts";
import { importBackedUp, MOST_AT_ONCE, type BackedUpKey } from "./backedUpKeys.ts";
import type { SessionRef } from "./sessionRef.ts";
import type { Machine } from "./machine.ts";

export interface RestoreProgress {
  /** Keys dealt with, of all in the backup. */
  readonly done: number;
  readonly total: number;
}

export interface Restored {
  readonly version: string;
  /** Keys in the backup. */
  readonly total: number;
  /** New here, or better than what was here; the others were here already, or are corrupt. */
  readonly imported: number;
  readonly corrupt: number;
  /** The first of the corrupt ones. */
  readonly named: readonly SessionRef[];
}

const MOST_NAMED = 20;
/** Some hundred thousand keys. */
const MAX_REPLY_BYTES = 256 * 1024 * 1024;
const TIMEOUT_MS = 15 * 60_000;

/**
 * @param version whose decryption key is here
 * @param tell called after each portion, and once before the first
 * @returns null where the key of this version is not (any more) here
 * @throws ServerRefused | ServerUnreachable | Cancelled | CryptoPanicked
 */
export async function restoreBackup(
  { machine, homeserver }: { machine: Machine; homeserver: Homeserver },
  version: string,
  tell: (progress: RestoreProgress) => void,
  signal: AbortSignal,
): Promise<Restored | null> {
  const answer = await homeserver.request("GET", "/_matrix/client/v3/room_keys/keys", {
    query: { version },
    signal,
    timeoutMs: TIMEOUT_MS,
    maxReplyBytes: MAX_REPLY_BYTES,
  });
  const keys = keysIn(answer["rooms"]);
  const total = keys.length;
  const named: SessionRef[] = [];
  let imported = 0;
  let corrupt = 0;
  tell({ done: 0, total });
  for (let done = 0; done < total; done += MOST_AT_ONCE) {
    const portion = keys.slice(done, done + MOST_AT_ONCE);
    const result = await importBackedUp(machine, version, portion, signal);
    if (result === null) return null;
    imported += result.imported.length;
    corrupt += result.corrupt.length;
    named.push(...result.corrupt.slice(0, MOST_NAMED - named.length));
    tell({ done: Math.min(done + MOST_AT_ONCE, total), total });
    await nextTurn();
  }
  return { version, total, imported, corrupt, named };
}

function keysIn(rooms: JsonValue | undefined): readonly BackedUpKey[] {
  if (!isJsonObject(rooms)) return [];
  return Object.entries(rooms).flatMap(([roomId, room]) => {
    const sessions = isJsonObject(room) ? room["sessions"] : null;
    return isJsonObject(sessions)
      ? Object.entries(sessions).map(([sessionId, entry]) => ({ roomId: roomId as RoomId, sessionId, entry }))
      : [];
  });
}
