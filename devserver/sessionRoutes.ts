/** Signing in and out, new tokens for old ones, who am I, versions, capabilities, push rules, filters, account data. */
import { isJsonObject, type JsonObject } from "../src/protocol/json.ts";
import type { Refreshable } from "./accessTokens.ts";
import { ROOM_VERSIONS } from "./createRoom.ts";
import { signOut } from "./deviceRoutes.ts";
import { PROFILE_FIELDS } from "./features.ts";
import { MatrixError, badParam, missingParam, unknown } from "./matrixError.ts";
import type { ServerParts } from "./parts.ts";
import { requireSelf } from "./permissions.ts";
import { jsonBody, param, type Call, type Router } from "./router.ts";

const VERSIONS = ["v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9", "v1.10", "v1.11", "v1.12"];
const V3 = "/_matrix/client/v3";

export function addSessionRoutes(router: Router, parts: ServerParts): void {
  const { accounts, features } = parts;

  // As on Synapse: whose token is refused is refused this too.
  router.either("GET", "/_matrix/client/versions", () => ({
    versions: VERSIONS,
    unstable_features: features.advertised(),
  }));
  router.open("GET", `${V3}/login`, () => ({ flows: accounts.loginFlows.map((type) => ({ type })) }));
  router.open("POST", `${V3}/login`, (call) => login(parts, call));
  router.open("POST", `${V3}/refresh`, (call) => {
    const refreshToken = jsonBody(call)["refresh_token"];
    if (refreshToken === undefined) throw missingParam("refresh_token is needed");
    if (typeof refreshToken !== "string") throw badParam("Invalid param: refresh_token");
    return tokensIn(accounts.tokens.exchange(refreshToken));
  });
  // The second is its name before v1.15 of the specification (MSC2965).
  for (const path of ["v1/auth_metadata", "unstable/org.matrix.msc2965/auth_metadata"])
    router.open("GET", `/_matrix/client/${path}`, () => {
      const { delegate } = accounts.tokens;
      if (delegate === null) throw new MatrixError(404, "M_UNRECOGNIZED", "Unrecognized request");
      return delegate.metadata();
    });
  router.on("GET", `${V3}/account/whoami`, ({ session }) => ({
    user_id: session.userId,
    is_guest: false,
    device_id: session.deviceId,
  }));
  router.on("GET", `${V3}/capabilities`, () => ({
    capabilities: {
      "m.room_versions": {
        default: parts.defaultRoomVersion,
        available: Object.fromEntries(ROOM_VERSIONS.map((version) => [version, "stable"])),
      },
      ...(features.has(PROFILE_FIELDS) ? { "m.profile_fields": { enabled: parts.profileFieldsEnabled } } : {}),
    },
  }));
  // matrix-js-sdk does not sync before it has them. Nobody is notified here, so there are none.
  router.on("GET", `${V3}/pushrules`, () => ({
    global: { override: [], content: [], room: [], sender: [], underride: [] },
  }));
  router.on("POST", `${V3}/logout`, ({ session }) => {
    // The authorization server revokes its own tokens, and the homeserver has no such endpoint any more.
    if (accounts.tokens.isDelegated(session.accessToken))
      throw new MatrixError(404, "M_UNRECOGNIZED", "Unrecognized request");
    signOut(parts, session.userId, session.deviceId);
    return {};
  });

  router.on("POST", `${V3}/user/:userId/filter`, (call) => {
    const { filters } = accounts.existing(requireSelf(call));
    filters.push(jsonBody(call));
    return { filter_id: String(filters.length - 1) };
  });
  router.on("GET", `${V3}/user/:userId/filter/:filterId`, (call) => {
    const filter = accounts.existing(requireSelf(call)).filters[Number(param(call, "filterId"))];
    if (filter === undefined) throw new MatrixError(404, "M_NOT_FOUND", "No such filter");
    return filter;
  });

  const dataPaths = [`${V3}/user/:userId/account_data/:type`, `${V3}/user/:userId/rooms/:roomId/account_data/:type`];
  for (const path of dataPaths) {
    router.on("PUT", path, (call) => {
      accounts.setData(requireSelf(call), call.params["roomId"] ?? "", param(call, "type"), jsonBody(call));
      return {};
    });
    router.on("GET", path, (call) => {
      const datum = accounts
        .existing(requireSelf(call))
        .data.get(call.params["roomId"] ?? "")
        ?.get(param(call, "type"));
      if (datum === undefined) throw new MatrixError(404, "M_NOT_FOUND", "Account data not found");
      return datum.content;
    });
  }
}

function login({ accounts }: ServerParts, call: Call): JsonObject {
  const body = jsonBody(call);
  if (typeof body["type"] !== "string") throw unknown(400, "Missing JSON keys.");
  if (body["type"] !== "m.login.password" || !accounts.loginFlows.includes("m.login.password"))
    throw unknown(400, "Unknown login type");
  const identifier = isJsonObject(body["identifier"]) ? body["identifier"]["user"] : body["user"];
  const { password, device_id: deviceId, initial_device_display_name: name } = body;
  if (typeof identifier !== "string" || typeof password !== "string")
    throw badParam("identifier and password are needed");
  const account = accounts.checkPassword(identifier, password);
  const device = [
    typeof deviceId === "string" ? deviceId : undefined,
    typeof name === "string" ? name : undefined,
  ] as const;
  const refreshable = body["refresh_token"] === true && accounts.tokens.offersRefresh;
  const refreshed = refreshable ? accounts.signInRefreshable(account, ...device) : null;
  const session = refreshed ?? accounts.signIn(account, ...device);
  return {
    user_id: session.userId,
    access_token: session.accessToken,
    home_server: accounts.serverName,
    device_id: session.deviceId,
    ...(refreshed === null ? {} : tokensIn(refreshed)),
  };
}

function tokensIn({ accessToken, refreshToken, expiresInMs }: Refreshable): JsonObject {
  return { access_token: accessToken, refresh_token: refreshToken, expires_in_ms: expiresInMs };
}
