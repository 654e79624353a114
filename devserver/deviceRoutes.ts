/** A user's devices: listed, named, signed out. */
import type { Device } from "./accounts.ts";
import type { JsonObject } from "../src/protocol/json.ts";
import { MatrixError, badJson, notFound } from "./matrixError.ts";
import type { ServerParts } from "./parts.ts";
import { jsonBody, param, type Answer, type Router, type SignedInCall } from "./router.ts";

const V3 = "/_matrix/client/v3";

export function addDeviceRoutes(router: Router, parts: ServerParts): void {
  const { accounts, interactiveAuth } = parts;
  const devicesOf = ({ session }: SignedInCall): ReadonlyMap<string, Device> =>
    accounts.existing(session.userId).devices;
  const deviceIn = (call: SignedInCall): Device => {
    const device = devicesOf(call).get(param(call, "deviceId"));
    if (device === undefined) throw notFound("No device found");
    return device;
  };

  /** Whoever it is must prove to be the user. Unknown devices are gone already. */
  const signOutAsked = (
    call: SignedInCall,
    body: JsonObject,
    devices: readonly string[],
    operation: string,
  ): Answer | JsonObject => {
    // The authorization server has its own page for it.
    if (accounts.tokens.isDelegated(call.session.accessToken)) throw unrecognized();
    const challenge = interactiveAuth.challenge(call, body, operation);
    if (challenge !== null) return challenge;
    for (const deviceId of devices) signOut(parts, call.session.userId, deviceId);
    return {};
  };

  router.on("GET", `${V3}/devices`, (call) => ({ devices: [...devicesOf(call).values()].map(shown) }));
  router.on("GET", `${V3}/devices/:deviceId`, (call) => shown(deviceIn(call)));
  router.on("PUT", `${V3}/devices/:deviceId`, (call) => {
    const name = jsonBody(call)["display_name"];
    const device = deviceIn(call);
    if (typeof name === "string") device.displayName = name;
    return {};
  });
  router.on("DELETE", `${V3}/devices/:deviceId`, (call) => {
    const deviceId = param(call, "deviceId");
    return signOutAsked(call, jsonBody(call, "allowed"), [deviceId], `devices/${deviceId}`);
  });
  router.on("POST", `${V3}/delete_devices`, (call) => {
    const body = jsonBody(call);
    const { devices } = body;
    const ids = Array.isArray(devices) ? devices.filter((id) => typeof id === "string") : null;
    if (ids === null || !Array.isArray(devices) || ids.length < devices.length) throw badJson("devices are needed");
    return signOutAsked(call, body, ids, "delete_devices");
  });
  router.on("POST", `${V3}/logout/all`, (call) => {
    for (const deviceId of devicesOf(call).keys()) signOut(parts, call.session.userId, deviceId);
    return {};
  });
}

/** The device goes, with its tokens, its keys and the messages that wait for it. */
export function signOut({ accounts, keys, toDevice }: ServerParts, userId: string, deviceId: string): void {
  accounts.removeDevice(userId, deviceId);
  keys.removeDevice(userId, deviceId);
  toDevice.forget(userId, deviceId);
}

function unrecognized(): MatrixError {
  return new MatrixError(404, "M_UNRECOGNIZED", "Unrecognized request");
}

function shown({ userId, deviceId, displayName }: Device): JsonObject {
  return { user_id: userId, device_id: deviceId, display_name: displayName, last_seen_ip: null, last_seen_ts: null };
}
