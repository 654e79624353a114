/** Receipts and read markers. Read receipts are taken and told to nobody; delivery receipts (MSC4089) are told to the event's sender. */
import { DELIVERY_RECEIPTS } from "./features.ts";
import { unknown } from "./matrixError.ts";
import type { ServerParts } from "./parts.ts";
import { requireJoined } from "./permissions.ts";
import { jsonBody, param, type Router } from "./router.ts";

const ROOM = "/_matrix/client/v3/rooms/:roomId";

/** What every server knows. */
const READ_TYPES = ["m.read", "m.read.private", "m.fully_read"];

export function addReceiptRoutes(router: Router, parts: ServerParts): void {
  const { rooms, receipts, features } = parts;
  const deliveryTypes = ["org.matrix.msc4089.delivery", ...(parts.stableDeliveryType ? ["m.delivery"] : [])];

  router.on("POST", `${ROOM}/receipt/:type/:eventId`, (call) => {
    const room = rooms.existing(param(call, "roomId"));
    const { userId } = call.session;
    requireJoined(room, userId);
    const eventId = param(call, "eventId");
    if (!eventId.startsWith("$")) throw unknown(400, "A valid room ID and event ID must be specified");
    const type = param(call, "type");
    jsonBody(call);
    const delivery = features.has(DELIVERY_RECEIPTS) ? deliveryTypes : [];
    if (delivery.includes(type)) receipts.post({ room, type, eventId, userId });
    else if (!READ_TYPES.includes(type))
      throw unknown(400, `Receipt type must be one of ${[...READ_TYPES, ...delivery].join(", ")}`);
    return {};
  });
  router.on("POST", `${ROOM}/read_markers`, (call) => {
    requireJoined(rooms.existing(param(call, "roomId")), call.session.userId);
    jsonBody(call);
    return {};
  });
}
