/**
 * Asks the homeserver all that the checks want to know: at once where it can be, each question within `QUESTION_MS`, all of them within
 * `ALL_MS`. Changes nothing there.
 */
import type { Clock } from "../../clock.ts";
import type { Config } from "../../config/config.ts";
import type { OwnIdentity } from "../../crypto/ownIdentity.ts";
import { deviceSignature, inside } from "../../crypto/deviceSignature.ts";
import type { Census } from "../../journal/census.ts";
import { endpointPath } from "../../matrix/endpoint.ts";
import type { Homeserver } from "../../matrix/homeserver.ts";
import { profilePath } from "../../matrix/profiles.ts";
import { capabilityField } from "../../protocol/capabilities.ts";
import { isJsonObject, type JsonObject } from "../../protocol/json.ts";
import { ask, askIfThere, notAsked } from "./asked.ts";
import type { Asked, KeyCounts, PublishedKeys, RoomPower, ServerFacts } from "./facts.ts";
import { askPowerLevels } from "./powerLevels.ts";
import { sendTypes } from "./sendTypes.ts";

export interface ServerQuestions {
  readonly homeserver: Homeserver;
  readonly config: Config;
  /** Rooms that the bot is in; null where the journal can't be read. */
  readonly rooms: Census["joined"] | null;
  /** What the last sync of a running bot told; null: the homeserver is asked. */
  readonly keyCounts: KeyCounts | null;
  readonly clock: Clock;
}

/** What one question may take. */
export const QUESTION_MS = 5_000;
/** And all of them together. */
const ALL_MS = 15_000;
const ROOMS_AT_ONCE = 8;

/** Never rejects. */
export async function askServer(questions: ServerQuestions): Promise<ServerFacts> {
  const { homeserver, clock } = questions;
  const over = new AbortController();
  const done = new AbortController();
  void clock.sleep(ALL_MS, done.signal).then(() => over.abort());
  const limits = { signal: over.signal, timeoutMs: QUESTION_MS };
  const get = (endpoint: string): Promise<JsonObject> =>
    homeserver.request("GET", endpoint, { ...limits, retry: "none" });
  try {
    const [greeting, whoami] = await Promise.all([
      ask(() => homeserver.greet(limits)),
      ask(() => homeserver.whoami(limits.signal, limits.timeoutMs)),
    ]);
    if (whoami.kind !== "known" || whoami.value.deviceId === null) {
      return { ...unasked(whoami.kind === "failed" ? whoami : noDevice), greeting, whoami };
    }
    const { userId, deviceId } = whoami.value;
    const field = capabilityField(deviceId);
    const path =
      field === null || greeting.kind !== "known" ? null : profilePath(greeting.value.versions, userId, field);
    const [device, keys, backup, oneTimeKeys, advertised, rooms] = await Promise.all([
      askIfThere(async () => {
        const answer = await get(endpointPath("/_matrix/client/v3/devices", deviceId));
        const name = answer["display_name"];
        return { displayName: typeof name === "string" ? name : null };
      }),
      ask(() => publishedKeys(homeserver, { userId, deviceId }, limits)),
      present(askIfThere(() => get("/_matrix/client/v3/room_keys/version").then(() => true))),
      askKeyCounts(questions, limits),
      path === null || field === null
        ? notAsked("The profile has no place for it.")
        : present(askIfThere(async () => Object.hasOwn(await get(path), field))),
      askRooms(questions, userId, limits),
    ]);
    return { greeting, whoami, device, keys, backup, oneTimeKeys, advertised, rooms };
  } finally {
    done.abort();
  }
}

const noDevice = notAsked("The token belongs to no device.");

/** @param why nothing could be asked */
export function unasked(why: Exclude<Asked<never>, { kind: "known" }>): ServerFacts {
  return {
    greeting: why,
    whoami: why,
    device: why,
    keys: why,
    backup: why,
    oneTimeKeys: why,
    advertised: why,
    rooms: [],
  };
}

interface Limits {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

async function publishedKeys(
  homeserver: Homeserver,
  { userId, deviceId }: Pick<OwnIdentity, "userId" | "deviceId">,
  limits: Limits,
): Promise<PublishedKeys> {
  const body = { device_keys: { [userId]: [deviceId] } };
  const answer = await homeserver.request("POST", "/_matrix/client/v3/keys/query", { ...limits, body, retry: "none" });
  const key = (algorithm: string): string | null => {
    const found = inside(answer, "device_keys", userId, deviceId, "keys", `${algorithm}:${deviceId}`);
    return typeof found === "string" ? found : null;
  };
  return {
    ed25519: key("ed25519"),
    curve25519: key("curve25519"),
    signature: deviceSignature(answer, userId, deviceId),
  };
}

/** An upload of nothing tells the counts and changes nothing. */
function askKeyCounts({ homeserver, keyCounts }: ServerQuestions, limits: Limits): Promise<Asked<KeyCounts>> {
  return ask(async () => {
    if (keyCounts !== null) return keyCounts;
    const endpoint = "/_matrix/client/v3/keys/upload";
    const answer = await homeserver.request("POST", endpoint, { ...limits, body: {}, retry: "none" });
    const counts = answer["one_time_key_counts"];
    const count = isJsonObject(counts) ? counts["signed_curve25519"] : undefined;
    return { oneTimeKeys: typeof count === "number" ? count : 0, hasFallback: null };
  });
}

async function present(asked: Promise<Asked<boolean | null>>): Promise<Asked<boolean>> {
  const answer = await asked;
  return answer.kind === "known" ? { kind: "known", value: answer.value === true } : answer;
}

async function askRooms(
  { homeserver, rooms, config }: ServerQuestions,
  userId: OwnIdentity["userId"],
  limits: Limits,
): Promise<readonly RoomPower[]> {
  const found: RoomPower[] = [];
  const left = [...(rooms ?? [])].entries();
  const request = homeserver.request.bind(homeserver);
  const worker = async (): Promise<void> => {
    for (const [place, { roomId, encrypted }] of left) {
      const levels = await askPowerLevels(roomId, userId, sendTypes(config, encrypted), { request, ...limits });
      found[place] = { roomId, encrypted, levels };
    }
  };
  await Promise.all(Array.from({ length: ROOMS_AT_ONCE }, worker));
  return found;
}
