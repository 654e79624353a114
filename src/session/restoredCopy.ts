/**
 * Makes a data directory that was restored from an older copy usable again, in two steps: at rest, before the library opens it, and on the
 * homeserver, with the device signed in. Both can be repeated. What can't be had again are the room keys that came after the copy
 * was made: the homeserver has deleted those messages.
 */
import type { Clock } from "../clock.ts";
import { inside } from "../crypto/deviceSignature.ts";
import { dropSentState } from "../crypto/sentState.ts";
import { settleCopyDoubt } from "../journal/copyDoubt.ts";
import type { Database } from "../journal/database.ts";
import { isJsonObject } from "../protocol/json.ts";
import { CopyMark } from "./copyMark.ts";
import type { Session } from "./openSession.ts";

export interface AtRest {
  /** Encrypted channels to other devices that begin anew. */
  readonly olmSessions: number;
  /** Rooms that get a new room key before the next message. */
  readonly roomKeys: number;
}

export interface OnServer {
  /** One-time keys that the homeserver had and that this copy may lack; nobody gets them any more. */
  readonly takenBack: number;
  /** One-time keys there now. Zero: only a new device helps. */
  readonly uploaded: number;
  /** Messages that wait, and that the room is asked for before they are sent. */
  readonly doubtful: number;
}

const ALGORITHM = "signed_curve25519";
/** Far more than any client keeps there. */
const MOST_KEYS = 1_000;
const UPLOAD_TRIES = 15;
const UPLOAD_PAUSE_MS = 1_000;

/** The first step. Nothing else may have the directory open. @throws StoreFailed */
export function restoreAtRest(database: Database): AtRest {
  return database.transaction(() => dropSentState(database));
}

/**
 * The second step: has the homeserver give away what it has of our one-time keys, to us, and uploads new ones; from then on nobody
 * gets a key that the copy does not have. Then the doubt is over.
 * @param session opened and not started; it is started here
 * @throws ServerRefused | ServerUnreachable | Cancelled | StoreFailed
 */
export async function restoreOnServer(
  session: Pick<Session, "homeserver" | "engine" | "userId" | "deviceId" | "start">,
  { database, clock, signal }: { database: Database; clock: Clock; signal: AbortSignal },
): Promise<OnServer> {
  const { homeserver, engine } = session;
  const takenBack = await takeBackKeys(session, signal);
  // What a sync would say now.
  const changes = { toDevice: [], changedUsers: [], leftUsers: [] };
  await engine.receive(
    { ...changes, oneTimeKeyCounts: { [ALGORITHM]: 0 }, unusedFallbackKeyTypes: [] },
    async ({ held }) => database.transaction(() => held.apply()),
  );
  await session.start();
  // An upload that fails is repeated in the background.
  let uploaded = await keysThere(homeserver, signal);
  for (let tries = 1; uploaded === 0 && tries < UPLOAD_TRIES; tries += 1) {
    await clock.sleep(UPLOAD_PAUSE_MS, signal);
    uploaded = await keysThere(homeserver, signal);
  }
  await new CopyMark({ database, ...session }).renew(signal);
  return { takenBack, uploaded, doubtful: settleCopyDoubt(database, clock.now()) };
}

/** An upload of nothing is answered with how many there are. */
async function keysThere(homeserver: Session["homeserver"], signal: AbortSignal): Promise<number> {
  const answer = await homeserver.request("POST", "/_matrix/client/v3/keys/upload", { body: {}, signal });
  const count = inside(answer, "one_time_key_counts", ALGORITHM);
  return typeof count === "number" ? count : 0;
}

/** Client-server API, `POST /keys/claim`, for our own device; the fallback key, which comes last, counts as used by it. */
async function takeBackKeys(
  { homeserver, userId, deviceId }: Pick<Session, "homeserver" | "userId" | "deviceId">,
  signal: AbortSignal,
): Promise<number> {
  const body = { one_time_keys: { [userId]: { [deviceId]: ALGORITHM } } };
  const taken = new Set<string>();
  while (taken.size < MOST_KEYS) {
    const answer = await homeserver.request("POST", "/_matrix/client/v3/keys/claim", { body, signal });
    const keys = inside(answer, "one_time_keys", userId, deviceId);
    const [keyId, key] = Object.entries(isJsonObject(keys) ? keys : {})[0] ?? [];
    if (keyId === undefined || taken.has(keyId) || (isJsonObject(key) && key["fallback"] === true)) break;
    taken.add(keyId);
  }
  return taken.size;
}
