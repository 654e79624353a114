/** Holds the device's keys in the data directory to those that the homeserver shows to everybody else. */
import { inside } from "../crypto/deviceSignature.ts";
import type { OwnIdentity } from "../crypto/ownIdentity.ts";
import { Cancelled, DataDirectoryRefused, DocketError, ServerRefused } from "../errors.ts";
import type { Logger } from "../logging.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import type { DeviceId, UserId } from "../protocol/ids.ts";

/**
 * @returns the Ed25519 key that the homeserver shows to everybody for this device; null: it has none
 * @throws ServerRefused | ServerUnreachable | Cancelled
 */
export async function uploadedKey(
  homeserver: Pick<Homeserver, "request">,
  { userId, deviceId }: { userId: UserId; deviceId: DeviceId },
  signal: AbortSignal,
): Promise<string | null> {
  const body = { device_keys: { [userId]: [deviceId] } };
  const answer = await homeserver.request("POST", "/_matrix/client/v3/keys/query", { body, signal });
  const known = inside(answer, "device_keys", userId, deviceId, "keys", `ed25519:${deviceId}`);
  return typeof known === "string" ? known : null;
}

/**
 * A device keeps its keys for life. With others, in an empty data directory say, nobody could send it a room key any more, and it
 * would look as if all were well.
 * @throws DataDirectoryRefused the homeserver has other keys of this device
 * @throws ServerRefused the token is refused; a homeserver that can't tell otherwise is asked again at the next start
 */
export async function requireOwnKeys(
  identity: OwnIdentity,
  ports: { homeserver: Homeserver; directory: string; log: Logger; signal: AbortSignal },
): Promise<void> {
  const { deviceId, ed25519 } = identity;
  let known: string | null;
  try {
    known = await uploadedKey(ports.homeserver, identity, ports.signal);
  } catch (error) {
    if (error instanceof Cancelled || (error instanceof ServerRefused && error.tokenRefused)) throw error;
    if (!(error instanceof DocketError)) throw error;
    ports.log.warn(
      { code: error.code, problem: error.message },
      "the homeserver did not say which keys it has of this device",
    );
    return;
  }
  if (known === null || known === ed25519) return;
  throw new DataDirectoryRefused(
    `The device ${deviceId} has keys on the homeserver that are not those in ${ports.directory}: they are in another data directory, or lost. ` +
      "Use that directory; or, if it is gone, sign in again, which makes a new device, and give it an empty data.directory.",
  );
}
