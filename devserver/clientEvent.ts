/** Events as clients get them: `unsigned` for the one who reads, and Synapse's two formats. */
import { isJsonObject, type JsonObject, type JsonValue } from "../src/protocol/json.ts";
import { stateKeyOf, type Room, type StoredEvent } from "./room.ts";

export interface Viewer {
  readonly userId: string;
  readonly deviceId: string;
}

/** What Synapse copies from `unsigned` to the top outside of `/sync`. */
const COPIED = ["age", "redacted_because", "replaces_state", "prev_content"];

/** As `/sync` has it: without `room_id`. Injected events come out exactly as they went in. */
export function syncEvent(room: Room, stored: StoredEvent, viewer: Viewer, now: number): JsonValue {
  if (stored.verbatim && stored.redactedBy === null) return stored.current;
  const event: JsonObject = isJsonObject(stored.current) ? stored.current : {};
  const sentBy = event["sender"] === viewer.userId && stored.deviceId === viewer.deviceId;
  const replaced = isJsonObject(stored.replaces?.current) ? stored.replaces.current : undefined;
  const unsigned: Record<string, JsonValue> = {
    membership: room.membershipAt(viewer.userId, stored.position),
    age: now - Number(event["origin_server_ts"]),
  };
  if (sentBy && stored.txnId !== null) unsigned["transaction_id"] = stored.txnId;
  if (stateKeyOf(stored) !== null && replaced !== undefined) {
    unsigned["replaces_state"] = replaced["event_id"] ?? null;
    unsigned["prev_content"] = replaced["content"] ?? null;
    unsigned["prev_sender"] = replaced["sender"] ?? null;
  }
  if (stored.redactedBy !== null) {
    unsigned["redacted_by"] = stored.redactedBy.eventId;
    unsigned["redacted_because"] = syncEvent(room, stored.redactedBy, viewer, now);
  }
  return { ...withRedacts(event), unsigned };
}

/** As `/messages`, `/event`, `/members` and `/relations` have it. */
export function pageEvent(room: Room, stored: StoredEvent, viewer: Viewer, now: number): JsonValue {
  const event = syncEvent(room, stored, viewer, now);
  if (stored.verbatim || !isJsonObject(event)) return event;
  const unsigned = isJsonObject(event["unsigned"]) ? event["unsigned"] : {};
  const copied: Record<string, JsonValue> = {};
  for (const name of COPIED) if (unsigned[name] !== undefined) copied[name] = unsigned[name];
  return { ...event, room_id: room.id, user_id: event["sender"] ?? null, ...copied };
}

/** The four fields that an invited user may see of a state event. */
export function strippedEvent(stored: StoredEvent): JsonObject {
  const event = isJsonObject(stored.current) ? stored.current : {};
  return {
    type: event["type"] ?? null,
    state_key: event["state_key"] ?? null,
    content: event["content"] ?? null,
    sender: event["sender"] ?? null,
  };
}

/** `redacts` stands at the top up to room version 10 and in the content from 11 on; servers show both for old and new clients. */
function withRedacts(event: JsonObject): JsonObject {
  if (event["type"] !== "m.room.redaction") return event;
  const content = isJsonObject(event["content"]) ? event["content"] : {};
  const redacts = event["redacts"] ?? content["redacts"];
  return redacts === undefined ? event : { ...event, redacts, content: { ...content, redacts } };
}
