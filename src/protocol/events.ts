/** Events as the client-server API delivers them, decoded once at the boundary and typed inside. */
import { isJsonObject, type JsonObject } from "./json.ts";
import type { EventId, RoomId, UserId } from "./ids.ts";

/** An event as the server sent it (client-server API, "ClientEvent"); the fields that Docket relies on are checked. */
export interface RawEvent {
  readonly event_id: EventId;
  readonly room_id: RoomId;
  readonly type: string;
  readonly sender: UserId;
  readonly origin_server_ts: number;
  readonly content: JsonObject;
  readonly state_key?: string;
  readonly unsigned?: JsonObject;
}

export type DecodedEvent = { readonly ok: true; readonly event: RawEvent } | { readonly ok: false; readonly problem: string };

/** Identifiers are at most 255 bytes by the specification; room for sloppy servers, none for abuse. */
const LONGEST_ID = 1024;

/**
 * Checks what a server sent as a timeline or state event. Never throws.
 * @param value one element of a `timeline.events` or `state.events` array
 * @param roomId the room that it was found in: `/sync` leaves `room_id` out
 * @returns the event, or which field is wrong (never its value)
 */
export function decodeEvent(value: unknown, roomId: RoomId): DecodedEvent {
  if (!isJsonObject(value)) return { ok: false, problem: "the event is not an object" };
  const { event_id, type, sender, origin_server_ts, content, state_key, unsigned } = value;
  if (!isId(event_id)) return { ok: false, problem: "event_id is not an identifier" };
  if (typeof type !== "string" || type.length > LONGEST_ID) return { ok: false, problem: "type is not a string" };
  if (!isId(sender)) return { ok: false, problem: "sender is not an identifier" };
  if (typeof origin_server_ts !== "number" || !Number.isSafeInteger(origin_server_ts))
    return { ok: false, problem: "origin_server_ts is not an integer" };
  if (!isJsonObject(content)) return { ok: false, problem: "content is not an object" };
  if (state_key !== undefined && typeof state_key !== "string") return { ok: false, problem: "state_key is not a string" };
  if (unsigned !== undefined && !isJsonObject(unsigned)) return { ok: false, problem: "unsigned is not an object" };
  return {
    ok: true,
    event: {
      ...value,
      event_id: event_id as EventId,
      room_id: roomId,
      type,
      sender: sender as UserId,
      origin_server_ts,
      content,
    } as RawEvent,
  };
}

function isId(value: unknown): value is string {
  return typeof value === "string" && value.length > 0 && value.length <= LONGEST_ID;
}
