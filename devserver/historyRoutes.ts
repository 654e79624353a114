/** Reading a room's past and its members: /messages, /members, /joined_members, /relations, /event. */
import { isJsonObject, type JsonObject, type JsonValue } from "../src/protocol/json.ts";
import { pageEvent } from "./clientEvent.ts";
import { eventFilter } from "./eventFilter.ts";
import { MatrixError, badParam, forbidden, notFound, unknown } from "./matrixError.ts";
import type { ServerParts } from "./parts.ts";
import type { Room, StoredEvent } from "./room.ts";
import { Answer, param, type Router, type SignedInCall } from "./router.ts";
import { positionOf, tokenOf } from "./tokens.ts";

const ROOM = "/_matrix/client/v3/rooms/:roomId";

/** As Synapse. */
const MESSAGES_LIMIT = 10;
const RELATIONS_LIMIT = 5;
const HIGHEST_LIMIT = 1000;

export function addHistoryRoutes(router: Router, parts: ServerParts): void {
  const { rooms, now, stream } = parts;

  router.on("GET", `${ROOM}/messages`, (call) => {
    const room = readable(parts, call);
    const filterText = call.query.get("filter");
    const filter = eventFilter(filterText === null ? {} : parsedFilter(filterText));
    const back = (call.query.get("dir") ?? "f") === "b";
    const from = call.query.get("from");
    const start = from === null ? (back ? stream.position : 0) : positionOf(from).stream;
    const page = walk(room, call, { start, back, limit: limitOf(call, MESSAGES_LIMIT) }, (stored) =>
      filter.accepts(stored.current),
    );
    return {
      chunk: page.events.map((stored) => pageEvent(room, stored, call.session, now())),
      start: from ?? tokenOf(start),
      // As on Synapse a page without events is the last; one with events always names its end.
      ...(page.events.length > 0 ? { end: tokenOf(page.end) } : {}),
    };
  });

  const relations = (call: SignedInCall): JsonObject => {
    const room = readable(parts, call);
    const eventId = param(call, "eventId");
    const { relType, eventType } = call.params;
    const back = (call.query.get("dir") ?? "b") === "b";
    const from = call.query.get("from");
    const start = from === null ? (back ? stream.position : 0) : positionOf(from).stream;
    if (room.event(eventId) === undefined) throw unknown(404, "Unknown parent event.");
    const related = new Set(room.references(eventId).filter((stored) => relates(stored, relType, eventType)));
    const page = walk(
      room,
      call,
      { start, back, limit: limitOf(call, RELATIONS_LIMIT) },
      (stored) => related.has(stored),
      [...related],
    );
    return {
      chunk: page.events.map((stored) => pageEvent(room, stored, call.session, now())),
      ...(page.more ? { next_batch: tokenOf(page.end) } : {}),
      ...(from === null ? {} : { prev_batch: from }),
    };
  };
  for (const tail of ["", "/:relType", "/:relType/:eventType"])
    for (const version of ["v1", "unstable"])
      router.on("GET", `/_matrix/client/${version}/rooms/:roomId/relations/:eventId${tail}`, relations);

  router.on("GET", `${ROOM}/event/:eventId`, (call) => {
    const room = rooms.get(param(call, "roomId"));
    // Who may not read the room does not hear that the event is there.
    if (room === undefined || !mayRead(room, call.session.userId)) throw notFound("Event not found.");
    const stored = room.event(param(call, "eventId"));
    if (stored === undefined || !room.visible(stored, call.session.userId)) throw notFound("Event not found.");
    return Answer.json(pageEvent(room, stored, call.session, now()));
  });

  router.on("GET", `${ROOM}/members`, (call) => {
    const room = readable(parts, call);
    const [wanted, unwanted] = [call.query.get("membership"), call.query.get("not_membership")];
    const chunk: JsonValue[] = [];
    for (const stored of room.allState()) {
      const event = isJsonObject(stored.current) ? stored.current : {};
      if (event["type"] !== "m.room.member") continue;
      const membership = room.membership(String(event["state_key"]));
      if ((wanted !== null && membership !== wanted) || (unwanted !== null && membership === unwanted)) continue;
      chunk.push(pageEvent(room, stored, call.session, now()));
    }
    return { chunk };
  });

  router.on("GET", `${ROOM}/joined_members`, (call) => {
    const room = rooms.existing(param(call, "roomId"));
    if (room.membership(call.session.userId) !== "join") throw forbidden(`User not in room ${room.id}`);
    const joined = room.members("join").map((userId): [string, JsonObject] => {
      const name = room.stateContent("m.room.member", userId)["displayname"];
      return [userId, { display_name: name ?? null, avatar_url: null }];
    });
    return { joined: Object.fromEntries(joined) };
  });
}

