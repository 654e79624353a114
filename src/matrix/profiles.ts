/** Profile fields (MSC4133, specification v1.16): whether a homeserver has them, and where. Pure. */
import type { UserId } from "../protocol/ids.ts";
import { endpointPath } from "./endpoint.ts";
import type { ServerVersions } from "./homeserver.ts";

/**
 * @param key of the field
 * @returns the path of a field; null where the homeserver has none but the old two
 */
export function profilePath(
  { versions, unstableFeatures }: ServerVersions,
  userId: UserId,
  key: string,
): string | null {
  const stable = unstableFeatures["uk.tcpip.msc4133.stable"] === true || versions.some(isSince1_16);
  if (!stable && unstableFeatures["uk.tcpip.msc4133"] !== true) return null;
  const prefix = stable ? "/_matrix/client/v3/profile" : "/_matrix/client/unstable/uk.tcpip.msc4133/profile";
  return endpointPath(prefix, userId, key);
}

function isSince1_16(version: string): boolean {
  const [, minor] = /^v1\.(\d+)$/.exec(version) ?? [];
  return Number(minor) >= 16;
}
