/**
 * The step `validate`: checks the content against the operator's JSON Schema. Status blocks and `m.relates_to` belong to the
 * protocol, not to the event's own type: they are taken out first, so that a schema with `additionalProperties: false` works;
 * unless the schema names them itself, in which case they stay for it to judge. It throws where a check can't be finished.
 */
import { resolve } from "node:path";
import { z } from "zod";
import { isProtocolProperty } from "../protocol/requests.ts";
import { loadSchema } from "./jsonSchema.ts";
import { describeErrors } from "./schemaMessages.ts";
import type { StepKind } from "./step.ts";

const schemaPath = z.string().min(1).describe("Path of a JSON Schema (2020-12) file.");
const defaultMaxMessages = 5;

const options = z.union([
  schemaPath,
  z.strictObject({
    schema: schemaPath,
    max_messages: z
      .int()
      .min(1)
      .max(50)
      .default(defaultMaxMessages)
      .describe("At most so many findings are told to the sender; the rest is counted."),
  }),
]);

export const validate: StepKind<z.infer<typeof options>> = {
  name: "validate",
  description: "Checks the content against a JSON Schema (2020-12); answers what is wrong, and never with a value.",
  options,
  prepare: async (chosen, baseDirectory) => {
    const { schema: path, max_messages } =
      typeof chosen === "string" ? { schema: chosen, max_messages: defaultMaxMessages } : chosen;
    const schema = await loadSchema(resolve(baseDirectory, path));
    return {
      run: async (event) => {
        const content = Object.fromEntries(
          Object.entries(event.content).filter(([name]) => !isProtocolProperty(name) || schema.names.has(name)),
        );
        const errors = schema.check(content);
        if (errors.length === 0) return { status: "success" };
        const texts = describeErrors(errors, content, schema.names, max_messages);
        return { status: "error", code: "invalid_content", messages: texts.map((text) => ({ type: "error", text })) };
      },
    };
  },
};
