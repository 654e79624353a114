/** `POST /createRoom`: the events of a new room, in the order in which Synapse sends them. */
import { isJsonObject, type JsonObject } from "../src/protocol/json.ts";
import { randomBytes } from "node:crypto";
import { MatrixError, badJson } from "./matrixError.ts";
import { Room, newEventId } from "./room.ts";
import type { Rooms } from "./rooms.ts";

export const ROOM_VERSIONS = ["10", "11", "12"];

const PRESETS: Readonly<Record<string, { readonly joinRule: string; readonly guests: string }>> = {
  private_chat: { joinRule: "invite", guests: "can_join" },
  trusted_private_chat: { joinRule: "invite", guests: "can_join" },
  public_chat: { joinRule: "public", guests: "forbidden" },
};

/** @throws MatrixError `M_UNSUPPORTED_ROOM_VERSION`, `M_BAD_JSON` */
export function createRoom(
  rooms: Rooms,
  creator: string,
  body: JsonObject,
  defaults: { readonly roomVersion: string; readonly serverName: string },
): Room {
  const version = typeof body["room_version"] === "string" ? body["room_version"] : defaults.roomVersion;
  if (!ROOM_VERSIONS.includes(version))
    throw new MatrixError(400, "M_UNSUPPORTED_ROOM_VERSION", "Your homeserver does not support this room version");
  const named = typeof body["preset"] === "string" ? body["preset"] : null;
  const preset = PRESETS[named ?? (body["visibility"] === "public" ? "public_chat" : "private_chat")];
  if (preset === undefined) throw badJson(`'${String(named)}' is not a valid preset`);
  const aliasName = body["room_alias_name"];
  const alias = typeof aliasName === "string" ? `#${aliasName}:${defaults.serverName}` : null;
  if (alias !== null && rooms.withAlias(alias) !== undefined)
    throw new MatrixError(400, "M_ROOM_IN_USE", "Room alias already taken");
  const invited = strings(body["invite"]);
  const trusted = named === "trusted_private_chat" ? invited : [];

  // Version 12: the room is named after its create event, and has no server part.
  const createId = newEventId();
  const room = new Room(
    version === "12" ? `!${createId.slice(1)}` : `!${randomBytes(12).toString("base64url")}:${defaults.serverName}`,
    version,
  );
  const put = (type: string, content: JsonObject, stateKey = ""): void => {
    rooms.append(room, { type, sender: creator, content, stateKey });
  };
  rooms.add(room);
  rooms.append(
    room,
    {
      type: "m.room.create",
      sender: creator,
      stateKey: "",
      content: {
        ...objectIn(body, "creation_content"),
        room_version: version,
        ...(version === "10" ? { creator } : {}),
        ...(version === "12" && trusted.length > 0 ? { additional_creators: trusted } : {}),
      },
    },
    createId,
  );
  put("m.room.member", { membership: "join" }, creator);

  const full = version === "12" ? [] : [creator, ...trusted];
  put("m.room.power_levels", {
    users: Object.fromEntries(full.map((userId) => [userId, 100])),
    users_default: 0,
    events: {
      "m.room.name": 50,
      "m.room.power_levels": 100,
      "m.room.history_visibility": 100,
      "m.room.canonical_alias": 50,
      "m.room.avatar": 50,
      "m.room.tombstone": version === "12" ? 150 : 100,
      "m.room.server_acl": 100,
      "m.room.encryption": 100,
    },
    events_default: 0,
    state_default: 50,
    ban: 50,
    kick: 50,
    redact: 50,
    invite: preset.joinRule === "invite" ? 0 : 50,
    historical: 100,
    ...objectIn(body, "power_level_content_override"),
  });
  if (alias !== null) {
    rooms.setAlias(alias, { roomId: room.id, creator });
    put("m.room.canonical_alias", { alias });
  }
  const initial = Array.isArray(body["initial_state"]) ? body["initial_state"].filter(isJsonObject) : [];
  const given = new Set(initial.map((event) => event["type"]));
  if (!given.has("m.room.join_rules")) put("m.room.join_rules", { join_rule: preset.joinRule });
  if (!given.has("m.room.history_visibility")) put("m.room.history_visibility", { history_visibility: "shared" });
  if (!given.has("m.room.guest_access")) put("m.room.guest_access", { guest_access: preset.guests });
  for (const event of initial) {
    const { type, content, state_key: stateKey } = event;
    if (typeof type !== "string" || !isJsonObject(content)) throw badJson("initial_state needs type and content");
    put(type, content, typeof stateKey === "string" ? stateKey : "");
  }
  if (typeof body["name"] === "string") put("m.room.name", { name: body["name"] });
  if (typeof body["topic"] === "string") put("m.room.topic", { topic: body["topic"] });
  for (const userId of invited) rooms.invite(room, creator, userId, undefined, body["is_direct"] === true);
  return room;
}

function objectIn(body: JsonObject, name: string): JsonObject {
  const value = body[name];
  return isJsonObject(value) ? value : {};
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((entry) => typeof entry === "string") : [];
}
