/** Events as the client-server API delivers them, decoded once at the boundary and typed inside. */
import { isJsonObject, type JsonObject, type JsonValue } from "./json.ts";
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

export type DecodedEvent =
  | { readonly ok: true; readonly event: RawEvent }
  /** `keep` is what can be kept of it: the whole value, or null where it is nested too deep to be written down. */
  | { readonly ok: false; readonly problem: string; readonly keep: JsonValue };

/** Identifiers are at most 255 bytes by the specification; room for sloppy servers, none for abuse. */
const LONGEST_ID = 1024;
/** JSON that is nested deeper overflows the stack of whoever writes it down; no honest event comes near. */
const DEEPEST = 500;

/**
 * Checks what a server sent as a timeline or state event. Never throws.
 * @param value one element of a `timeline.events` or `state.events` array
 * @param roomId the room that it was found in: `/sync` leaves `room_id` out
 * @returns the event, or which field is wrong (never its value)
 */
export function decodeEvent(value: unknown, roomId: RoomId): DecodedEvent {
  if (isTooDeep(value)) return { ok: false, problem: tooDeepProblem, keep: null };
  const problem = problemOf(value);
  if (problem !== null) return { ok: false, problem, keep: value as JsonValue };
  return { ok: true, event: { ...(value as object), room_id: roomId } as RawEvent };
}

function problemOf(value: unknown): string | null {
  if (!isJsonObject(value)) return "it is not an object";
  const { event_id, type, sender, origin_server_ts, content, state_key, unsigned } = value;
  if (!isId(event_id)) return "event_id is not an identifier";
  if (typeof type !== "string" || type.length > LONGEST_ID) return "type is not a string, or too long";
  if (!isId(sender)) return "sender is not an identifier";
  if (!Number.isSafeInteger(origin_server_ts)) return "origin_server_ts is not an integer";
  if (!isJsonObject(content)) return "content is not an object";
  if (state_key !== undefined && typeof state_key !== "string") return "state_key is not a string";
  if (unsigned !== undefined && !isJsonObject(unsigned)) return "unsigned is not an object";
  return null;
}

function isId(value: unknown): value is string {
  return typeof value === "string" && value.length > 0 && value.length <= LONGEST_ID;
}

export const tooDeepProblem = `it is nested more than ${DEEPEST} levels deep`;

/** Whether JSON is nested too deep to be written down. Level by level, not by recursion: the depth is the attacker's choice. */
export function isTooDeep(value: unknown): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > DEEPEST) return true;
    level = level.flatMap((part) => (typeof part === "object" && part !== null ? Object.values(part) : []));
  }
  return false;
}
