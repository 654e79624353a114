/** The bot's own responses: exactly as the table of dialects says, bounded, safe from handlers' extras. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { dialectNames, dialects } from "../../../src/protocol/dialects.ts";
import type { EventId } from "../../../src/protocol/ids.ts";
import type { JsonObject } from "../../../src/protocol/json.ts";
import { buildResponse, maxContentBytes, type ResponseDraft } from "../../../src/protocol/responses.ts";
import { read } from "./responseReading.ts";

const requestEventId = "$request" as EventId;
const relation = { rel_type: "m.reference", event_id: "$request" };
const draft = (change: Partial<ResponseDraft> = {}): ResponseDraft => ({
  dialect: "stable",
  fromDevice: "docketdevice",
  requestEventId,
  status: "success",
  messages: [],
  ...change,
});
const bytes = (content: JsonObject): number => Buffer.byteLength(JSON.stringify(content));

describe("a response", () => {
  const expected = {
    stable: {
      type: "m.response.status",
      content: {
        "m.response.status": {
          from_device: "docketdevice",
          status: "error",
          messages: [{ type: "error", "m.text": [{ body: "incident.place is missing" }] }],
        },
        "m.relates_to": relation,
        "io.github.matrix-docket.code": "invalid_content",
      },
    },
    msc4300: {
      type: "de.gematik.msc4300.response.status",
      content: {
        "de.gematik.msc4300.response.status": {
          from_device: "docketdevice",
          status: "error",
          messages: [{ type: "error", "m.text": [{ body: "incident.place is missing" }] }],
        },
        "m.response.status": {
          from_device: "docketdevice",
          status: "error",
          messages: [{ type: "error", "m.text": [{ body: "incident.place is missing" }] }],
        },
        "m.relates_to": relation,
        "io.github.matrix-docket.code": "invalid_content",
      },
    },
    gematik: {
      type: "de.gematik.response.status",
      content: {
        "de.gematik.response.status": {
          from_device: "docketdevice",
          status: "error",
          messages: [{ type: "error", "de.gematik.text": [{ body: "incident.place is missing" }] }],
        },
        "m.relates_to": relation,
        "io.github.matrix-docket.code": "invalid_content",
      },
    },
  };

  for (const dialect of dialectNames) {
    it(`stands in the dialect ${dialect} exactly as the table says`, () => {
      const built = buildResponse(
        draft({
          dialect,
          status: "error",
          code: "invalid_content",
          messages: [{ type: "error", text: "incident.place is missing" }],
        }),
      );
      assert.deepEqual(built, { ...expected[dialect], dropped: [] });
    });

    it(`that is a success in the dialect ${dialect} has no code, and no messages where there are none`, () => {
      const block = { from_device: "docketdevice", status: "success" };
      const built = buildResponse(draft({ dialect, code: "timed_out" }));
      const blocks = dialects[dialect].responseBlocks.map((name) => [name, block]);
      assert.deepEqual(built.content, { ...Object.fromEntries(blocks), "m.relates_to": relation });
    });

    it(`in the dialect ${dialect} is read as it was written`, () => {
      const messages = [
        { type: "info", text: "a" },
        { type: "warning", text: "b" },
        { type: "error", text: "c" },
      ] as const;
      const { type, content } = buildResponse(
        draft({ dialect, status: "error", code: "timed_out", messages, extra: { ticket: 7 } }),
      );
      assert.deepEqual(read(type, content), {
        fromDevice: "docketdevice",
        status: "error",
        messages,
        code: "timed_out",
        requestEventId,
        extra: { ticket: 7 },
      });
    });

    it(`in the dialect ${dialect} fits into an event, however much a handler has to say`, () => {
      const messages = Array.from({ length: 500 }, () => ({ type: "error", text: "\u0001😀ä".repeat(2_000) }) as const);
      const extra = {
        huge: "x".repeat(60_000),
        small: 1,
        ...Object.fromEntries(messages.map((_, i) => [`k${i}`, "y".repeat(400)])),
      };
      const built = buildResponse(draft({ dialect, status: "error", code: "invalid_content", messages, extra }));
      assert.ok(bytes(built.content) <= maxContentBytes, `${bytes(built.content)} bytes`);
      assert.ok(built.dropped.includes("huge"));
      assert.equal(built.content["small"], 1);
      const { messages: kept } = read(built.type, built.content);
      assert.ok(kept.length > 1);
      assert.equal(kept.at(-1)?.text, `${500 - (kept.length - 1)} more messages were left out`);
      for (const { text } of kept) assert.ok(text.isWellFormed());
    });
  }

  it("keeps a bounded number of short messages and counts the rest", () => {
    const messages = Array.from({ length: 5_000 }, () => ({ type: "info", text: "" }) as const);
    const built = buildResponse(draft({ dialect: "msc4300", messages }));
    assert.ok(bytes(built.content) <= maxContentBytes);
    const kept = read(built.type, built.content).messages;
    assert.equal(kept.length, 101);
    assert.equal(kept.at(-1)?.text, "4900 more messages were left out");
  });

  it("carries a handler's extra properties", () => {
    const extra = { "com.example.ticket": { id: "7", open: true, tags: [null, "a"] } };
    assert.deepEqual(buildResponse(draft({ extra })).content["com.example.ticket"], extra["com.example.ticket"]);
  });

  it("lets no extra property stand in the place of the protocol's own, nor ask for an answer", () => {
    const reserved = [
      "m.relates_to",
      "io.github.matrix-docket.code",
      ...dialectNames.flatMap((name) => [dialects[name].requestBlock, ...dialects[name].responseBlocks]),
    ];
    const extra = Object.fromEntries(reserved.map((name) => [name, { from_device: "forged" }]));
    for (const dialect of dialectNames) {
      const built = buildResponse(draft({ dialect, extra }));
      assert.deepEqual(built.content, buildResponse(draft({ dialect })).content);
      assert.deepEqual(new Set(built.dropped), new Set(reserved));
    }
  });

  it("is an ordinary object whatever an extra property is called", () => {
    const built = buildResponse(
      draft({ extra: JSON.parse('{"__proto__": {"a": 1}, "constructor": 2}') as JsonObject }),
    );
    assert.equal(Object.getPrototypeOf(built.content), Object.prototype);
    assert.deepEqual(built.dropped, ["__proto__"]);
    assert.equal(built.content["constructor"], 2);
  });

  const deep = JSON.parse(`${"[".repeat(3_000)}${"]".repeat(3_000)}`) as JsonObject;
  const circular: { [key: string]: unknown } = {};
  circular["self"] = circular;
  const unsendable: readonly (readonly [string, unknown])[] = [
    ["a fraction", 1.5],
    ["a number beyond exact integers", 2 ** 60],
    ["not a number", NaN],
    ["half of a surrogate pair", "\ud800"],
    ["a key with half of a surrogate pair", { "\udc00": 1 }],
    ["undefined", undefined],
    ["a function", () => 1],
    ["a big integer", 1n],
    ["a date", new Date(0)],
    ["something nested beyond reason", deep],
    ["something that contains itself", circular],
  ];
  for (const [what, value] of unsendable)
    it(`leaves out an extra property that a server would refuse: ${what}`, () => {
      const extra = { bad: [value], good: 1 } as unknown as JsonObject;
      const built = buildResponse(draft({ extra }));
      assert.deepEqual(built.dropped, ["bad"]);
      assert.equal(built.content["good"], 1);
      assert.ok(JSON.stringify(built.content));
    });

  it("carries well-formed text even where a message has half of a surrogate pair", () => {
    const { type, content } = buildResponse(draft({ messages: [{ type: "info", text: "a\ud800b" }] }));
    assert.equal(read(type, content).messages[0]?.text, "a\ufffdb");
  });
});
