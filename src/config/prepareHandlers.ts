/** Makes the steps of the configuration ready to run; a step that can't be is a mistake in the configuration, with its line. */
import { ConfigError, DocketError, type ConfigProblem } from "../errors.ts";
import type { Config, HandlerConfig, StepConfig } from "./config.ts";
import type { StepKindSchema } from "./stepKindSchema.ts";

export interface PreparedStep<Prepared> {
  readonly name: string;
  /** Path in the YAML, such as `handlers[0].steps[1].validate`. */
  readonly path: string;
  readonly step: Prepared;
}

export interface PreparedHandler<Prepared> {
  readonly types: readonly string[];
  readonly match: HandlerConfig["match"];
  readonly ordered: boolean;
  readonly steps: readonly PreparedStep<Prepared>[];
}

/**
 * Prepares every step of every handler, one after the other.
 * @throws ConfigError with all steps that can't be prepared
 */
export async function prepareHandlers<Prepared>(
  config: Pick<Config, "file" | "baseDirectory" | "handlers">,
  stepKinds: readonly StepKindSchema<Prepared>[],
): Promise<readonly PreparedHandler<Prepared>[]> {
  const problems: ConfigProblem[] = [];
  const handlers: PreparedHandler<Prepared>[] = [];
  for (const { types, match, ordered, steps } of config.handlers) {
    const prepared: PreparedStep<Prepared>[] = [];
    for (const step of steps) {
      const outcome = await prepareStep(config, step, stepKinds);
      if ("problem" in outcome) problems.push(outcome.problem);
      else prepared.push({ name: step.name, path: step.path, step: outcome.step });
    }
    handlers.push({ types, match, ordered, steps: prepared });
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return handlers;
}

/** Prepares one step. @returns the step, or why it can't be prepared */
export async function prepareStep<Prepared>(
  { file, baseDirectory }: Pick<Config, "file" | "baseDirectory">,
  { name, options, path, line, column }: StepConfig,
  stepKinds: readonly StepKindSchema<Prepared>[],
): Promise<{ readonly step: Prepared } | { readonly problem: ConfigProblem }> {
  const problem = (message: string): { readonly problem: ConfigProblem } => ({
    problem: { file, line, column, path, message },
  });
  const kind = stepKinds.find((candidate) => candidate.name === name);
  if (kind === undefined) return problem(`the step ${name} is not part of this program`);
  try {
    return { step: await kind.prepare(options, baseDirectory) };
  } catch (error) {
    if (error instanceof DocketError && !(error instanceof ConfigError)) throw error;
    const text = error instanceof Error ? error.message : "for an unknown reason";
    return problem(`the step can't be prepared: ${text.replace(/\p{Cc}+/gu, " ")}`);
  }
}
