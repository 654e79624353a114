/** What `/_matrix/client/versions` answers with, read liberally. Pure. */
import { isJsonObject, type JsonObject } from "../protocol/json.ts";
import type { ServerVersions } from "./homeserver.ts";

/** What can't be read is left out. */
export function readVersions(body: JsonObject): ServerVersions {
  const versions = Array.isArray(body["versions"]) ? body["versions"] : [];
  const features = isJsonObject(body["unstable_features"]) ? body["unstable_features"] : {};
  return {
    versions: versions.filter((version) => typeof version === "string"),
    unstableFeatures: Object.fromEntries(
      Object.entries(features).filter((entry): entry is [string, boolean] => typeof entry[1] === "boolean"),
    ),
  };
}
