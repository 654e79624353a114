/** Server-side key backups (client-server API, "Server-side key backups") as Synapse 1.160 keeps them; all in memory. */
import { isJsonObject, type JsonObject, type JsonValue } from "../src/protocol/json.ts";
import type { Stream } from "./changes.ts";
import { MatrixError, badJson, badParam, notFound } from "./matrixError.ts";

/** By room ID, then by session ID. */
export type BackedUpKeys = ReadonlyMap<string, ReadonlyMap<string, JsonObject>>;

export interface Backup {
  readonly version: string;
  readonly algorithm: string;
  readonly authData: JsonObject;
  readonly etag: string;
  readonly count: number;
  readonly keys: BackedUpKeys;
}

interface Held {
  readonly version: string;
  readonly algorithm: string;
  authData: JsonObject;
  etag: number;
  readonly keys: Map<string, Map<string, JsonObject>>;
  deleted: boolean;
}

/** Which keys of a backup: all, a room's, or one. */
export interface Part {
  readonly roomId?: string;
  readonly sessionId?: string;
}

export class KeyBackups {
  /** By user, oldest first. Version numbers count from 1, and none is given twice. */
  readonly #users = new Map<string, Held[]>();
  readonly #stream: Stream;

  constructor(stream: Stream) {
    this.#stream = stream;
  }

  /** @returns its version. @throws MatrixError */
  create(userId: string, body: JsonObject): string {
    const { algorithm, auth_data: authData } = body;
    if (typeof algorithm !== "string" || !isJsonObject(authData)) throw badJson("algorithm and auth_data are needed");
    const backups = this.#users.get(userId) ?? [];
    this.#users.set(userId, backups);
    const version = String(backups.length + 1);
    backups.push({ version, algorithm, authData, etag: 0, keys: new Map(), deleted: false });
    this.#stream.touch();
    return version;
  }

  /** @param version the newest by default. @throws MatrixError `M_NOT_FOUND` */
  get(userId: string, version?: string): Backup {
    return shown(this.#existing(userId, version, "No backup found"));
  }

  /** How many there have been, deleted ones too. */
  made(userId: string): number {
    return this.#users.get(userId)?.length ?? 0;
  }

  /** Replaces `auth_data`. @throws MatrixError */
  update(userId: string, version: string, body: JsonObject): void {
    if (body["version"] !== undefined && body["version"] !== version) throw badParam("Version in body does not match");
    const held = this.#existing(userId, version, "Unknown backup version");
    if (body["algorithm"] !== held.algorithm) throw badParam("Algorithm does not match");
    if (isJsonObject(body["auth_data"])) held.authData = body["auth_data"];
    this.#stream.touch();
  }

  /** Also one that has been deleted. @throws MatrixError `M_NOT_FOUND` for one that never was */
  delete(userId: string, version: string): void {
    const held = this.#users.get(userId)?.find((backup) => backup.version === version);
    if (held === undefined) throw notFound("Unknown backup version");
    held.deleted = true;
    held.keys.clear();
    this.#stream.touch();
  }

  /** Keeps the better of two keys for a session. @param rooms as in the body for all keys. @throws MatrixError */
  upload(userId: string, version: string, rooms: JsonValue | undefined): JsonObject {
    const current = this.#existing(userId, undefined, `Version '${version}' not found`);
    if (current.version !== version) {
      const asked = this.#existing(userId, version, `Version '${version}' not found`);
      // The specification has the version that would be right; Synapse gives the one that was asked for.
      throw new MatrixError(403, "M_WRONG_ROOM_KEYS_VERSION", "Wrong room_keys version", {
        current_version: asked.version,
      });
    }
    const keys = keysIn(rooms);
    let changed = false;
    for (const { roomId, sessionId, key } of keys) {
      const room = current.keys.get(roomId) ?? new Map<string, JsonObject>();
      const old = room.get(sessionId);
      if (old !== undefined && !isBetter(key, old)) continue;
      current.keys.set(roomId, room.set(sessionId, key));
      changed = true;
    }
    return this.#counted(current, changed);
  }

  /** @throws MatrixError `M_NOT_FOUND` for an unknown version */
  keys(userId: string, version: string, part: Part): BackedUpKeys {
    const { keys } = this.#existing(userId, version, "Unknown backup version");
    return new Map(
      [...keys].flatMap(([roomId, room]) => {
        const wanted = [...room].filter(([sessionId]) => isIn(part, roomId, sessionId));
        return wanted.length === 0 ? [] : [[roomId, new Map(wanted)]];
      }),
    );
  }

  /** @throws MatrixError `M_NOT_FOUND` for an unknown version */
  deleteKeys(userId: string, version: string, part: Part): JsonObject {
    const held = this.#existing(userId, version, "Unknown backup version");
    for (const [roomId, room] of this.keys(userId, version, part))
      for (const sessionId of room.keys()) held.keys.get(roomId)?.delete(sessionId);
    return this.#counted(held, true);
  }

  #counted(held: Held, changed: boolean): JsonObject {
    if (changed) held.etag += 1;
    this.#stream.touch();
    const { etag, count } = shown(held);
    return { etag, count };
  }

  #existing(userId: string, version: string | undefined, message: string): Held {
    const found = this.#users
      .get(userId)
      ?.findLast((backup) => !backup.deleted && (version === undefined || backup.version === version));
    if (found === undefined) throw notFound(message);
    return found;
  }
}

/** Verified before unverified, then the earlier index, then fewer hands: any one of them is enough. */
function isBetter(key: JsonObject, old: JsonObject): boolean {
  const less = (name: string): boolean => Number(key[name]) < Number(old[name]);
  return (
    (key["is_verified"] === true && old["is_verified"] !== true) ||
    less("first_message_index") ||
    less("forwarded_count")
  );
}

/** @throws MatrixError */
function keysIn(rooms: JsonValue | undefined): { roomId: string; sessionId: string; key: JsonObject }[] {
  if (!isJsonObject(rooms)) throw badJson("rooms are needed");
  return Object.entries(rooms).flatMap(([roomId, room]) => {
    const sessions = isJsonObject(room) ? room["sessions"] : null;
    if (!isJsonObject(sessions)) throw badJson(`sessions of ${roomId} are needed`);
    return Object.entries(sessions).map(([sessionId, key]) => {
      if (!isJsonObject(key) || typeof key["is_verified"] !== "boolean")
        throw badParam(`is_verified must be a boolean in keys for session ${sessionId} in room ${roomId}`);
      const { first_message_index: index, forwarded_count: count, is_verified: verified, session_data: data } = key;
      if (typeof index !== "number" || typeof count !== "number" || data === undefined)
        throw badJson(`the key of session ${sessionId} is not whole`);
      return {
        roomId,
        sessionId,
        key: { first_message_index: index, forwarded_count: count, is_verified: verified, session_data: data },
      };
    });
  });
}

function isIn(part: Part, roomId: string, sessionId: string): boolean {
  return (part.roomId ?? roomId) === roomId && (part.sessionId ?? sessionId) === sessionId;
}

function shown({ version, algorithm, authData, etag, keys }: Held): Backup {
  const count = [...keys.values()].reduce((sum, room) => sum + room.size, 0);
  return { version, algorithm, authData, etag: String(etag), count, keys };
}
