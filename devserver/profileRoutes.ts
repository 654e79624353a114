/**
 * Profiles and their fields (MSC4133), held to the grammar and the sizes that Synapse holds them to. `displayname` and
 * `avatar_url` are there always; other fields while the server has the feature, under `/v3` and the unstable prefix.
 */
import type { JsonObject, JsonValue } from "../src/protocol/json.ts";
import { PROFILE_FIELDS, PROFILE_FIELDS_UNSTABLE } from "./features.ts";
import { MatrixError, badJson, badParam, forbidden, notFound } from "./matrixError.ts";
import type { ServerParts } from "./parts.ts";
import { requireSelf } from "./permissions.ts";
import { jsonBody, param, type Call, type Router } from "./router.ts";

const PREFIXES = [
  { path: "/_matrix/client/v3/profile/:userId", feature: PROFILE_FIELDS },
  { path: "/_matrix/client/unstable/uk.tcpip.msc4133/profile/:userId", feature: PROFILE_FIELDS_UNSTABLE },
];

/** Older than MSC4133: they need no feature, and are text. */
const OLD_FIELDS = ["displayname", "avatar_url"];
/** Common Namespaced Identifier Grammar (client-server API, appendices). */
const KEY_GRAMMAR = /^[a-z][a-z0-9_.-]*$/;
const LONGEST_KEY_BYTES = 255;
/** Of the whole profile as canonical JSON. */
const LARGEST_PROFILE_BYTES = 65_536;

export function addProfileRoutes(router: Router, { accounts, features, profileFieldsEnabled }: ServerParts): void {
  const mayChange = (key: string): void => {
    if (!profileFieldsEnabled && !OLD_FIELDS.includes(key)) throw forbidden("Profile fields may not be changed here.");
  };
  for (const { path, feature } of PREFIXES) {
    const keyOf = (call: Call): string => {
      const key = param(call, "key");
      const old = OLD_FIELDS.includes(key) && feature === PROFILE_FIELDS;
      if (!old && !features.has(feature)) throw unrecognized();
      checkKey(key);
      return key;
    };

    router.open("GET", path, (call) => {
      if (feature === PROFILE_FIELDS_UNSTABLE && !features.has(feature)) throw unrecognized();
      return Object.fromEntries(accounts.existing(param(call, "userId")).profile);
    });
    router.open("GET", `${path}/:key`, (call) => {
      const key = keyOf(call);
      const value = accounts.existing(param(call, "userId")).profile.get(key);
      if (value === undefined) throw notFound("No such profile field");
      return { [key]: value };
    });
    router.on("PUT", `${path}/:key`, (call) => {
      const key = keyOf(call);
      const { profile } = accounts.existing(requireSelf(call));
      mayChange(key);
      const value = valueIn(jsonBody(call), key);
      checkSize({ ...Object.fromEntries(profile), [key]: value });
      profile.set(key, value);
      return {};
    });
    router.on("DELETE", `${path}/:key`, (call) => {
      const key = keyOf(call);
      const { profile } = accounts.existing(requireSelf(call));
      mayChange(key);
      profile.delete(key);
      return {};
    });
  }
}

/** @throws MatrixError `M_KEY_TOO_LARGE`, `M_INVALID_PARAM` */
function checkKey(key: string): void {
  if (Buffer.byteLength(key) > LONGEST_KEY_BYTES) throw new MatrixError(400, "M_KEY_TOO_LARGE", "Field name too long");
  if (!KEY_GRAMMAR.test(key)) throw badParam("Field name does not follow Common Namespaced Identifier Grammar");
}

/** @throws MatrixError `M_MISSING_PARAM`, `M_BAD_JSON`, `M_INVALID_PARAM` */
function valueIn(body: JsonObject, key: string): JsonValue {
  const value = body[key];
  if (value === undefined) throw new MatrixError(400, "M_MISSING_PARAM", `Missing key '${key}'`);
  if (Object.keys(body).length > 1) throw badJson(`Only '${key}' may be there`);
  if (OLD_FIELDS.includes(key) && typeof value !== "string") throw badJson(`Missing or invalid ${key}`);
  if (value === null) throw badParam(`'${key}' can not be null.`);
  return value;
}

/** @throws MatrixError `M_PROFILE_TOO_LARGE` */
function checkSize(profile: JsonObject): void {
  if (Buffer.byteLength(JSON.stringify(profile)) > LARGEST_PROFILE_BYTES)
    throw new MatrixError(400, "M_PROFILE_TOO_LARGE", "Profile too large");
}

function unrecognized(): MatrixError {
  return new MatrixError(404, "M_UNRECOGNIZED", "Unrecognized request");
}
