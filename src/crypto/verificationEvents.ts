/**
 * Reads what comes for verification, from device to device and in rooms (client-server API, "Key verification framework").
 * Guarantees: identifiers in what is returned are bounded and printable, the event itself is bounded in size; what is no such event,
 * or is not for us, is null. Pure.
 */
import type { RawEvent } from "../protocol/events.ts";
import { isPrintableId, type RoomId, type UserId } from "../protocol/ids.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "../protocol/json.ts";

const PREFIX = "m.key.verification.";
const REQUEST = `${PREFIX}request`;
/** Such an event has a few keys and signatures; a user has seldom more than some dozen devices. */
const LARGEST_EVENT_CHARACTERS = 64 * 1024;
const LONGEST_ID = 255;

export interface VerificationEvent {
  /** What follows `m.key.verification.`. */
  readonly step: string;
  readonly sender: UserId;
  /** The transaction ID, or in a room the event ID of the request. */
  readonly flowId: string;
  /** The device that it says to be from. */
  readonly fromDevice: string | null;
  readonly roomId: RoomId | null;
  /** As the library reads it. */
  readonly wire: string;
}

/** Takes the events of verification out of a sync's to-device messages. `rest` keeps all others in their order. */
export function splitToDevice(events: readonly JsonObject[]): {
  readonly verification: readonly VerificationEvent[];
  readonly rest: readonly JsonObject[];
} {
  const isVerification = ({ type }: JsonObject): boolean => typeof type === "string" && type.startsWith(PREFIX);
  return {
    verification: events.filter(isVerification).flatMap(readToDevice),
    rest: events.filter((event) => !isVerification(event)),
  };
}

function readToDevice({ type, sender, content }: JsonObject): VerificationEvent[] {
  if (typeof type !== "string" || !isJsonObject(content)) return [];
  const flowId = content["transaction_id"];
  const event = read(type.slice(PREFIX.length), sender, flowId, content, null, {
    type,
    sender: sender ?? null,
    content,
  });
  return event === null ? [] : [event];
}

/** @param type and content: decrypted, where the event was encrypted */
export function readRoomEvent(
  event: RawEvent,
  type: string,
  content: JsonObject,
  ownUserId: UserId,
): VerificationEvent | null {
  if (event.state_key !== undefined) return null;
  const { event_id, sender, origin_server_ts, room_id: roomId } = event;
  const wire = { event_id, type, sender, origin_server_ts, content };
  if (type === "m.room.message" && content["msgtype"] === REQUEST) {
    // Whom it is for stands in it: everybody in the room gets it.
    return content["to"] === ownUserId ? read("request", sender, event_id, content, roomId, wire) : null;
  }
  if (!type.startsWith(PREFIX) || type === REQUEST) return null;
  const relation = content["m.relates_to"];
  if (!isJsonObject(relation) || relation["rel_type"] !== "m.reference") return null;
  return read(type.slice(PREFIX.length), sender, relation["event_id"], content, roomId, wire);
}

function read(
  step: string,
  sender: JsonValue | undefined,
  flowId: JsonValue | undefined,
  content: JsonObject,
  roomId: RoomId | null,
  event: JsonObject,
): VerificationEvent | null {
  if (!isShortId(sender) || !isShortId(flowId)) return null;
  const device = content["from_device"];
  if (device !== undefined && !isShortId(device)) return null;
  const wire = JSON.stringify(event);
  if (wire.length > LARGEST_EVENT_CHARACTERS) return null;
  return { step, sender: sender as UserId, flowId, fromDevice: device ?? null, roomId, wire };
}

function isShortId(id: unknown): id is string {
  return isPrintableId(id) && id.length <= LONGEST_ID;
}
