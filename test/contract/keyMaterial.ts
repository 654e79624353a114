/** Keys in the right shape and with nothing behind them: a homeserver checks no signatures of devices. */
import type { JsonObject } from "../../src/protocol/json.ts";
import type { HttpClient } from "../support/httpClient.ts";

export function deviceKeys({ userId, deviceId }: HttpClient, key = "curve"): JsonObject {
  return {
    user_id: userId,
    device_id: deviceId,
    algorithms: ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
    keys: { [`curve25519:${deviceId}`]: key, [`ed25519:${deviceId}`]: "ed" },
    signatures: { [userId]: { [`ed25519:${deviceId}`]: "signature" } },
  };
}

/** Under the IDs `signed_curve25519:NAME`. */
export function oneTimeKeys({ userId, deviceId }: HttpClient, names: readonly string[], fallback = false): JsonObject {
  const key = (name: string): JsonObject => ({
    key: name,
    signatures: { [userId]: { [`ed25519:${deviceId}`]: "signature" } },
    ...(fallback ? { fallback: true } : {}),
  });
  return Object.fromEntries(names.map((name) => [`signed_curve25519:${name}`, key(name)]));
}

/** Uploads the device's identity, and further keys by name. */
export async function uploadKeys(client: HttpClient, oneTime: string[] = [], fallback: string[] = []): Promise<void> {
  await client.call("POST", "/v3/keys/upload", {
    device_keys: deviceKeys(client),
    one_time_keys: oneTimeKeys(client, oneTime),
    fallback_keys: oneTimeKeys(client, fallback, true),
  });
}
