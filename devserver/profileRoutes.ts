/**
 * Profiles and their fields (MSC4133), held to the grammar and the sizes that Synapse holds them to. `displayname` and
 * `avatar_url` are there always; other fields while the server has the feature, under `/v3` and the unstable prefix.
 */
import type { JsonObject, JsonValue } from "../src/protocol/json.ts";
import { PROFILE_FIELDS, PROFILE_FIELDS_UNSTABLE } from "./features.ts";
import type { Account } from "./accounts.ts";
import { MatrixError, badParam, forbidden, missingParam, notFound, unknown } from "./matrixError.ts";
import type { ServerParts } from "./parts.ts";
import { jsonBody, param, type Call, type Router, type SignedInCall } from "./router.ts";

const PREFIXES = [
  { path: "/_matrix/client/v3/profile/:userId", feature: PROFILE_FIELDS },
  { path: "/_matrix/client/unstable/uk.tcpip.msc4133/profile/:userId", feature: PROFILE_FIELDS_UNSTABLE },
];

/** Older than MSC4133: they need no feature, and are text, of so many characters at most. */
const OLD_FIELDS: Readonly<Record<string, number>> = { displayname: 256, avatar_url: 1000 };
/** Common Namespaced Identifier Grammar (client-server API, appendices). */
const KEY_GRAMMAR = /^[a-z][a-z0-9_.-]*$/;
const LONGEST_KEY_BYTES = 255;
/** Of the whole profile as canonical JSON. */
const LARGEST_PROFILE_BYTES = 65_536;

export function addProfileRoutes(router: Router, { accounts, features, profileFieldsEnabled }: ServerParts): void {
  const mayChange = (key: string): void => {
    if (!profileFieldsEnabled && !isOld(key)) throw forbidden("Profile fields may not be changed here.");
  };
  // The specification has 403 for every attempt on another user's profile.
  const ownAccount = (call: SignedInCall, status: 400 | 403): Account => {
    const { userId } = call.session;
    if (param(call, "userId") !== userId)
      throw new MatrixError(status, "M_FORBIDDEN", "Cannot set another user's profile");
    return accounts.existing(userId);
  };
  for (const { path, feature } of PREFIXES) {
    const keyOf = (call: Call): string => {
      const key = param(call, "key");
      const old = isOld(key) && feature === PROFILE_FIELDS;
      if (!old && !features.has(feature)) throw unrecognized();
      checkKey(key);
      return key;
    };

    router.open("GET", path, (call) => {
      if (feature === PROFILE_FIELDS_UNSTABLE && !features.has(feature)) throw unrecognized();
      const account = accounts.get(param(call, "userId"));
      if (account === undefined) throw unknown(404, "No row found (profiles)");
      // The specification has an empty object here.
      if (account.profile.size === 0) throw notFound("Profile was not found");
      return Object.fromEntries(account.profile);
    });
    router.open("GET", `${path}/:key`, (call) => {
      const key = keyOf(call);
      const value = accounts.existing(param(call, "userId")).profile.get(key);
      if (value === undefined) throw notFound("No such profile field");
      return { [key]: value };
    });
    router.on("PUT", `${path}/:key`, (call) => {
      const key = keyOf(call);
      const value = valueIn(jsonBody(call), key);
      const { profile } = ownAccount(call, isOld(key) ? 400 : 403);
      mayChange(key);
      if (isOld(key)) checkText(key, value);
      if (isOld(key) && value === "") {
        profile.delete(key);
        return {};
      }
      checkSize({ ...Object.fromEntries(profile), [key]: value });
      profile.set(key, value);
      return {};
    });
    router.on("DELETE", `${path}/:key`, (call) => {
      const key = keyOf(call);
      const { profile } = ownAccount(call, 400);
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

/** @throws MatrixError `M_MISSING_PARAM` */
function valueIn(body: JsonObject, key: string): JsonValue {
  const value = body[key];
  if (value === undefined) throw missingParam(`Missing key '${key}'`);
  return value;
}

/** @throws MatrixError `M_INVALID_PARAM`, `M_UNKNOWN` */
function checkText(key: string, value: JsonValue): void {
  if (typeof value !== "string") throw badParam(`'${key}' must be a string`);
  if (value.length > (OLD_FIELDS[key] ?? 0)) throw unknown(400, `${key} is too long`);
}

function isOld(key: string): boolean {
  return Object.hasOwn(OLD_FIELDS, key);
}

/** @throws MatrixError `M_PROFILE_TOO_LARGE` */
function checkSize(profile: JsonObject): void {
  if (Buffer.byteLength(JSON.stringify(profile)) > LARGEST_PROFILE_BYTES)
    throw new MatrixError(400, "M_PROFILE_TOO_LARGE", "Profile too large");
}

function unrecognized(): MatrixError {
  return new MatrixError(404, "M_UNRECOGNIZED", "Unrecognized request");
}
