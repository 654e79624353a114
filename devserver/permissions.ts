/** Who may do what: a user's own things; in a room power levels, and the creators of version 12, whom nothing limits. */
import { isJsonObject, type JsonObject } from "../src/protocol/json.ts";
import { forbidden } from "./matrixError.ts";
import type { Room } from "./room.ts";
import { param, type SignedInCall } from "./router.ts";

/** Creators of a version 12 room stand above every level. */
export function powerLevel(room: Room, userId: string): number {
  if (Number(room.version) >= 12 && creators(room).includes(userId)) return Infinity;
  const levels = room.stateContent("m.room.power_levels");
  return numberIn(levels["users"], userId) ?? numberIn(levels, "users_default") ?? 0;
}

/** @throws MatrixError 403 `M_FORBIDDEN` */
export function requireJoined(room: Room, userId: string): void {
  if (room.membership(userId) !== "join") throw forbidden(`User ${userId} not in room ${room.id}`);
}

/** @throws MatrixError 403 `M_FORBIDDEN` */
export function requireLevel(room: Room, userId: string, action: "invite" | "kick" | "ban" | "redact"): void {
  const needed = numberIn(room.stateContent("m.room.power_levels"), action) ?? (action === "invite" ? 0 : 50);
  if (powerLevel(room, userId) < needed)
    throw forbidden(`You don't have permission to ${action} (needs power level ${needed})`);
}

/** @throws MatrixError 403 `M_FORBIDDEN` */
export function requireSend(room: Room, userId: string, type: string, isState: boolean): void {
  requireJoined(room, userId);
  const levels = room.stateContent("m.room.power_levels");
  const needed =
    numberIn(levels["events"], type) ??
    numberIn(levels, isState ? "state_default" : "events_default") ??
    (isState ? 50 : 0);
  const has = powerLevel(room, userId);
  if (has < needed)
    throw forbidden(`You don't have permission to post that to the room. user_level (${has}) < send_level (${needed})`);
}

/** @returns the user in the path, who must be the one who asks. @throws MatrixError 403 `M_FORBIDDEN` */
export function requireSelf(call: SignedInCall): string {
  if (param(call, "userId") !== call.session.userId) throw forbidden("You can only do this for yourself.");
  return call.session.userId;
}

function creators(room: Room): unknown[] {
  const create = room.state("m.room.create", "")?.original;
  if (!isJsonObject(create)) return [];
  const additional = isJsonObject(create["content"]) ? create["content"]["additional_creators"] : undefined;
  return [create["sender"], ...(Array.isArray(additional) ? additional : [])];
}

function numberIn(value: unknown, name: string): number | undefined {
  const found = isJsonObject(value) ? (value as JsonObject)[name] : undefined;
  return typeof found === "number" ? found : undefined;
}
