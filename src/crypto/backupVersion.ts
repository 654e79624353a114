/**
 * The account's key backup as the homeserver tells of it (client-server API, "Server-side key backups"): reads the current version, makes
 * a new one, and says of a refusal whether the version is gone. Nothing is believed here: whether a version is ours, currentBackup.ts decides.
 * A version with an algorithm that is not ours, or with words that can't be read, is told as such and never used.
 */
import { ServerRefused, ServerUnreachable } from "../errors.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "../protocol/json.ts";

export const BACKUP_ALGORITHM = "m.megolm_backup.v1.curve25519-aes-sha2";

export interface BackupVersion {
  readonly version: string;
  readonly algorithm: string;
  readonly authData: JsonObject;
  /** In unpadded base64, as the homeserver says it; null for another algorithm, or where it is no text. */
  readonly publicKey: string | null;
  /** How many keys are in it, as the homeserver says. */
  readonly count: number;
}

const VERSIONS = "/_matrix/client/v3/room_keys/version";
/** A version and the data with it are a few hundred bytes. */
const LONGEST_VERSION = 255;
const LONGEST_AUTH_DATA = 32 * 1024;
/** An ed25519 or curve25519 key in base64. */
const KEY = /^[A-Za-z0-9+/]{43}=?$/;

/**
 * One attempt.
 * @returns null where the account has no backup, or the homeserver keeps none
 * @throws ServerRefused | ServerUnreachable | Cancelled
 */
export async function currentVersion(homeserver: Homeserver, signal: AbortSignal): Promise<BackupVersion | null> {
  try {
    const answer = await homeserver.request("GET", VERSIONS, { signal, retry: "none" });
    const read = readVersion(answer);
    if (read === null) throw unusable("what it says of the account's key backup has no version, or too long a one");
    return read;
  } catch (error) {
    if (error instanceof ServerRefused && error.status === 404 && error.errcode !== null) return null;
    throw error;
  }
}

/**
 * One attempt; the new version takes the place of the one before, which the homeserver keeps.
 * @returns the version's name
 * @throws ServerRefused | ServerUnreachable | Cancelled
 */
export async function makeVersion(homeserver: Homeserver, authData: JsonObject, signal: AbortSignal): Promise<string> {
  const body = { algorithm: BACKUP_ALGORITHM, auth_data: authData };
  const { version } = await homeserver.request("POST", VERSIONS, { body, signal, retry: "none" });
  if (!isVersionName(version)) throw unusable("it names no version for the key backup that it has made");
  return version;
}

/** Whether the homeserver does not (any more) have the version that a request named, or has another current one. */
export function isVersionGone(error: unknown): boolean {
  return (
    error instanceof ServerRefused &&
    (error.errcode === "M_WRONG_ROOM_KEYS_VERSION" || (error.status === 404 && error.errcode === "M_NOT_FOUND"))
  );
}

function readVersion(answer: JsonObject): BackupVersion | null {
  const { version, algorithm, auth_data: authData, count } = answer;
  if (!isVersionName(version)) return null;
  const isWhole =
    typeof algorithm === "string" && isJsonObject(authData) && JSON.stringify(authData).length <= LONGEST_AUTH_DATA;
  if (!isWhole) return { version, algorithm: "", authData: {}, publicKey: null, count: 0 };
  const { public_key: key } = authData;
  const isOurs = algorithm === BACKUP_ALGORITHM && typeof key === "string" && KEY.test(key);
  const publicKey = isOurs ? key.replace("=", "") : null;
  return { version, algorithm, authData, publicKey, count: typeof count === "number" ? count : 0 };
}

function isVersionName(version: JsonValue | undefined): version is string {
  return typeof version === "string" && version !== "" && version.length <= LONGEST_VERSION;
}

function unusable(what: string): ServerUnreachable {
  return new ServerUnreachable(`The homeserver's answer is not usable: ${what}.`, { doubtful: true });
}
