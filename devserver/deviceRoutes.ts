/** A user's own devices, and the key backup that nobody has here. */
import type { JsonObject } from "../src/protocol/json.ts";
import type { Device } from "./accounts.ts";
import { notFound } from "./matrixError.ts";
import type { ServerParts } from "./parts.ts";
import { param, type Router } from "./router.ts";

const V3 = "/_matrix/client/v3";

export function addDeviceRoutes(router: Router, { accounts }: ServerParts): void {
  router.on("GET", `${V3}/devices`, ({ session }) => ({
    devices: [...accounts.existing(session.userId).devices.values()].map(shown),
  }));
  router.on("GET", `${V3}/devices/:deviceId`, (call) => {
    const device = accounts.existing(call.session.userId).devices.get(param(call, "deviceId"));
    if (device === undefined) throw notFound("No device found");
    return shown(device);
  });
  router.on("GET", `${V3}/room_keys/version`, () => {
    throw notFound("No current backup version");
  });
}

function shown({ deviceId, displayName }: Device): JsonObject {
  return { device_id: deviceId, ...(displayName === null ? {} : { display_name: displayName }) };
}
