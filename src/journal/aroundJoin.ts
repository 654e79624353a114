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
  let isIn = wasInAtFirst(timeline, wasIn, ownUser);
  return timeline.map((event) => {
    if (event.type === "m.room.member" && event.state_key === ownUser) isIn = event.content["membership"] === "join";
    return { event, beforeJoin: membershipAt(event) ?? !isIn };
  });
}

/** Whether we were in the room when the timeline begins: it may begin behind a cut, and long after what was known before. */
function wasInAtFirst(timeline: readonly RawEvent[], wasIn: boolean, ownUser: UserId): boolean {
  const first = timeline.find(({ type, state_key }) => type === "m.room.member" && state_key === ownUser);
  // No change of ours is in it: our join is older than all of it.
  if (first === undefined) return true;
  // A change of our display name is a member event too, and says "join" before and after.
  const before = first.unsigned?.["prev_content"];
  if (isJsonObject(before)) return before["membership"] === "join";
  const { membership } = first.content;
  return membership === "join" ? wasIn : membership === "leave" || membership === "ban";
}

/** MSC4115 (specification v1.11): our membership at the time of the event, as the server says it; null where it does not. */
function membershipAt({ unsigned }: RawEvent): boolean | null {
  const membership = unsigned?.["membership"] ?? unsigned?.["io.element.msc4115.membership"];
  return typeof membership === "string" ? membership !== "join" : null;
}
