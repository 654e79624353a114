/**
 * Reads a `/sync` response (client-server API, `GET /_matrix/client/v3/sync`). Pure. A response whose frame is broken is refused
 * as a whole, so that it is asked for again; an event that is broken is set aside, and the rest is kept.
 */
import type { CryptoChanges } from "../crypto/cryptoEngine.ts";
import type { Invite, MalformedEvent, RoomUpdate } from "../journal/syncBatch.ts";
import { decodeEvent, isTooDeep, tooDeepProblem, type RawEvent } from "../protocol/events.ts";
import { isRoomId, type RoomId, type SyncToken, type UserId } from "../protocol/ids.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "../protocol/json.ts";

export interface SyncContents {
  readonly nextBatch: SyncToken;
  readonly crypto: CryptoChanges;
  readonly rooms: readonly RoomUpdate[];
  readonly invites: readonly Invite[];
  readonly malformed: readonly MalformedEvent[];
  /** Of joined rooms, where the filter lets them through: receipts, say. Unchecked but for being objects. */
  readonly ephemeral: readonly { readonly roomId: RoomId; readonly event: JsonObject }[];
}

export type ReadSync =
  { readonly ok: true; readonly contents: SyncContents } | { readonly ok: false; readonly problem: string };

/** A part of the response that has the wrong type; the message names its path, never its value. */
class BrokenFrame extends Error {}

/**
 * @param response the parsed body, unchecked
 * @param ownUser whose invitations they are
 */
export function readSyncResponse(response: unknown, ownUser: UserId): ReadSync {
  try {
    return { ok: true, contents: read(response, ownUser) };
  } catch (error) {
    if (error instanceof BrokenFrame) return { ok: false, problem: error.message };
    throw error;
  }
}

function read(response: unknown, ownUser: UserId): SyncContents {
  if (!isJsonObject(response)) throw new BrokenFrame("the response is not an object");
  const nextBatch = response["next_batch"];
  if (typeof nextBatch !== "string" || nextBatch === "") throw new BrokenFrame("next_batch is not a string");
  const rooms = section(response, "rooms");
  const malformed: MalformedEvent[] = [];
  const roomsIn = (key: "join" | "leave" | "invite"): [RoomId, JsonObject][] =>
    entries(rooms, key).flatMap(([roomId, room]) => {
      if (isRoomId(roomId)) return [[roomId, room]];
      malformed.push({ roomId: null, raw: keepable(room), problem: `a room in ${key} has an ID that is none` });
      return [];
    });
  const joined = roomsIn("join");
  const updates = [
    ...joined.map(([roomId, room]) => readRoom(roomId, "join", room, malformed)),
    ...roomsIn("leave").map(([roomId, room]) => readRoom(roomId, "leave", room, malformed)),
  ];
  const ephemeral = joined.flatMap(([roomId, room]) => readEphemeral(room).map((event) => ({ roomId, event })));
  const invites = roomsIn("invite").flatMap(([roomId, room]) => readInvite(roomId, room, ownUser, malformed));
  return {
    nextBatch: nextBatch as SyncToken,
    crypto: readCrypto(response, malformed),
    rooms: updates,
    invites,
    malformed,
    ephemeral,
  };
}

function readRoom(
  roomId: RoomId,
  membership: "join" | "leave",
  room: JsonObject,
  malformed: MalformedEvent[],
): RoomUpdate {
  const timeline = section(room, "timeline");
  const after = room["state_after"] ?? room["org.matrix.msc4222.state_after"];
  let encryptionSeen = false;
  const decode = (values: readonly JsonValue[]): RawEvent[] =>
    values.flatMap((value) => {
      const decoded = decodeEvent(value, roomId);
      if (decoded.ok) return [decoded.event];
      malformed.push({ roomId, raw: decoded.keep, problem: decoded.problem });
      encryptionSeen ||= isJsonObject(value) && value["type"] === "m.room.encryption";
      return [];
    });
  const state = decode(list(after === undefined ? section(room, "state") : (after as JsonValue), "events"));
  const events = decode(list(timeline, "events"));
  const prevBatch = timeline["prev_batch"];
  return {
    roomId,
    membership,
    state,
    stateIs: after === undefined ? "before_timeline" : "after_timeline",
    timeline: events,
    encryptionSeen,
    limited: timeline["limited"] === true,
    prevBatch: typeof prevBatch === "string" ? prevBatch : null,
  };
}

