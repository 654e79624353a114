/** Finds a room: its ID by an alias, and what it is like now. */
import { ServerRefused, ServerUnreachable } from "../errors.ts";
import { endpointPath } from "../matrix/endpoint.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import { decodeEvent, type RawEvent } from "../protocol/events.ts";
import { isRoomId, type RoomId, type UserId } from "../protocol/ids.ts";
import type { JsonValue } from "../protocol/json.ts";

export type RoomLookup =
  | { readonly kind: "room"; readonly roomId: RoomId; readonly state: readonly RawEvent[] }
  /** For people: why nothing can be sent there. */
  | { readonly kind: "refused"; readonly problem: string; readonly refusal: ServerRefused | null };

/** Whether it is a room ID, or an alias. */
export function isRoomReference(text: string): boolean {
  return isRoomId(text) || /^#[^\s]+:[^\s]+$/.test(text);
}

/**
 * @param room a room ID or an alias
 * @throws ServerUnreachable | ServerRefused | Cancelled where the homeserver can't tell
 */
export async function findRoom(room: string, homeserver: Homeserver, signal: AbortSignal): Promise<RoomId | null> {
  if (room.startsWith("!")) return room as RoomId;
  try {
    const answer = await homeserver.request("GET", endpointPath("/_matrix/client/v3/directory/room", room), { signal });
    const roomId = answer["room_id"];
    if (typeof roomId === "string" && isRoomId(roomId)) return roomId;
    throw new ServerUnreachable("The homeserver names no room for the alias, and no error.", { doubtful: false });
  } catch (error) {
    if (error instanceof ServerRefused && (error.status === 404 || error.status === 400)) return null;
    throw error;
  }
}

/** @throws as `findRoom` */
export async function readRoom(
  roomId: RoomId,
  ownUser: UserId,
  homeserver: Homeserver,
  signal: AbortSignal,
): Promise<RoomLookup> {
  const notThere = `${ownUser} is not in the room: it has to join it first`;
  let answer: readonly JsonValue[];
  try {
    answer = await homeserver.roomState(roomId, signal);
  } catch (error) {
    if (!(error instanceof ServerRefused) || ![400, 403, 404].includes(error.status)) throw error;
    return { kind: "refused", problem: notThere, refusal: error };
  }
  const state = answer.flatMap((value) => {
    const decoded = decodeEvent(value, roomId);
    return decoded.ok ? [decoded.event] : [];
  });
  const own = state.find(({ type, state_key }) => type === "m.room.member" && state_key === ownUser);
  if (own?.content["membership"] !== "join") return { kind: "refused", problem: notThere, refusal: null };
  return { kind: "room", roomId, state };
}
