/** Creating rooms, membership, sending, state, redactions and typing. */
import { isJsonObject, type JsonObject } from "../src/protocol/json.ts";
import { createRoom } from "./createRoom.ts";
import { MatrixError, badParam, missingParam, notFound, unknown } from "./matrixError.ts";
import type { ServerParts } from "./parts.ts";
import { requireJoined } from "./permissions.ts";
import type { Draft, Room } from "./room.ts";
import { jsonBody, param, Answer, type Router, type SignedInCall } from "./router.ts";
import { pageEvent } from "./clientEvent.ts";

const V3 = "/_matrix/client/v3";
const ROOM = `${V3}/rooms/:roomId`;

export function addRoomRoutes(router: Router, parts: ServerParts): void {
  const { rooms } = parts;
  const roomOf = (call: SignedInCall): Room => rooms.existing(param(call, "roomId"));

  router.on("POST", `${V3}/createRoom`, async (call) => {
    await limited(parts, call);
    const defaults = { roomVersion: parts.defaultRoomVersion, serverName: parts.serverName };
    return { room_id: createRoom(rooms, call.session.userId, jsonBody(call), defaults).id };
  });
  // The servers to join through (`server_name`, `via`) are in the observer's log; one server alone has no use for them.
  const join = async (call: SignedInCall): Promise<JsonObject> => {
    const { reason } = jsonBody(call, "allowed");
    const room = rooms.resolve(param(call, "roomId"));
    await limited(parts, call);
    rooms.join(room, call.session.userId, reason);
    return { room_id: room.id };
  };
  router.on("POST", `${V3}/join/:roomId`, join);
  router.on("POST", `${ROOM}/join`, join);
  router.on("POST", `${V3}/knock/:roomId`, (call) => {
    const room = rooms.resolve(param(call, "roomId"));
    rooms.knock(room, call.session.userId, jsonBody(call, "allowed")["reason"]);
    return { room_id: room.id };
  });
  router.on("POST", `${ROOM}/leave`, (call) => {
    rooms.leave(rooms.resolve(param(call, "roomId")), call.session.userId, jsonBody(call, "allowed")["reason"]);
    return {};
  });
  router.on("POST", `${ROOM}/forget`, (call) => {
    const room = roomOf(call);
    if (["join", "invite"].includes(room.membership(call.session.userId)))
      throw new MatrixError(400, "M_UNKNOWN", `User ${call.session.userId} is in room ${room.id}`);
    room.forget(call.session.userId);
    return {};
  });
  router.on("POST", `${ROOM}/invite`, (call) => {
    const body = jsonBody(call);
    rooms.invite(roomOf(call), call.session.userId, targetOf(body), body["reason"]);
    return {};
  });
  for (const how of ["kick", "ban", "unban"] as const)
    router.on("POST", `${ROOM}/${how}`, (call) => {
      const body = jsonBody(call);
      rooms.remove(roomOf(call), call.session.userId, targetOf(body), how, body["reason"]);
      return {};
    });
  router.on("GET", `${V3}/joined_rooms`, ({ session }) => ({
    joined_rooms: [...rooms.of(session.userId)]
      .filter((room) => room.membership(session.userId) === "join")
      .map((room) => room.id),
  }));

  router.on("PUT", `${ROOM}/send/:type/:txnId`, async (call) => {
    const draft = { type: param(call, "type"), content: jsonBody(call), txnId: param(call, "txnId") };
    return send(parts, call, roomOf(call), draft);
  });
  router.on("PUT", `${ROOM}/redact/:eventId/:txnId`, async (call) => {
    const room = roomOf(call);
    const target = param(call, "eventId");
    const body = jsonBody(call, "allowed");
    const inContent = Number(room.version) >= 11;
    return send(parts, call, room, {
      type: "m.room.redaction",
      content: inContent ? { ...body, redacts: target } : body,
      redacts: target,
      txnId: param(call, "txnId"),
    });
  });
  for (const path of [`${ROOM}/state/:type`, `${ROOM}/state/:type/:stateKey`]) {
    router.on("PUT", path, async (call) => {
      const [room, type, stateKey] = [roomOf(call), param(call, "type"), call.params["stateKey"] ?? ""];
      const content = jsonBody(call);
      if (type === "m.room.member") return changeMembership(parts, call, room, stateKey, content);
      return send(parts, call, room, { type, stateKey, content });
    });
    router.on("GET", path, (call) => {
      const room = roomOf(call);
      requireJoined(room, call.session.userId);
      const stored = room.state(param(call, "type"), call.params["stateKey"] ?? "");
      if (stored === undefined || room.withheld(stored, call.session.userId)) throw notFound("Event not found.");
      const content = isJsonObject(stored.current) ? stored.current["content"] : undefined;
      return Answer.json(content ?? {});
    });
  }
  router.on("GET", `${ROOM}/state`, (call) => {
    const room = roomOf(call);
    requireJoined(room, call.session.userId);
    const seen = room.allState().filter((stored) => !room.withheld(stored, call.session.userId));
    return Answer.json(seen.map((stored) => pageEvent(room, stored, call.session, parts.now())));
  });

  router.on("PUT", `${ROOM}/typing/:userId`, (call) => {
    requireJoined(roomOf(call), call.session.userId);
    jsonBody(call);
    return {};
  });
}

async function send(
  parts: ServerParts,
  call: SignedInCall,
  room: Room,
  draft: Omit<Draft, "sender" | "deviceId">,
): Promise<JsonObject> {
  const { userId, deviceId } = call.session;
  const known = draft.txnId === undefined ? undefined : parts.rooms.known(room, userId, deviceId, draft.txnId);
  if (known !== undefined) return { event_id: known };
  await limited(parts, call);
  return { event_id: parts.rooms.send(room, { ...draft, sender: userId, deviceId }) };
}

/** `PUT .../state/m.room.member/...` is the long way to say invite, join, leave, kick or ban. */
function changeMembership(
  { rooms }: ServerParts,
  { session }: SignedInCall,
  room: Room,
  target: string,
  content: JsonObject,
): JsonObject {
  const { membership, reason } = content;
  const own = target === session.userId;
  if (membership === "join" && own) rooms.join(room, target, reason);
  else if (membership === "invite") rooms.invite(room, session.userId, target, reason);
  else if (membership === "leave" && own) rooms.leave(room, target, reason);
  else if (membership === "leave") rooms.remove(room, session.userId, target, "kick", reason);
  else if (membership === "ban") rooms.remove(room, session.userId, target, "ban", reason);
  else throw unknown(400, "Invalid membership key");
  return { event_id: room.state("m.room.member", target)?.eventId ?? null };
}

/** @throws MatrixError 429 after Synapse's pause, when the user's bucket is full */
async function limited({ rateLimits, stream }: ServerParts, { session, signal }: SignedInCall): Promise<void> {
  const refusal = rateLimits.take(session.userId);
  if (refusal === null) return;
  const endsAt = performance.now() + refusal.delayMs;
  while (performance.now() < endsAt && !signal.aborted) await stream.changes.next(endsAt - performance.now(), signal);
  throw refusal.error;
}

function targetOf(body: JsonObject): string {
  const userId = body["user_id"];
  if (userId === undefined) throw missingParam("Missing params: ['user_id']");
  if (typeof userId !== "string" || !/^@.*:./.test(userId)) throw badParam("Invalid user_id");
  return userId;
}
