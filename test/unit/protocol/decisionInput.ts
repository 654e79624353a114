/** What the decision list is asked in tests, and short forms of what it says. */
import type { AnswerPolicy, Decision, DecisionInput } from "../../../src/protocol/decision.ts";
import { dialectNames, dialects, type Dialect } from "../../../src/protocol/dialects.ts";
import type { DeviceId, UserId } from "../../../src/protocol/ids.ts";
import type { JsonObject, JsonValue } from "../../../src/protocol/json.ts";

export const sentAt = 1_700_000_000_000;
export const own = { userId: "@docket:example.org" as UserId, deviceId: "docketdevice" as DeviceId };
export const policy: AnswerPolicy = {
  dialects: dialectNames,
  defaultLifetimeMs: 90_000,
  maxLifetimeMs: 86_400_000,
  sendMarginMs: 500,
  unknownTypes: "error",
  plainInEncryptedRoom: "warn",
  warnUntrusted: false,
};

export interface Change {
  event?: Partial<DecisionInput["event"]>;
  policy?: Partial<AnswerPolicy>;
  facts?: Partial<Omit<DecisionInput, "event" | "policy" | "own">>;
}

/** An encrypted event in an encrypted room, just sent and just received, with a handler; changed as a test wants it. */
export function input(content: JsonObject, change: Change = {}): DecisionInput {
  return {
    event: {
      type: "com.example.report",
      sender: "@ambulance:example.org" as UserId,
      content,
      originServerTs: sentAt,
      encrypted: true,
      trusted: true,
      ...change.event,
    },
    own,
    receivedAt: sentAt,
    now: sentAt,
    roomEncrypted: true,
    replay: false,
    redacted: false,
    hasHandler: true,
    ...change.facts,
    policy: { ...policy, ...change.policy },
  };
}

export const asks = (dialect: Dialect, block: JsonValue): JsonObject => ({
  place: "Bridge",
  [dialects[dialect].requestBlock]: block,
});

export const ignored = (decision: Decision): string =>
  decision.kind === "ignore" ? decision.reason : `not ignored: ${JSON.stringify(decision)}`;
export const answered = (decision: Decision): string =>
  decision.kind === "answer" ? decision.code : `no answer: ${JSON.stringify(decision)}`;
export const texts = (decision: Decision): string[] =>
  decision.kind === "answer" ? decision.messages.map((message) => `${message.type}: ${message.text}`) : [];
