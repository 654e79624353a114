/** Room aliases: who gives them to rooms, and where they lead. */
import { forbidden, missingParam, notFound, unknown } from "./matrixError.ts";
import type { ServerParts } from "./parts.ts";
import { requireJoined } from "./permissions.ts";
import { jsonBody, param, type Router } from "./router.ts";

const PATH = "/_matrix/client/v3/directory/room/:alias";

export function addAliasRoutes(router: Router, { rooms, serverName }: ServerParts): void {
  router.open("GET", PATH, (call) => {
    const room = rooms.withAlias(param(call, "alias"));
    if (room === undefined) throw notFound(`Room alias ${param(call, "alias")} not found`);
    return { room_id: room.id, servers: [serverName] };
  });
  router.on("PUT", PATH, (call) => {
    const alias = param(call, "alias");
    const { room_id: roomId } = jsonBody(call);
    if (typeof roomId !== "string") throw missingParam("Missing params: ['room_id']");
    if (rooms.withAlias(alias) !== undefined) throw unknown(409, `Room alias ${alias} already exists`);
    requireJoined(rooms.existing(roomId), call.session.userId);
    rooms.setAlias(alias, { roomId, creator: call.session.userId });
    return {};
  });
  router.on("DELETE", PATH, (call) => {
    const alias = param(call, "alias");
    const creator = rooms.aliasCreator(alias);
    if (creator === undefined) throw notFound(`Room alias ${alias} not found`);
    if (creator !== call.session.userId) throw forbidden("You don't have permission to delete the alias.");
    rooms.removeAlias(alias);
    return {};
  });
}
