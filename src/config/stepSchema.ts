/** One step of a handler: `name`, or `name: options`, checked by the options schema of its kind. */
import { z } from "zod";
import type { LeafParams } from "./leaves.ts";
import { closest } from "./nearest.ts";
import { showKey } from "./yamlPath.ts";
import type { StepKindSchema } from "./stepKindSchema.ts";

export interface ParsedStep {
  readonly name: string;
  readonly options: unknown;
}

/** @param stepKinds all kinds that may stand in `steps` */
export function stepSchema(stepKinds: readonly StepKindSchema[]): z.ZodType<ParsedStep, unknown> {
  const kinds = new Map(stepKinds.map((kind) => [kind.name, kind]));
  const names = stepKinds.map((kind) => kind.name).join(", ");
  return z
    .unknown()
    .transform((found, context): ParsedStep => {
      const refuse = (path: (string | number)[], message: string, hint?: string, secret = true): never => {
        const params: LeafParams = { expectation: true, secret, ...(hint === undefined ? {} : { hint }) };
        context.addIssue({ code: "custom", path, message, params });
        return z.NEVER;
      };
      const step = split(found);
      if (step === null) return refuse([], `one step, as \`name\` or \`name: options\`; the steps are ${names}`);
      if (step === "several") {
        return refuse(
          [],
          "one step in each item of the list",
          "Begin each step with `- `; indent a step's options further than its name.",
        );
      }
      const kind = kinds.get(step.name);
      const at = step.bare ? [] : [step.name];
      if (kind === undefined) {
        const near = closest(step.name, [...kinds.keys()]);
        return refuse(
          at,
          `the name of a step: ${names}`,
          near === null ? undefined : `Did you mean \`${near}\`?`,
          showKey(step.name) !== step.name,
        );
      }
      if (!step.bare && step.options === null) {
        const hint = kind.options.safeParse(undefined).success
          ? `Write \`- ${step.name}\` without a colon, or give it options.`
          : undefined;
        return refuse(at, `options after \`${step.name}:\``, hint);
      }
      const result = kind.options.safeParse(step.options);
      if (result.success) return { name: step.name, options: result.data };
      if (step.bare) return refuse([], `\`${step.name}: options\`, as this step needs options`);
      for (const issue of result.error.issues)
        context.issues.push({
          ...issue,
          path: [...at, ...issue.path],
          input: step.options,
        } as (typeof context.issues)[number]);
      return z.NEVER;
    })
    .meta({ anyOf: stepKinds.flatMap(shapes), description: "One step: its name, or its name and options." });
}

interface SplitStep {
  readonly name: string;
  readonly options: unknown;
  readonly bare: boolean;
}

function split(found: unknown): SplitStep | "several" | null {
  if (typeof found === "string") return { name: found, options: undefined, bare: true };
  if (typeof found !== "object" || found === null || Array.isArray(found)) return null;
  const entries = Object.entries(found);
  const [first] = entries;
  if (first === undefined) return null;
  return entries.length > 1 ? "several" : { name: first[0], options: first[1], bare: false };
}

/** JSON Schema of the ways to write one kind. */
function shapes(kind: StepKindSchema): Record<string, unknown>[] {
  const { $schema: _, ...options } = z.toJSONSchema(kind.options, { io: "input", unrepresentable: "any" });
  const full = {
    type: "object",
    properties: { [kind.name]: { description: kind.description, ...options } },
    required: [kind.name],
    additionalProperties: false,
  };
  return kind.options.safeParse(undefined).success
    ? [{ const: kind.name, description: kind.description }, full]
    : [full];
}
