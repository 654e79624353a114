/** Filters, as far as the bot and its tests use them: types, senders, rooms, limits, left rooms. No lazy loading. */
import { isJsonObject, type JsonObject, type JsonValue } from "../src/protocol/json.ts";

export interface EventFilter {
  /** How many timeline events at most. */
  readonly limit: number;
  accepts(event: JsonValue): boolean;
}

export interface SyncFilter {
  readonly timeline: EventFilter;
  readonly state: EventFilter;
  readonly accountData: EventFilter;
  readonly ephemeral: EventFilter;
  readonly includeLeave: boolean;
  acceptsRoom(roomId: string): boolean;
}

/** As Synapse: 10 unless asked for, never above 100 in a sync. */
const DEFAULT_LIMIT = 10;
const HIGHEST_LIMIT = 100;

export function syncFilter(filter: JsonObject): SyncFilter {
  const room = objectIn(filter, "room");
  const rooms = strings(room["rooms"]);
  const notRooms = strings(room["not_rooms"]);
  return {
    timeline: eventFilter(objectIn(room, "timeline")),
    state: eventFilter(objectIn(room, "state")),
    accountData: eventFilter(objectIn(filter, "account_data")),
    ephemeral: eventFilter(objectIn(room, "ephemeral")),
    includeLeave: room["include_leave"] === true,
    acceptsRoom: (roomId) => (rooms?.includes(roomId) ?? true) && !(notRooms?.includes(roomId) ?? false),
  };
}

export function eventFilter(filter: JsonObject): EventFilter {
  const types = strings(filter["types"]);
  const notTypes = strings(filter["not_types"]);
  const senders = strings(filter["senders"]);
  const notSenders = strings(filter["not_senders"]);
  const limit = typeof filter["limit"] === "number" ? filter["limit"] : DEFAULT_LIMIT;
  return {
    limit: Math.max(0, Math.min(limit, HIGHEST_LIMIT)),
    accepts: (event) => {
      const { type, sender } = isJsonObject(event) ? event : {};
      // A malformed event passes: it is there to be read.
      if (typeof type === "string") {
        if (types !== null && !types.some((pattern) => matches(pattern, type))) return false;
        if (notTypes?.some((pattern) => matches(pattern, type))) return false;
      }
      if (typeof sender === "string") {
        if (senders !== null && !senders.includes(sender)) return false;
        if (notSenders?.includes(sender)) return false;
      }
      return true;
    },
  };
}

/** As Synapse: a `*` counts at the end alone, where the specification lets it stand anywhere. */
function matches(pattern: string, type: string): boolean {
  return pattern.endsWith("*") ? type.startsWith(pattern.slice(0, -1)) : pattern === type;
}

function objectIn(value: JsonObject, name: string): JsonObject {
  const found = value[name];
  return isJsonObject(found) ? found : {};
}

function strings(value: JsonValue | undefined): string[] | null {
  return Array.isArray(value) ? value.filter((entry) => typeof entry === "string") : null;
}