interface Walk {
  readonly start: number;
  readonly back: boolean;
  readonly limit: number;
}

/** Events from a position on, one way or the other, up to the query's `to`; what the user may not see is passed over. */
function walk(
  room: Room,
  { query, session }: SignedInCall,
  { start, back, limit }: Walk,
  wanted: (stored: StoredEvent) => boolean,
  among: readonly StoredEvent[] = room.events,
): { events: StoredEvent[]; end: number; more: boolean } {
  const to = query.get("to");
  const stop = to === null ? null : positionOf(to).stream;
  // Someone who has left sees the room as it was then.
  const { userId } = session;
  const last = room.membership(userId) === "join" ? Infinity : lastSeen(room, userId);
  const events: StoredEvent[] = [];
  const step = back ? -1 : 1;
  let index =
    among === room.events ? (back ? room.indexAfter(start) - 1 : room.indexAfter(start)) : back ? among.length - 1 : 0;
  for (; index >= 0 && index < among.length; index += step) {
    const stored = among[index];
    if (stored === undefined) break;
    if (back ? stored.position > start : stored.position <= start) continue;
    if (stop !== null && (back ? stored.position <= stop : stored.position > stop)) break;
    if (stored.position > last || !room.visible(stored, userId) || !wanted(stored)) continue;
    if (events.length >= limit) return { events, end: endOf(events, back, start), more: true };
    events.push(stored);
  }
  return { events, end: endOf(events, back, start), more: false };
}

function endOf(events: readonly StoredEvent[], back: boolean, start: number): number {
  const last = events.at(-1);
  if (last === undefined) return start;
  return back ? last.position - 1 : last.position;
}

function lastSeen(room: Room, userId: string): number {
  return room.membershipChanges(userId, 0, Infinity).at(-1)?.position ?? 0;
}

/** @throws MatrixError 403 */
function readable({ rooms }: ServerParts, call: SignedInCall): Room {
  const room = rooms.existing(param(call, "roomId"));
  const { userId } = call.session;
  if (!mayRead(room, userId)) throw forbidden(`User ${userId} not in room ${room.id}`);
  return room;
}

/** Who was never in a room, is banned from it or has forgotten it may not. */
function mayRead(room: Room, userId: string): boolean {
  const ever = room.membershipChanges(userId, 0, Infinity).some((change) => change.membership === "join");
  return ever && room.membership(userId) !== "ban" && !room.forgotten(userId);
}

function relates(stored: StoredEvent, relType: string | undefined, eventType: string | undefined): boolean {
  if (stored.redactedBy !== null || !isJsonObject(stored.current)) return false;
  const { type, content } = stored.current;
  const relation = isJsonObject(content) ? content["m.relates_to"] : undefined;
  if (!isJsonObject(relation)) return false;
  return (relType === undefined || relation["rel_type"] === relType) && (eventType === undefined || type === eventType);
}

function limitOf(call: SignedInCall, byDefault: number): number {
  const text = call.query.get("limit");
  if (text === null) return byDefault;
  const limit = Number(text);
  if (!Number.isInteger(limit) || limit < 0) throw badParam("Query parameter limit must be an integer");
  return Math.min(limit, HIGHEST_LIMIT);
}

function parsedFilter(text: string): JsonObject {
  try {
    const value: unknown = JSON.parse(text);
    if (isJsonObject(value)) return value;
  } catch {
    // Falls through to the refusal.
  }
  throw new MatrixError(400, "M_NOT_JSON", "Invalid filter JSON");
}
