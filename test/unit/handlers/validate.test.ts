/** The step `validate`: messages that help and never tell a value; work that ends. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { runHandler } from "../../../src/handlers/handler.ts";
import { CheckTookTooLong } from "../../../src/handlers/jsonSchema.ts";
import type { Step, Verdict } from "../../../src/handlers/step.ts";
import { validate } from "../../../src/handlers/validate.ts";
import { silentLogger } from "../../../src/logging.ts";
import { dialectNames, dialects } from "../../../src/protocol/dialects.ts";
import type { JsonObject, JsonValue } from "../../../src/protocol/json.ts";
import { clearEvent, neverAborted, prepared, runOnce, stepContext } from "./fixtures.ts";
import { schemaFolder } from "./schemaFolder.ts";

const { folder, schemaFile } = schemaFolder();
const validator = async (schema: unknown, options: object = {}): Promise<Step> =>
  prepared(validate, { schema: await schemaFile(schema), ...options }, folder);
const check = async (schema: unknown, content: JsonObject): Promise<Verdict> =>
  runOnce(await validator(schema), content);
const texts = (verdict: Verdict): readonly string[] => (verdict.messages ?? []).map((message) => message.text);

const report = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object",
  required: ["incident"],
  additionalProperties: false,
  properties: {
    incident: { type: "object", required: ["place"], properties: { place: { type: "string", minLength: 1 } } },
    patient: { type: "object", properties: { age: { type: "integer", minimum: 0, maximum: 150 } } },
  },
};

describe("validate", () => {
  it("is a success where the content matches", async () => {
    assert.deepEqual(await check(report, { incident: { place: "Bridge" } }), { status: "success" });
  });

  it("is an error that names path and expectation of everything that is wrong", async () => {
    assert.deepEqual(await check(report, { incident: {}, patient: { age: -1 }, Mustermann: 1, Musterfrau: 2 }), {
      status: "error",
      code: "invalid_content",
      messages: [
        { type: "error", text: "the content has a property that is not allowed" },
        { type: "error", text: "incident.place is missing" },
        { type: "error", text: "patient.age must be an integer ≥ 0 and ≤ 150" },
      ],
    });
  });

  const cases: readonly (readonly [JsonObject, JsonValue, readonly string[]])[] = [
    [{ type: "string" }, 1, ["v must be a string"]],
    [{ type: ["string", "null"] }, 1, ["v must be a string or null"]],
    [{ type: "boolean" }, 1, ["v must be true or false"]],
    [{ type: "array" }, 1, ["v must be a list"]],
    [{ type: "number", exclusiveMinimum: 0, exclusiveMaximum: 1 }, 4, ["v must be a number > 0 and < 1"]],
    [{ minimum: 3 }, 1, ["v must be ≥ 3"]],
    [{ type: "integer", minimum: 0 }, -0.5, ["v must be an integer ≥ 0"]],
    [{ multipleOf: 5 }, 7, ["v must be a multiple of 5"]],
    [{ minLength: 1 }, "", ["v must have at least 1 character"]],
    [{ maxLength: 2 }, "abc", ["v must have at most 2 characters"]],
    [{ pattern: "^[A-Z]+$" }, "abc", ['v must match the pattern "^[A-Z]+$"']],
    [{ format: "date-time" }, "tomorrow", ['v must have the format "date-time"']],
    [{ enum: ["a", 1, null] }, "b", ['v must be one of "a", 1, null']],
    [
      { enum: Array.from({ length: 14 }, (_, index) => index) },
      "b",
      ["v must be one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 4 more"],
    ],
    [{ const: { a: 1 } }, 1, ['v must be {"a":1}']],
    [{ const: "x".repeat(500) }, 1, [`v must be "${"x".repeat(99)}…`]],
    [{ minItems: 1 }, [], ["v must have at least 1 item"]],
    [{ maxItems: 1 }, [1, 2], ["v must have at most 1 item"]],
    [{ uniqueItems: true }, [1, 1], ["v must not have the same item twice"]],
    [{ prefixItems: [{}], items: false }, [1, 2], ["v has more items than allowed"]],
    [{ prefixItems: [{}], unevaluatedItems: false }, [1, 2], ["v has more items than allowed"]],
    [
      { contains: { const: 1 } },
      [2],
      ["v[0] must be 1", "v has too few or too many items of the kind that is expected"],
    ],
    [{ minProperties: 2 }, {}, ["v must have at least 2 properties"]],
    [{ maxProperties: 0 }, { a: 1 }, ["v must have at most 0 properties"]],
    [{ unevaluatedProperties: false }, { a: 1 }, ["v has a property that is not allowed"]],
    [{ propertyNames: { pattern: "^x" } }, { a: 1 }, ["v has a property whose name is not allowed"]],
    [{ dependentRequired: { a: ["b"] } }, { a: 1 }, ["v.b is missing"]],
    [false as unknown as JsonObject, 1, ["v is not allowed"]],
    [{ not: {} }, 1, ["v has a form that is not allowed"]],
    [JSON.parse('{"if": {}, "then": {"type": "string"}}') as JsonObject, 1, ["v must be a string"]],
    [{ required: ["de.divi.report", "a b"] }, {}, ['v["de.divi.report"] is missing', 'v["a b"] is missing']],
    [{ items: { required: ["Straße"] } }, [{}], ["v[0].Straße is missing"]],
    [
      { anyOf: [{ type: "string" }, { type: "null" }] },
      1,
      ["v must be a string", "v must be null", "v must have one of the 2 allowed forms"],
    ],
    [{ oneOf: [{}, {}] }, 1, ["v must have exactly one of the 2 allowed forms"]],
  ];
  for (const [rule, value, expected] of cases)
    it(`says "${expected.at(-1)!.slice(0, 80)}" for the rule ${JSON.stringify(rule).slice(0, 80)}`, async () => {
      assert.deepEqual(texts(await check({ type: "object", properties: { v: rule } }, { v: value })), expected);
    });

  it("names the content itself where that is wrong as a whole", async () => {
    assert.deepEqual(texts(await check({ minProperties: 1 }, {})), ["the content must have at least 1 property"]);
    assert.deepEqual(texts(await check({ required: ["a.b"] }, {})), ['["a.b"] is missing']);
  });

  it("shows a star for a property name that only the sender knows, also where it looks like a list index", async () => {
    const schema = {
      properties: { patients: { additionalProperties: { properties: { age: { type: "integer" } } } } },
    };
    const wrong = { age: "old" };
    const content = { patients: { "Max Mustermann": wrong, "4711": wrong, "a/b~c": wrong } };
    assert.deepEqual(texts(await check(schema, content)), ["patients.*.age must be an integer"]);
  });

  it("tells as many findings as the operator wants, and counts the rest", async () => {
    const schema = { required: ["a", "b", "c", "d", "e", "f", "g"] };
    const more = ["a is missing", "b is missing"];
    assert.deepEqual(texts(await runOnce(await validator(schema, { max_messages: 2 }))), [...more, "and 5 more"]);
    assert.equal(texts(await runOnce(await validator(schema))).at(-1), "and 2 more");
    assert.equal(texts(await runOnce(await validator(schema, { max_messages: 7 }))).length, 7);
    const short = await prepared(validate, await schemaFile(schema), folder);
    assert.equal(texts(await runOnce(short)).length, 6);
  });

  it("does not see the protocol's own properties, so that a schema may close its content", async () => {
    const closed = { type: "object", properties: { a: {} }, additionalProperties: false };
    const blocks = dialectNames.flatMap((name) => [dialects[name].requestBlock, ...dialects[name].responseBlocks]);
    const content = Object.fromEntries(["a", "m.relates_to", ...blocks].map((name) => [name, {}]));
    assert.deepEqual(await check(closed, content), { status: "success" });
  });

  it("sees a property of the protocol where the schema names it", async () => {
    const schema = { required: ["m.relates_to"], properties: { "m.request.status": { type: "string" } } };
    assert.deepEqual(texts(await check(schema, { "m.request.status": {} })), [
      '["m.relates_to"] is missing',
      '["m.request.status"] must be a string',
    ]);
  });

  it("reads a schema that has references inside it, annotations, and a byte order mark", async () => {
    const schema = {
      $id: "https://example.org/report",
      "x-owner": "us",
      $defs: { place: { type: "string", "x-unit": "m", example: "Bridge" } },
      properties: { place: { $ref: "#/$defs/place" } },
    };
    assert.deepEqual(texts(await check(`\uFEFF${JSON.stringify(schema)}`, { place: 1 })), ["place must be a string"]);
  });
});

describe("validate, whatever the content is,", () => {
  it("comes to a verdict and repeats nothing of it", async () => {
    const step = await validator({
      type: "object",
      required: ["name", "born"],
      properties: {
        name: { type: "string", pattern: "^[a-z]*$", maxLength: 3 },
        born: { type: "string", format: "date" },
        kind: { enum: ["a", "b"] },
        level: { const: 1 },
        list: { type: "array", maxItems: 1, uniqueItems: true, items: { $ref: "#/$defs/inner" } },
        map: {
          type: "object",
          propertyNames: { pattern: "^[a-z]*$" },
          additionalProperties: { $ref: "#/$defs/inner" },
        },
        either: { oneOf: [{ type: "integer" }, { $ref: "#/$defs/inner" }] },
      },
      patternProperties: { "^C": { type: "object" } },
      unevaluatedProperties: false,
      $defs: { inner: { type: "object", additionalProperties: { type: "boolean" }, minProperties: 1 } },
    });
    const canary = fc.nat(99).map((number) => `CANARY${number}`);
    const value = fc.letrec<{ value: JsonValue }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 3 },
        canary,
        fc.constant(171_717),
        fc.array(tie("value"), { maxLength: 3 }),
        fc.dictionary(canary, tie("value"), { maxKeys: 3 }),
      ) as fc.Arbitrary<JsonValue>,
    })).value;
    const key = fc.oneof(
      canary,
      fc.constantFrom("name", "born", "kind", "level", "list", "map", "either", "__proto__"),
    );
    await fc.assert(
      fc.asyncProperty(fc.dictionary(key, value, { maxKeys: 8 }), async (built) => {
        // Through JSON text, as it comes over the wire.
        const content = JSON.parse(JSON.stringify(built)) as JsonObject;
        const verdict = await runOnce(step, content);
        assert.equal(verdict.status, "error");
        assert.ok(texts(verdict).length > 0);
        assert.doesNotMatch(JSON.stringify(verdict), /CANARY|171717/);
      }),
      { numRuns: 400 },
    );
  });

  const runaway: readonly (readonly [string, unknown, JsonObject])[] = [
    ["a pattern that backtracks", { properties: { a: { pattern: "^(a+)+$" } } }, { a: `${"a".repeat(50)}!` }],
    [
      "a comparison of everything with everything",
      { properties: { a: { uniqueItems: true } } },
      { a: Array.from({ length: 20_000 }, (_, index) => ({ [`k${index}`]: 1 })) },
    ],
  ];
  for (const [what, schema, content] of runaway)
    it(`ends, with an error that blames nobody: ${what}`, async () => {
      const step = await validator(schema);
      await assert.rejects(runOnce(step, content), CheckTookTooLong);
      const { extra: _, ...context } = stepContext();
      const handler = { types: ["*"], steps: [{ name: "validate", step }] };
      const verdict = await runHandler(handler, clearEvent(content), context, neverAborted, silentLogger);
      assert.equal(verdict.status === "error" && verdict.code, "handler_failed");
      // The next event is checked as before.
      assert.deepEqual(await runOnce(step, { a: ["b"] }), { status: "success" });
    });

  it("fails for itself where a property is called like a method that comparing calls", async () => {
    const step = await validator({ properties: { a: { uniqueItems: true } } });
    const { extra: _, ...context } = stepContext();
    const handler = { types: ["*"], steps: [{ name: "validate", step }] };
    const content = { a: [{ valueOf: 1 }, { valueOf: 1 }] };
    const verdict = await runHandler(handler, clearEvent(content), context, neverAborted, silentLogger);
    assert.equal(verdict.status === "error" && verdict.code, "handler_failed");
  });

  it("fails for itself where the content is nested thousands deep", async () => {
    const step = await validator({ properties: { c: { $ref: "#" } } });
    let deep: JsonObject = {};
    for (let depth = 0; depth < 30_000; depth += 1) deep = { c: deep };
    const { extra: _, ...context } = stepContext();
    const handler = { types: ["*"], steps: [{ name: "validate", step }] };
    const verdict = await runHandler(handler, clearEvent(deep), context, neverAborted, silentLogger);
    assert.equal(verdict.status === "error" && verdict.code, "handler_failed");
  });
});