/** Nothing depends on it: what can't be read is passed over. */
function readEphemeral({ ephemeral }: JsonObject): readonly JsonObject[] {
  const events = isJsonObject(ephemeral) ? ephemeral["events"] : undefined;
  if (!Array.isArray(events)) return [];
  return (events as readonly JsonValue[]).filter(isJsonObject).filter((event) => !isTooDeep(event));
}

/** Who invited us stands in our own member event among the stripped state; without it nobody can be held to the policy. */
function readInvite(roomId: RoomId, room: JsonObject, ownUser: UserId, malformed: MalformedEvent[]): Invite[] {
  let inviter: string | null = null;
  let joinRule: string | null = null;
  for (const event of list(section(room, "invite_state"), "events")) {
    if (!isJsonObject(event)) continue;
    const { type, state_key, sender, content } = event;
    if (!isJsonObject(content)) continue;
    const ownInvite = type === "m.room.member" && state_key === ownUser && content["membership"] === "invite";
    if (ownInvite && typeof sender === "string") inviter ??= sender;
    const rule = content["join_rule"];
    if (type === "m.room.join_rules" && state_key === "" && typeof rule === "string") joinRule = rule;
  }
  if (inviter !== null) return [{ roomId, inviter: inviter as UserId, joinRule }];
  malformed.push({ roomId, raw: keepable(room), problem: "the invitation does not say who sent it" });
  return [];
}

function readCrypto(response: JsonObject, malformed: MalformedEvent[]): CryptoChanges {
  const lists = section(response, "device_lists");
  const counts = section(response, "device_one_time_keys_count");
  const fallback =
    response["device_unused_fallback_key_types"] ?? response["org.matrix.msc2732.device_unused_fallback_key_types"];
  return {
    toDevice: list(section(response, "to_device"), "events").filter((message) => {
      const problem = isTooDeep(message) ? tooDeepProblem : isJsonObject(message) ? null : "it is not an object";
      if (problem !== null) malformed.push({ roomId: null, raw: keepable(message), problem });
      return problem === null;
    }) as JsonObject[],
    changedUsers: strings(list(lists, "changed")),
    leftUsers: strings(list(lists, "left")),
    oneTimeKeyCounts: Object.fromEntries(
      Object.entries(counts).filter(
        (pair): pair is [string, number] => Number.isSafeInteger(pair[1]) && (pair[1] as number) >= 0,
      ),
    ),
    unusedFallbackKeyTypes: Array.isArray(fallback) ? strings(fallback as readonly JsonValue[]) : undefined,
  };
}

/** What of a broken part can be written down. */
function keepable(value: JsonValue): JsonValue {
  return isTooDeep(value) ? null : value;
}

function section(parent: JsonObject, key: string): JsonObject {
  const value = parent[key];
  if (value === undefined || value === null) return {};
  if (!isJsonObject(value)) throw new BrokenFrame(`${key} is not an object`);
  return value;
}

function entries(parent: JsonObject, key: string): [string, JsonObject][] {
  return Object.entries(section(parent, key)).map(([id, value]) => {
    if (!isJsonObject(value)) throw new BrokenFrame(`a room in ${key} is not an object`);
    return [id, value];
  });
}

function list(parent: JsonValue, key: string): readonly JsonValue[] {
  const value = isJsonObject(parent) ? parent[key] : parent;
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new BrokenFrame(`${key} is not a list`);
  return value as readonly JsonValue[];
}

function strings(values: readonly JsonValue[]): string[] {
  return values.filter((value) => typeof value === "string");
}
