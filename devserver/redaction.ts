/** What a redaction leaves of an event (room versions 10 and 11, "Redactions"). */
import { isJsonObject, type JsonObject, type JsonValue } from "../src/protocol/json.ts";

const KEPT: Readonly<Record<string, readonly string[]>> = {
  "m.room.member": ["membership", "join_authorised_via_users_server"],
  "m.room.create": ["creator"],
  "m.room.join_rules": ["join_rule", "allow"],
  "m.room.power_levels": [
    "ban",
    "events",
    "events_default",
    "invite",
    "kick",
    "redact",
    "state_default",
    "users",
    "users_default",
  ],
  "m.room.history_visibility": ["history_visibility"],
};

/** From version 11 on the create event keeps everything, and redactions keep `redacts`. */
export function pruned(event: JsonValue, roomVersion: string): JsonValue {
  if (!isJsonObject(event)) return event;
  const type = String(event["type"]);
  const newer = Number(roomVersion) >= 11;
  const content = isJsonObject(event["content"]) ? event["content"] : {};
  if (newer && type === "m.room.create") return event;
  const kept = newer && type === "m.room.redaction" ? ["redacts"] : (KEPT[type] ?? []);
  const left: Record<string, JsonValue> = {};
  for (const name of kept) if (content[name] !== undefined) left[name] = content[name];
  return { ...event, content: left } satisfies JsonObject;
}
