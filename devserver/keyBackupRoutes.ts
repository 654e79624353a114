/** The endpoints of server-side key backup. */
import type { JsonObject } from "../src/protocol/json.ts";
import type { BackedUpKeys, Part } from "./keyBackups.ts";
import { missingParam, notFound } from "./matrixError.ts";
import type { ServerParts } from "./parts.ts";
import { jsonBody, param, type Call, type Router } from "./router.ts";

const VERSION = "/_matrix/client/v3/room_keys/version";
const KEYS = "/_matrix/client/v3/room_keys/keys";

export function addKeyBackupRoutes(router: Router, { keyBackups }: ServerParts): void {
  const info = (userId: string, wanted?: string): JsonObject => {
    const { version, algorithm, authData, etag, count } = keyBackups.get(userId, wanted);
    return { version, algorithm, auth_data: authData, etag, count };
  };
  router.on("POST", VERSION, (call) => ({ version: keyBackups.create(call.session.userId, jsonBody(call)) }));
  router.on("GET", VERSION, ({ session }) => info(session.userId));
  router.on("GET", `${VERSION}/:version`, (call) => info(call.session.userId, param(call, "version")));
  router.on("PUT", `${VERSION}/:version`, (call) => {
    keyBackups.update(call.session.userId, param(call, "version"), jsonBody(call));
    return {};
  });
  router.on("DELETE", `${VERSION}/:version`, (call) => {
    keyBackups.delete(call.session.userId, param(call, "version"));
    return {};
  });

  for (const path of [KEYS, `${KEYS}/:roomId`, `${KEYS}/:roomId/:sessionId`]) {
    router.on("PUT", path, (call) => {
      const body = jsonBody(call);
      const { roomId, sessionId } = partOf(call);
      const sessions = sessionId === undefined ? body : { sessions: { [sessionId]: body } };
      const { rooms } = roomId === undefined ? body : { rooms: { [roomId]: sessions } };
      return keyBackups.upload(call.session.userId, versionOf(call), rooms);
    });
    router.on("GET", path, (call) => {
      const part = partOf(call);
      const rooms = written(keyBackups.keys(call.session.userId, versionOf(call), part));
      if (part.roomId === undefined) return { rooms };
      const room = rooms[part.roomId] ?? { sessions: {} };
      if (part.sessionId === undefined) return room;
      const key = room.sessions[part.sessionId];
      if (key === undefined) throw notFound("No room_keys found");
      return key;
    });
    router.on("DELETE", path, (call) => keyBackups.deleteKeys(call.session.userId, versionOf(call), partOf(call)));
  }
}

function partOf({ params: { roomId, sessionId } }: Call): Part {
  return { ...(roomId === undefined ? {} : { roomId }), ...(sessionId === undefined ? {} : { sessionId }) };
}

/** @throws MatrixError `M_MISSING_PARAM` */
function versionOf({ query }: Call): string {
  const version = query.get("version");
  if (version === null) throw missingParam("Missing required string query parameter: 'version'");
  return version;
}

function written(keys: BackedUpKeys): Record<string, { sessions: Record<string, JsonObject> }> {
  return Object.fromEntries([...keys].map(([roomId, room]) => [roomId, { sessions: Object.fromEntries(room) }]));
}
