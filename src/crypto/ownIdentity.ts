/** Who this device is, and the public keys that others know it by, in unpadded base64. */
import type { DeviceId, UserId } from "../protocol/ids.ts";

export interface OwnIdentity {
  readonly userId: UserId;
  readonly deviceId: DeviceId;
  readonly ed25519: string;
  readonly curve25519: string;
}
