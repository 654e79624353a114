/**
 * What Docket answers itself: which of the events in question its handlers take (MSC4301). The answer has them as they stood in the
 * question.
 */
import { readCapabilityRequest, type Capability } from "../protocol/capabilities.ts";
import { isSendable, jsonSize } from "../protocol/sendableJson.ts";
import type { Step, Verdict } from "./step.ts";

/** So that the answer always fits into an event: a part of it would read as if the rest were not understood. */
const MOST_BYTES = 24 * 1024;

/** @param understands whether some handler takes all events of this kind */
export function answerCapabilities(understands: (asked: Capability) => boolean): Step {
  return {
    run: async (event): Promise<Verdict> => {
      const reading = readCapabilityRequest(event.type, event.content);
      if (reading.kind === "malformed") return invalid(reading.problem);
      const events = reading.asked
        .filter(({ capability, raw }) => capability !== null && understands(capability) && isSendable(raw))
        .map(({ raw }) => raw);
      if (jsonSize(events) > MOST_BYTES)
        return invalid("the question is too long for an answer in one event: ask about fewer events at once");
      return { status: "success", extra: { [reading.responseBlock]: { events } } };
    },
  };
}

function invalid(text: string): Verdict {
  return { status: "error", code: "invalid_content", messages: [{ type: "error", text }] };
}
