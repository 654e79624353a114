/** Whatever JSON comes in: a decision or a clear reason comes out, never a throw, and never a value of the sender's. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { decide, noAnswerReasons, type DecisionInput } from "../../../src/protocol/decision.ts";
import { dialectNames, dialects } from "../../../src/protocol/dialects.ts";
import type { DeviceId, EventId, UserId } from "../../../src/protocol/ids.ts";
import type { JsonObject, JsonValue } from "../../../src/protocol/json.ts";
import { readRequest } from "../../../src/protocol/requests.ts";
import {
  buildResponse,
  maxContentBytes,
  messageTypes,
  readResponse,
  reasonCodes,
} from "../../../src/protocol/responses.ts";

const now = 1_700_000_000_000;
const names = [
  ...dialectNames.flatMap((name) => [dialects[name].requestBlock, ...dialects[name].responseBlocks]),
  "m.relates_to",
  "__proto__",
  "constructor",
];
const anyJson = fc.jsonValue({ maxDepth: 4 }) as fc.Arbitrary<JsonValue>;
const hostileNumber = fc.constantFrom(1e300, Infinity, -Infinity, -0, 2 ** 53, -1, 0.5, 0, 90_000);
const anyBlock = fc.oneof(
  anyJson,
  fc.record(
    {
      from_device: fc.oneof(fc.string(), anyJson),
      to_device: fc.oneof(fc.constant("own"), fc.string(), anyJson),
      lifetime: fc.oneof(fc.integer(), hostileNumber, anyJson),
      status: fc.oneof(fc.constantFrom("success", "error"), anyJson),
      messages: fc.oneof(fc.array(anyJson), anyJson),
    },
    { requiredKeys: [] },
  ) as fc.Arbitrary<JsonValue>,
);
/** Through JSON text, as it comes over the wire: `__proto__` is then an own property. */
const anyContent = fc
  .array(fc.tuple(fc.oneof(fc.constantFrom(...names), fc.string()), anyBlock), { maxLength: 6 })
  .map((entries) => {
    const text = entries.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(",");
    return JSON.parse(`{${text}}`) as JsonObject;
  });
const anyTime = fc.oneof(fc.integer({ min: now - 200_000, max: now + 200_000 }), fc.maxSafeInteger());

const anyInput: fc.Arbitrary<DecisionInput> = fc.record({
  event: fc.record({
    type: fc.oneof(fc.constantFrom("m.response.status", "com.example.report"), fc.string()),
    sender: fc.constantFrom("@bot:x" as UserId, "@a:x" as UserId),
    content: anyContent,
    originServerTs: anyTime,
    encrypted: fc.boolean(),
    trusted: fc.boolean(),
  }),
  own: fc.constant({ userId: "@bot:x" as UserId, deviceId: "own" as DeviceId }),
  receivedAt: anyTime,
  now: anyTime,
  roomEncrypted: fc.boolean(),
  replay: fc.boolean(),
  redacted: fc.boolean(),
  hasHandler: fc.boolean(),
  policy: fc.record({
    dialects: fc.shuffledSubarray([...dialectNames]),
    defaultLifetimeMs: fc.nat(200_000),
    maxLifetimeMs: fc.nat(2 ** 31 - 1),
    sendMarginMs: fc.nat(2_000),
    unknownTypes: fc.constantFrom("error", "addressed", "ignore"),
    plainInEncryptedRoom: fc.constantFrom("accept", "warn", "refuse"),
    warnUntrusted: fc.boolean(),
  }),
});

