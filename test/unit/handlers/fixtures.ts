/** A clear event and a context for steps under test. */
import type { ClearEvent, Step, StepContext, StepKind, Verdict } from "../../../src/handlers/step.ts";
import type { EventId, RoomId, UserId } from "../../../src/protocol/ids.ts";
import type { JsonObject } from "../../../src/protocol/json.ts";

export const clearEvent = (content: JsonObject = {}): ClearEvent => ({
  id: "$event" as EventId,
  roomId: "!room" as RoomId,
  type: "com.example.report",
  sender: "@ambulance:example.org" as UserId,
  originServerTs: 1_700_000_000_000,
  content,
});

export const receipt = { eventId: "$event" as EventId, entry: 1, recordedAt: 1_700_000_000_000 };

export const stepContext = (change: Partial<StepContext> = {}): StepContext => ({
  room: { id: "!room" as RoomId, encrypted: true },
  trust: { deviceId: null, level: "unknown_device" },
  deadline: null,
  extra: {},
  recorded: async () => receipt,
  ...change,
});

export const neverAborted = new AbortController().signal;

/** A step as the bot makes it: options checked as the configuration does, then prepared. */
export async function prepared<Options>(kind: StepKind<Options>, options: unknown, folder = "/"): Promise<Step> {
  return kind.prepare(kind.options.parse(options), folder);
}

export const runOnce = (step: Step, content: JsonObject = {}, context = stepContext()): Promise<Verdict> =>
  step.run(clearEvent(content), context, neverAborted);
