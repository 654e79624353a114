/** Schemas and options that the step `validate` refuses at start. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { validate } from "../../../src/handlers/validate.ts";
import { prepared } from "./fixtures.ts";
import { schemaFolder } from "./schemaFolder.ts";

const { folder, schemaFile } = schemaFolder();

describe("a schema that can't be used is refused at start, with its file and what is wrong:", () => {
  const broken: readonly (readonly [string, unknown, RegExp])[] = [
    ["broken JSON", '{"type": "object",}', /is not valid JSON: .*line 1 column/],
    ["an empty file", "", /is not valid JSON/],
    ["a list", [], /must be a JSON object/],
    ["a boolean", true, /must be a JSON object/],
    ["a misspelt keyword", { requierd: ["a"] }, /unknown keyword: "requierd"/],
    ["an unknown type", { type: "text" }, /is not a usable JSON Schema: .*type/],
    ["an unknown format", { format: "date-tim" }, /unknown format "date-tim"/],
    ["a broken pattern", { pattern: "(" }, /Invalid regular expression/],
    [
      "another draft",
      { $schema: "http://json-schema.org/draft-07/schema#" },
      /must be written for JSON Schema 2020-12/,
    ],
    ["an asynchronous schema", { $async: true }, /must not use \$async/],
    ["a reference to an address", { $ref: "https://example.org/other.json" }, /refers to https:.*are not followed/],
    [
      "a reference to another file",
      { properties: { a: { $ref: "other.json" } } },
      /refers to other\.json.*not followed/,
    ],
    ["a reference to nothing", { $ref: "#/$defs/none" }, /refers to #\/\$defs\/none/],
    ["a null where a list belongs", { dependentRequired: null, required: null }, /is not a usable JSON Schema/],
  ];
  for (const [what, schema, expected] of broken)
    it(what, async () => {
      const name = await schemaFile(schema);
      await assert.rejects(prepared(validate, name, folder), (error: Error) => {
        assert.ok(error.message.startsWith(`the schema ${join(folder, name)} `), error.message);
        assert.match(error.message, expected);
        return true;
      });
    });

  it("a missing file", async () => {
    await assert.rejects(prepared(validate, "./none.json", folder), {
      message: `the schema ${join(folder, "none.json")} does not exist`,
    });
  });

  it("a folder", async () => {
    await assert.rejects(prepared(validate, ".", folder), { message: `the schema ${folder} is a folder, not a file` });
  });

  for (const wrong of [undefined, "", {}, { schema: 1 }, { schema: "a", max_messages: 0 }, { schema: "a", max: 1 }])
    it(`the options ${JSON.stringify(wrong)}`, () => {
      assert.equal(validate.options.safeParse(wrong).success, false);
    });
});