describe("any JSON", () => {
  it("leads to a decision, and an answer or a handler only in time and never for another device", () => {
    fc.assert(
      fc.property(anyInput, (input) => {
        const decision = decide(input);
        if (decision.kind === "ignore") {
          assert.ok(noAnswerReasons.includes(decision.reason));
          return;
        }
        assert.ok(input.event.sender !== input.own.userId && !input.replay && !input.redacted);
        const end = decision.kind === "answer" ? decision.expiresAt : decision.request?.expiresAt;
        if (end !== undefined) {
          assert.ok(input.now <= end - input.policy.sendMarginMs);
          assert.ok(end <= input.receivedAt + input.policy.maxLifetimeMs);
        }
        if (decision.kind === "handle") {
          assert.ok(input.hasHandler);
          return;
        }
        assert.ok(reasonCodes.includes(decision.code));
        assert.ok(decision.messages.some((message) => message.type === "error" && message.text !== ""));
      }),
      { numRuns: 2_000 },
    );
  });

  it("is a request only where the block is well-formed", () => {
    fc.assert(
      fc.property(anyContent, fc.shuffledSubarray([...dialectNames]), (content, enabled) => {
        const reading = readRequest(content, enabled);
        if (reading.kind === "malformed") assert.ok(reading.problems.length > 0);
        if (reading.kind !== "request") return;
        assert.equal(typeof reading.request.fromDevice, "string");
        const { lifetimeMs } = reading.request;
        assert.ok(
          lifetimeMs === null || (Number.isInteger(lifetimeMs) && lifetimeMs >= 0 && !Object.is(lifetimeMs, -0)),
        );
      }),
      { numRuns: 1_000 },
    );
  });

  it("is read as a response, or is none, or says what is wrong", () => {
    fc.assert(
      fc.property(fc.constantFrom(...dialectNames), anyContent, (dialect, content) => {
        const reading = readResponse(dialects[dialect].responseType, content);
        assert.ok(reading.kind === "response" || reading.kind === "malformed");
      }),
      { numRuns: 1_000 },
    );
  });

  it("makes, as messages and extra properties, a response that fits, is read, and says what the bot decided", () => {
    const anyText = fc.string({ unit: "binary", maxLength: 3_000 });
    const messages = fc.array(fc.record({ type: fc.constantFrom(...messageTypes), text: anyText }), { maxLength: 20 });
    fc.assert(
      fc.property(
        fc.constantFrom(...dialectNames),
        fc.constantFrom("success" as const, "error" as const),
        messages,
        anyContent,
        (dialect, status, given, extra) => {
          const requestEventId = "$request" as EventId;
          const draft = {
            dialect,
            fromDevice: "own",
            requestEventId,
            status,
            code: "timed_out",
            messages: given,
            extra,
          } as const;
          const { type, content } = buildResponse(draft);
          assert.ok(Buffer.byteLength(JSON.stringify(content)) <= maxContentBytes);
          const reading = readResponse(type, content);
          assert.ok(reading.kind === "response");
          assert.equal(reading.response.status, status);
          assert.equal(reading.response.fromDevice, "own");
          assert.equal(reading.response.requestEventId, "$request");
          assert.equal(reading.response.code, status === "error" ? "timed_out" : null);
          assert.ok(given.length === 0 || reading.response.messages.length > 0);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("that the sender wrote never comes back in a message", () => {
    const canary = fc.integer({ min: 1e9, max: 2e9 }).map((number) => `CANARY${number}`);
    const withCanary = (value: string): fc.Arbitrary<JsonValue> =>
      fc.constantFrom<JsonValue>(value, [value], { [value]: value }, 17_171_717, -17_171_717);
    const anyDraft = canary.chain((value) =>
      fc.record(
        {
          from_device: withCanary(value),
          to_device: withCanary(value),
          lifetime: withCanary(value),
          [value]: withCanary(value),
        },
        { requiredKeys: [] },
      ),
    );
    fc.assert(
      fc.property(
        fc.constantFrom(...dialectNames),
        anyDraft,
        fc.boolean(),
        fc.boolean(),
        (dialect, block, hasHandler, encrypted) => {
          const content = { [dialects[dialect].requestBlock]: block as JsonObject };
          const decision = decide({
            event: { type: "t", sender: "@a:x" as UserId, content, originServerTs: now, encrypted, trusted: true },
            own: { userId: "@bot:x" as UserId, deviceId: "own" as DeviceId },
            receivedAt: now,
            now,
            roomEncrypted: true,
            replay: false,
            redacted: false,
            hasHandler,
            policy: {
              dialects: dialectNames,
              defaultLifetimeMs: 90_000,
              maxLifetimeMs: 90_000,
              sendMarginMs: 500,
              unknownTypes: "error",
              plainInEncryptedRoom: "warn",
              warnUntrusted: false,
            },
          });
          const said =
            decision.kind === "answer"
              ? decision.messages
              : decision.kind === "handle"
                ? decision.request?.warnings
                : [];
          assert.doesNotMatch(JSON.stringify(said), /CANARY|17171717/);
        },
      ),
      { numRuns: 500 },
    );
  });
});
