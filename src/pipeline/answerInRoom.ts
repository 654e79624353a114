/**
 * Asks the homeserver whether the bot has answered an event already: for answers that another copy of the data directory may have
 * sent (journal/copyDoubt.ts). An answer's reference to its request stands outside of the encryption, so no key is needed.
 */
import { ServerRefused } from "../errors.ts";
import type { OutboxEntry } from "../journal/outboxEntry.ts";
import { endpointPath } from "../matrix/endpoint.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import { isPrintableId, type EventId, type UserId } from "../protocol/ids.ts";
import { isJsonObject, type JsonValue } from "../protocol/json.ts";

/**
 * Client-server API, `GET /_matrix/client/v1/rooms/{roomId}/relations/{eventId}/{relType}`.
 * @returns the answer's event ID; null where there is none, or the homeserver does not offer the question
 * @throws ServerRefused | ServerUnreachable | Cancelled
 */
export async function answerInRoom(
  { roomId, causeEventId }: Pick<OutboxEntry, "roomId" | "causeEventId">,
  ownUser: UserId,
  homeserver: Pick<Homeserver, "request">,
  signal: AbortSignal,
): Promise<EventId | null> {
  const path = endpointPath("/_matrix/client/v1/rooms", roomId, "relations", causeEventId, "m.reference");
  try {
    const { chunk } = await homeserver.request("GET", path, { query: { limit: "100" }, signal, retry: "none" });
    const events: readonly JsonValue[] = Array.isArray(chunk) ? chunk : [];
    for (const event of events) {
      if (!isJsonObject(event) || event["sender"] !== ownUser || "state_key" in event) continue;
      const { event_id: eventId } = event;
      if (isPrintableId(eventId)) return eventId as EventId;
    }
    return null;
  } catch (error) {
    // The request is gone, or the endpoint is not there.
    if (error instanceof ServerRefused && error.status === 404) return null;
    throw error;
  }
}
