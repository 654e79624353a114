/** Reads the answer of `GET /account/whoami` (client-server API): whose the token is. Pure. */
import { isPrintableId, type DeviceId, type UserId } from "../protocol/ids.ts";
import type { JsonObject } from "../protocol/json.ts";

/** @returns null where the answer can't be used; a null device where the token belongs to none */
export function readWhoami(body: JsonObject): { userId: UserId; deviceId: DeviceId | null } | null {
  const { user_id: userId, device_id: deviceId = null } = body;
  if (!isPrintableId(userId)) return null;
  if (deviceId === null || deviceId === "") return { userId: userId as UserId, deviceId: null };
  return isPrintableId(deviceId) ? { userId: userId as UserId, deviceId: deviceId as DeviceId } : null;
}
