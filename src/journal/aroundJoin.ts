/** Which events of a timeline are from before the bot joined the room. Pure. Never by their timestamps: those are the senders' word. */
import type { RawEvent } from "../protocol/events.ts";
import type { UserId } from "../protocol/ids.ts";
import { isJsonObject } from "../protocol/json.ts";

export interface PlacedEvent {
  readonly event: RawEvent;
  readonly beforeJoin: boolean;
}

/**
 * @param timeline oldest first
 * @param wasIn whether the bot was in the room before this timeline
 */
export function placedAroundJoin(
  timeline: readonly RawEvent[],
  wasIn: boolean,
  ownUser: UserId,
): readonly PlacedEvent[] {
  // Our join is not in it: then it is older than all of it.
  let isIn = wasIn || !timeline.some((event) => isOwnJoin(event, ownUser));
  return timeline.map((event) => {
    if (event.type === "m.room.member" && event.state_key === ownUser) isIn = event.content["membership"] === "join";
    return { event, beforeJoin: membershipAt(event) ?? !isIn };
  });
}

/** A change of our display name is a member event too, and says "join" before and after. */
function isOwnJoin({ type, state_key, content, unsigned }: RawEvent, ownUser: UserId): boolean {
  const before = unsigned?.["prev_content"];
  const wasJoined = isJsonObject(before) && before["membership"] === "join";
  return type === "m.room.member" && state_key === ownUser && content["membership"] === "join" && !wasJoined;
}

/** MSC4115 (specification v1.11): our membership at the time of the event, as the server says it; null where it does not. */
function membershipAt({ unsigned }: RawEvent): boolean | null {
  const membership = unsigned?.["membership"] ?? unsigned?.["io.element.msc4115.membership"];
  return typeof membership === "string" ? membership !== "join" : null;
}
