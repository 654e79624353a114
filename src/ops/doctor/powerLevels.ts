/** Who may send what in a room (client-server API, `m.room.power_levels`), as far as the bot's answers need it. */
import type { Homeserver } from "../../matrix/homeserver.ts";
import { endpointPath } from "../../matrix/endpoint.ts";
import type { RoomId, UserId } from "../../protocol/ids.ts";
import { isJsonObject, type JsonObject } from "../../protocol/json.ts";
import { askIfThere } from "./asked.ts";
import type { Asked, PowerLevels } from "./facts.ts";

/** Rooms of this version and later are above their power levels for those who made them. */
const CREATORS_ABOVE_ALL = 12;

/** The levels of a room whose state has none: its creator has 100, and everybody may send messages. */
const NO_LEVELS: PowerLevels = { own: 0, needed: {}, neededByDefault: 0 };

/** @param content of `m.room.power_levels` */
export function powerLevelsIn(content: JsonObject, userId: string): PowerLevels {
  const users = isJsonObject(content["users"]) ? content["users"] : {};
  const events = isJsonObject(content["events"]) ? content["events"] : {};
  const own = Object.hasOwn(users, userId) ? level(users[userId]) : null;
  return {
    own: own ?? level(content["users_default"]) ?? 0,
    needed: Object.fromEntries(
      Object.entries(events).flatMap(([type, value]) => {
        const needed = level(value);
        return needed === null ? [] : [[type, needed]];
      }),
    ),
    neededByDefault: level(content["events_default"]) ?? 0,
  };
}

export function neededFor(type: string, { needed, neededByDefault }: PowerLevels): number {
  return Object.hasOwn(needed, type) ? (needed[type] ?? neededByDefault) : neededByDefault;
}

/**
 * Asks the homeserver for the levels of a room.
 * @param types what the bot may want to send; only where it may not, it matters who made the room
 */
export async function askPowerLevels(
  roomId: RoomId,
  userId: UserId,
  types: readonly string[],
  ask: Pick<Homeserver, "request"> & { readonly signal: AbortSignal; readonly timeoutMs: number },
): Promise<Asked<PowerLevels>> {
  const { signal, timeoutMs } = ask;
  const state = (type: string, query: Record<string, string> = {}): Promise<JsonObject> =>
    ask.request("GET", endpointPath("/_matrix/client/v3/rooms", roomId, "state", type), {
      query,
      signal,
      timeoutMs,
      retry: "none",
    });
  const content = await askIfThere(() => state("m.room.power_levels"));
  if (content.kind !== "known") return content;
  const levels = content.value === null ? NO_LEVELS : powerLevelsIn(content.value, userId);
  if (types.every((type) => neededFor(type, levels) <= levels.own)) return { kind: "known", value: levels };
  const create = await askIfThere(() => state("m.room.create", { format: "event" }));
  const isAbove = create.kind === "known" && create.value !== null && madeBy(create.value, userId);
  return { kind: "known", value: isAbove ? { ...levels, own: Number.POSITIVE_INFINITY } : levels };
}

/** @param create the event, or from older servers its content alone */
function madeBy(create: JsonObject, userId: string): boolean {
  const content = isJsonObject(create["content"]) ? create["content"] : create;
  const { room_version: version, additional_creators: more } = content;
  if (!(Number(version) >= CREATORS_ABOVE_ALL)) return false;
  return create["sender"] === userId || (Array.isArray(more) && more.includes(userId));
}

/** Rooms before version 10 may have numbers in texts. */
function level(value: unknown): number | null {
  if (typeof value === "number") return Number.isFinite(value) ? value : null;
  return typeof value === "string" && /^\s*[+-]?\d{1,15}\s*$/.test(value) ? Number(value) : null;
}
