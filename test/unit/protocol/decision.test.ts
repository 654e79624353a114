/** The decision list on a request: every step, every branch, in every dialect; and the order of the steps. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decide, type Decision } from "../../../src/protocol/decision.ts";
import { dialectNames, dialects } from "../../../src/protocol/dialects.ts";
import type { JsonObject, JsonValue } from "../../../src/protocol/json.ts";
import { answered, asks, ignored, input, own, policy, sentAt, texts, type Change } from "./decisionInput.ts";

for (const dialect of dialectNames) {
  const name = dialects[dialect].requestBlock;
  const wellFormed = asks(dialect, { from_device: "SENDER", lifetime: 10_000 });
  const malformed = asks(dialect, { lifetime: 10_000 });

  describe(`a request in the dialect ${dialect}`, () => {
    it("is handled within its lifetime, and the handler stops two margins before the end", () => {
      assert.deepEqual(decide(input(wellFormed)), {
        kind: "handle",
        request: {
          dialect,
          expiresAt: sentAt + 10_000,
          handlerDeadline: sentAt + 9_000,
          fromDevice: "SENDER",
          warnings: [],
        },
      });
    });

    it("is not answered in an event of the bot's own", () => {
      assert.equal(ignored(decide(input(wellFormed, { event: { sender: own.userId } }))), "own_event");
    });

    for (const other of dialectNames)
      it(`is not answered inside a response of the dialect ${other}, also where that dialect is switched off`, () => {
        const event = { type: dialects[other].responseType };
        assert.equal(ignored(decide(input(wellFormed, { event, policy: { dialects: [dialect] } }))), "response");
      });

    it("is neither answered nor handled in a replay", () => {
      assert.equal(ignored(decide(input(wellFormed, { facts: { replay: true } }))), "replay");
    });

    it("is neither answered nor handled when the event was redacted before its turn", () => {
      assert.equal(ignored(decide(input(wellFormed, { facts: { redacted: true } }))), "redacted");
    });

    it("is not seen where the dialect is switched off, and the handler runs", () => {
      const without = { dialects: dialectNames.filter((candidate) => candidate !== dialect) };
      assert.deepEqual(decide(input(wellFormed, { policy: without })), { kind: "handle", request: null });
    });

    it("is neither answered nor handled where it names another device", () => {
      const content = asks(dialect, { from_device: "SENDER", to_device: "OTHER" });
      assert.equal(ignored(decide(input(content))), "other_device");
    });

    it("is handled where it names the bot's device", () => {
      const content = asks(dialect, { from_device: "SENDER", to_device: own.deviceId });
      assert.equal(decide(input(content)).kind, "handle");
    });

    const malformedBlocks: readonly (readonly [string, JsonValue, readonly string[]])[] = [
      ["is a string", "yes", [`error: ${name} must be an object`]],
      ["is null", null, [`error: ${name} must be an object`]],
      ["is a list", [], [`error: ${name} must be an object`]],
      ["has no from_device", {}, [`error: ${name}.from_device is missing: it must be a string`]],
      ["has a from_device that is a number", { from_device: 7 }, [`error: ${name}.from_device must be a string`]],
      ["has a from_device that is null", { from_device: null }, [`error: ${name}.from_device must be a string`]],
      [
        "has a to_device that is no string",
        { from_device: "S", to_device: ["docketdevice"] },
        [`error: ${name}.to_device must be a string`],
      ],
      ...[-1, 1.5, "90000", null, true, Infinity].map(
        (lifetime) =>
          [
            `has the lifetime ${JSON.stringify(lifetime)}`,
            { from_device: "S", lifetime },
            [`error: ${name}.lifetime must be an integer of milliseconds, 0 or more`],
          ] as const,
      ),
      [
        "is wrong in every property",
        { from_device: 1, to_device: 2, lifetime: "3" },
        [
          `error: ${name}.from_device must be a string`,
          `error: ${name}.to_device must be a string`,
          `error: ${name}.lifetime must be an integer of milliseconds, 0 or more`,
        ],
      ],
    ];
    for (const [what, block, expected] of malformedBlocks)
      it(`is answered with an error that says what is wrong where its block ${what}`, () => {
        const decision = decide(input(asks(dialect, block)));
        assert.equal(answered(decision), "malformed_request");
        assert.deepEqual(texts(decision), expected);
        assert.equal(decision.kind === "answer" && decision.dialect, dialect);
        assert.equal(decision.kind === "answer" && decision.expiresAt, sentAt + policy.defaultLifetimeMs);
      });

    it("is not answered where it is malformed and names another device", () => {
      assert.equal(ignored(decide(input(asks(dialect, { to_device: "OTHER" })))), "other_device");
    });

    it("is answered within the default lifetime where it is malformed and asks for longer", () => {
      const decision = decide(input(asks(dialect, { lifetime: 80_000_000 })));
      assert.equal(decision.kind === "answer" && decision.expiresAt, sentAt + policy.defaultLifetimeMs);
    });

    it("is answered within its own lifetime where it is malformed and asks for shorter", () => {
      const decision = decide(input(malformed));
      assert.equal(decision.kind === "answer" && decision.expiresAt, sentAt + 10_000);
    });

    it("is not answered where it is malformed and the default lifetime is over", () => {
      const facts = { now: sentAt + policy.defaultLifetimeMs + 1 };
      assert.equal(ignored(decide(input(asks(dialect, {}), { facts }))), "expired");
    });

    it("is neither answered nor handled past its end", () => {
      assert.equal(ignored(decide(input(wellFormed, { facts: { now: sentAt + 10_001 } }))), "expired");
    });

    it("is neither answered nor handled when no attempt to send may start any more", () => {
      assert.equal(ignored(decide(input(wellFormed, { facts: { now: sentAt + 10_000 } }))), "no_time_left");
      assert.equal(ignored(decide(input(wellFormed, { facts: { now: sentAt + 9_501 } }))), "no_time_left");
    });

    it("is answered as timed out, without starting a handler, between the handler's deadline and the last moment to send", () => {
      assert.equal(answered(decide(input(wellFormed, { facts: { now: sentAt + 9_500 } }))), "timed_out");
      const atTheDeadline = decide(input(wellFormed, { facts: { now: sentAt + 9_000 } }));
      assert.equal(answered(atTheDeadline), "timed_out");
      assert.deepEqual(texts(atTheDeadline), ["error: Not confirmed in time"]);
    });

    it("is handled up to the last millisecond before the handler's deadline", () => {
      assert.equal(decide(input(wellFormed, { facts: { now: sentAt + 8_999 } })).kind, "handle");
    });

    const noHandler = { hasHandler: false };
    it("is answered with an error that names the type where no handler is registered", () => {
      const decision = decide(input(wellFormed, { facts: noHandler }));
      assert.equal(answered(decision), "unknown_type");
      assert.deepEqual(texts(decision), ["error: Unknown event type com.example.report"]);
    });

    it("is answered about an unknown type only where it names the bot, if the operator says so", () => {
      const addressed = { facts: noHandler, policy: { unknownTypes: "addressed" } } as const;
      const named = asks(dialect, { from_device: "S", to_device: own.deviceId });
      assert.equal(ignored(decide(input(wellFormed, addressed))), "unknown_type_ignored");
      assert.equal(answered(decide(input(named, addressed))), "unknown_type");
    });

    it("is not answered about an unknown type, not even where it names the bot, if the operator says so", () => {
      const silent = { facts: noHandler, policy: { unknownTypes: "ignore" } } as const;
      const named = asks(dialect, { from_device: "S", to_device: own.deviceId });
      assert.equal(ignored(decide(input(wellFormed, silent))), "unknown_type_ignored");
      assert.equal(ignored(decide(input(named, silent))), "unknown_type_ignored");
    });

    describe("that is not encrypted in an encrypted room", () => {
      const plain = { encrypted: false };
      const warning = "warning: The request was not encrypted, although this room is encrypted";
      const refusal = "error: The request was not encrypted, although this room is encrypted: send it encrypted";

      it("is handled like others where the operator accepts it", () => {
        const decision = decide(input(wellFormed, { event: plain, policy: { plainInEncryptedRoom: "accept" } }));
        assert.deepEqual(decision.kind === "handle" && decision.request?.warnings, []);
      });

      it("is handled with a warning where the operator wants one", () => {
        const decision = decide(input(wellFormed, { event: plain }));
        const warnings = decision.kind === "handle" ? decision.request?.warnings : [];
        assert.deepEqual(
          warnings?.map((message) => `${message.type}: ${message.text}`),
          [warning],
        );
      });

      it("from an untrusted device is answered with a warning too, in errors as well, where the operator wants one", () => {
        const untrusted = { trusted: false };
        const wanted = { policy: { warnUntrusted: true } };
        const warned = (decision: Decision): readonly string[] =>
          (decision.kind === "handle" ? (decision.request?.warnings ?? []) : texts(decision)).map((message) =>
            typeof message === "string" ? message : `${message.type}: ${message.text}`,
          );
        const said = /^warning: The request came from a device .* not cross-signed$/;
        assert.match(warned(decide(input(wellFormed, { event: untrusted, ...wanted })))[0] ?? "", said);
        assert.match(warned(decide(input(malformed, { event: untrusted, ...wanted })))[0] ?? "", said);
        assert.deepEqual(warned(decide(input(wellFormed, { event: untrusted }))), []);
        assert.deepEqual(warned(decide(input(wellFormed, wanted))), []);
      });

      it("is warned about in errors too", () => {
        assert.equal(texts(decide(input(malformed, { event: plain })))[0], warning);
        assert.equal(texts(decide(input(wellFormed, { event: plain, facts: noHandler })))[0], warning);
      });

      const refuse = { plainInEncryptedRoom: "refuse" } as const;
      it("is refused where the operator refuses it, with no handler run", () => {
        const decision = decide(input(wellFormed, { event: plain, policy: refuse }));
        assert.equal(answered(decision), "not_encrypted");
        assert.deepEqual(texts(decision), [refusal]);
      });

      it("is refused before its type is judged, but after its form and its end", () => {
        const judged = (content: JsonObject, facts: Change["facts"]): Decision =>
          decide(input(content, { event: plain, policy: refuse, ...(facts && { facts }) }));
        assert.equal(answered(judged(wellFormed, noHandler)), "not_encrypted");
        assert.equal(answered(judged(malformed, noHandler)), "malformed_request");
        assert.equal(ignored(judged(wellFormed, { now: sentAt + 10_001 })), "expired");
      });

      it("is not refused where the operator is silent about its type", () => {
        const both = { ...refuse, unknownTypes: "ignore" } as const;
        assert.equal(
          ignored(decide(input(wellFormed, { event: plain, facts: noHandler, policy: both }))),
          "unknown_type_ignored",
        );
      });
    });

    for (const choice of ["accept", "warn", "refuse"] as const)
      it(`is handled without a warning in a room without encryption (${choice})`, () => {
        const decision = decide(
          input(wellFormed, {
            event: { encrypted: false },
            facts: { roomEncrypted: false },
            policy: { plainInEncryptedRoom: choice },
          }),
        );
        assert.deepEqual(decision.kind === "handle" && decision.request?.warnings, []);
      });
  });
}
