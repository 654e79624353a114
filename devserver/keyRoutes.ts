/** End-to-end encryption: keys and to-device messages. */
import { isJsonObject, type JsonObject, type JsonValue } from "../src/protocol/json.ts";
import { askedUsers } from "./keys.ts";
import { badJson, missingParam } from "./matrixError.ts";
import type { ServerParts } from "./parts.ts";
import { jsonBody, param, type Router, type SignedInCall } from "./router.ts";
import { positionOf } from "./tokens.ts";

const V3 = "/_matrix/client/v3";

export function addKeyRoutes(router: Router, parts: ServerParts): void {
  const { accounts, crossSigning, keys, sync, stream } = parts;

  router.on("POST", `${V3}/keys/upload`, (call) =>
    keys.upload(call.session.userId, call.session.deviceId, jsonBody(call)),
  );
  router.on("POST", `${V3}/keys/query`, async (call) => {
    const body = jsonBody(call);
    checkQuery(body["device_keys"]);
    await answering(parts, call, askedUsers(body, "device_keys"));
    const found = keys.query(body, {
      displayName: (userId, deviceId) => accounts.get(userId)?.devices.get(deviceId)?.displayName ?? null,
      signatures: (userId, deviceId) => crossSigning.signaturesOn(userId, userId, deviceId),
    });
    return { ...found, ...crossSigning.query(call.session.userId, Object.keys(found.device_keys)) };
  });
  router.on("POST", `${V3}/keys/claim`, async (call) => {
    const body = jsonBody(call);
    await answering(parts, call, askedUsers(body, "one_time_keys"));
    return keys.claim(body);
  });
  router.on("GET", `${V3}/keys/changes`, (call) => {
    const from = call.query.get("from");
    if (from === null) throw missingParam("Missing string query parameter from");
    return sync.deviceLists(call.session.userId, positionOf(from).stream, stream.position);
  });

  // Repeated transactions do nothing, and unlike room events they count by event type: Synapse caches them by path.
  const transactions = new Set<string>();
  router.on("PUT", `${V3}/sendToDevice/:type/:txnId`, (call): JsonObject => {
    const { userId, deviceId } = call.session;
    const body = jsonBody(call);
    const messages = body["messages"];
    if (!isJsonObject(messages)) throw missingParam("Missing params: ['messages']");
    const type = param(call, "type");
    const transaction = [userId, deviceId, type, param(call, "txnId")].join("\u0000");
    if (transactions.has(transaction)) return {};
    transactions.add(transaction);
    for (const [target, devices] of Object.entries(messages))
      for (const [device, content] of Object.entries(isJsonObject(devices) ? devices : {}))
        deliver(parts, target, device, { type, sender: userId, content });
    return {};
  });
}

/** @throws MatrixError `M_BAD_JSON` */
function checkQuery(asked: JsonValue | undefined): void {
  if (!isJsonObject(asked)) throw badJson("'device_keys' must be a JSON object");
  for (const devices of Object.values(asked))
    if (!Array.isArray(devices) || devices.some((deviceId) => typeof deviceId !== "string"))
      throw badJson("'device_keys' values must be a list of strings");
}

function deliver({ accounts, toDevice }: ServerParts, userId: string, deviceId: string, event: JsonObject): void {
  const devices = accounts.get(userId)?.devices;
  if (devices === undefined) return;
  for (const known of devices.keys()) if (deviceId === "*" || deviceId === known) toDevice.send(userId, known, event);
}

/** Waits while a server that is asked hangs: until a test lets it answer or fail, or the client gives up. */
async function answering({ keys, stream }: ServerParts, { signal }: SignedInCall, users: string[]): Promise<void> {
  while (!signal.aborted && users.some((userId) => keys.mode(userId) === "hangs"))
    await stream.changes.next(Infinity, signal);
}
