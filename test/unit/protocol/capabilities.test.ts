/** Event capabilities (MSC4301, MSC4401): paths, requirements, questions, and the profile field. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  capabilityField,
  capabilityFieldValue,
  contentPath,
  implies,
  meets,
  readCapabilityRequest,
} from "../../../src/protocol/capabilities.ts";
import type { JsonObject } from "../../../src/protocol/json.ts";

describe("a path into the content", () => {
  for (const [key, names] of [
    ["msgtype", ["msgtype"]],
    ["a.b.c", ["a", "b", "c"]],
    ["m\\.fhir.structure_definition.url", ["m.fhir", "structure_definition", "url"]],
    ["a\\\\.b", ["a\\", "b"]],
    ["a\\x", ["a\\x"]],
    ["a\\", ["a\\"]],
    ["", [""]],
    ["a..b", ["a", "", "b"]],
  ] as const)
    it(`${JSON.stringify(key)} leads over ${JSON.stringify(names)}`, () => {
      assert.deepEqual(contentPath(key), names);
    });

  it("of any names is read as those names, when dots and backslashes are escaped", () => {
    fc.assert(
      fc.property(fc.array(fc.string(), { minLength: 1 }), (names) => {
        const key = names.map((name) => name.replaceAll("\\", "\\\\").replaceAll(".", "\\.")).join(".");
        assert.deepEqual(contentPath(key), names);
      }),
    );
  });
});

describe("a requirement", () => {
  const content: JsonObject = { msgtype: "m.text", "m.relates_to": { rel_type: "m.thread" }, count: 1, list: ["x"] };

  it("is met by exactly its text at exactly its place", () => {
    assert.ok(meets(content, { key: "msgtype", value: "m.text" }));
    assert.ok(meets(content, { key: "m\\.relates_to.rel_type", value: "m.thread" }));
    assert.ok(!meets(content, { key: "msgtype", value: "m.tex" }));
    assert.ok(!meets(content, { key: "m.relates_to.rel_type", value: "m.thread" }));
  });

  it("is not met by a number, a list, an inherited name, or nothing", () => {
    for (const [key, value] of [
      ["count", "1"],
      ["list.0", "x"],
      ["constructor.name", "Object"],
      ["absent", "undefined"],
      ["msgtype.length", "6"],
    ] as const)
      assert.ok(!meets(content, { key, value }), key);
  });
});

describe("what is asked about", () => {
  const pair = (key: string, value: string) => ({ key, value });

  it("has what is required where each requirement is among what is asked, in whatever order and spelling", () => {
    const asked = [pair("a", "1"), pair("b\\\\", "2"), pair("c", "3")];
    assert.ok(implies(asked, []));
    assert.ok(implies(asked, [pair("c", "3"), pair("a", "1")]));
    assert.ok(implies(asked, [pair("b\\", "2")]), "the same path, spelt in another way");
    assert.ok(!implies(asked, [pair("a", "2")]));
    assert.ok(!implies([], [pair("a", "1")]), "a question about more than the handler takes");
  });
});

describe("a question", () => {
  const stable = "m.request.event_capability";
  const unstable = "de.gematik.msc4301.request.event_capability";

  it("is read with its requirements, and with each entry as it stands there", () => {
    const entry = { type: "m.fhir", content: [{ key: "a", value: "b", note: 1 }], more: true };
    assert.deepEqual(readCapabilityRequest(stable, { [stable]: { events: [entry, { type: "x" }] } }), {
      kind: "request",
      asked: [
        { capability: { type: "m.fhir", content: [{ key: "a", value: "b" }] }, raw: entry },
        { capability: { type: "x", content: [] }, raw: { type: "x" } },
      ],
      responseBlock: "m.response.event_capability",
    });
  });

  it("is answered under the name that belongs to its own, and a block of its own name goes first", () => {
    const both = { [stable]: { events: [] }, [unstable]: { events: [] } };
    const blockFor = (type: string, content: JsonObject) => {
      const reading = readCapabilityRequest(type, content);
      assert.equal(reading.kind, "request");
      return reading.kind === "request" ? reading.responseBlock : null;
    };
    assert.equal(blockFor(stable, both), "m.response.event_capability");
    assert.equal(blockFor(unstable, both), "de.gematik.msc4301.response.event_capability");
    assert.equal(
      blockFor(stable, { [unstable]: { events: [] } }),
      "de.gematik.msc4301.response.event_capability",
      "older senders prefix the block alone",
    );
  });

  it("that is malformed is named by its property, never by its value", () => {
    for (const [content, says] of [
      [{}, "m.request.event_capability is missing: it must be an object"],
      [{ [stable]: ["secret"] }, "m.request.event_capability must be an object"],
      [{ [stable]: { events: "secret" } }, "m.request.event_capability.events must be a list"],
      [{ [stable]: {} }, "m.request.event_capability.events must be a list"],
    ] as const)
      assert.deepEqual(readCapabilityRequest(stable, content), { kind: "malformed", problem: says });
  });

  it("with entries that can't be understood is understood in the others", () => {
    const events = [null, "x", {}, { type: 1 }, { type: "a", content: {} }, { type: "a", content: [1] }, { type: "a" }];
    const reading = readCapabilityRequest(stable, { [stable]: { events } });
    assert.ok(reading.kind === "request");
    assert.deepEqual(
      reading.asked.map(({ capability }) => capability !== null),
      [false, false, false, false, false, false, true],
    );
  });

  it("is read or refused with a reason, whatever the content is: it never throws", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (block, event) => {
        for (const value of [block, { events: block }, { events: [event, { type: "a", content: [event] }] }])
          readCapabilityRequest(stable, { [stable]: value } as JsonObject);
      }),
    );
  });
});

describe("the profile field", () => {
  it("is named after the device, where its ID fits the grammar of profile keys", () => {
    assert.equal(capabilityField("docket_1"), "de.gematik.msc4401.client_capability.docket_1");
    for (const deviceId of ["DOCKETBOT", "a b", "ä", "x".repeat(250)]) assert.equal(capabilityField(deviceId), null);
  });

  it("says the types, and requirements only where there are some", () => {
    const content = [{ key: "msgtype", value: "m.text" }];
    assert.deepEqual(
      capabilityFieldValue([
        { type: "a.b", content: [] },
        { type: "m.room.message", content },
      ]),
      { events: [{ type: "a.b" }, { type: "m.room.message", content }] },
    );
  });
});
