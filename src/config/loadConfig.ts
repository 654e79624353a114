/**
 * From a file to a Config, or to every problem in it at once. The order: read, YAML, references, schema, rules between values, and,
 * where something is wrong already, the steps too, so that `docket check` has nothing left to find afterwards.
 */
import { dirname, resolve } from "node:path";
import { ConfigError, type ConfigProblem } from "../errors.ts";
import { completeConfig, locatedStep } from "./completeConfig.ts";
import type { Config } from "./config.ts";
import { readFileFromDisk, readText, type FileReader } from "./configFiles.ts";
import { crossCheck } from "./crossChecks.ts";
import { knownKeys } from "./knownKeys.ts";
import { readYaml, valueAt, type LocatedYaml, type YamlValue } from "./locatedYaml.ts";
import { prepareStep } from "./prepareHandlers.ts";
import { readNetwork } from "./readNetwork.ts";
import { resolveReferences, type ResolvedReferences } from "./references.ts";
import { configJsonSchema, configSchema } from "./schema.ts";
import { schemaProblems } from "./schemaProblems.ts";
import type { StepKindSchema } from "./stepKindSchema.ts";
import { stepSchema } from "./stepSchema.ts";
import { pathKey } from "./yamlPath.ts";

export interface LoadOptions {
  readonly stepKinds: readonly StepKindSchema[];
  /** The environment, for `${env:NAME}`. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly readFile?: FileReader;
}

export const LARGEST_FILE_BYTES = 1_048_576;
const MOST_PROBLEMS = 100;

/**
 * @param file path of the configuration file, as people gave it; relative to the working directory
 * @returns the configuration; its steps are not prepared yet (`prepareHandlers`)
 * @throws ConfigError with all problems
 */
export async function loadConfig(file: string, options: LoadOptions): Promise<Config> {
  const readFile = options.readFile ?? readFileFromDisk;
  const absolute = resolve(file);
  const baseDirectory = dirname(absolute);
  const text = await readText(readFile, absolute, LARGEST_FILE_BYTES, "the configuration file");
  if (!text.ok) {
    const hint = "Name another file with --config FILE; config.sample.yaml is one to start from.";
    throw new ConfigError([{ file, line: null, column: null, path: "", message: text.message, hint }]);
  }

  const document = readYaml(text.text, file);
  const references = await resolveReferences(document, { file, baseDirectory, env: options.env, readFile });
  const problems = [...document.problems, ...references.problems];
  if (!isMapping(references.value))
    throw new ConfigError(tidy([...problems, ...noMapping(document, file)], references, file));
  const parsed = configSchema(options.stepKinds).safeParse(references.value);
  const recordSteps = options.stepKinds.filter((kind) => kind.needsRecord === true).map(({ name }) => name);
  const crossChecked = crossCheck(references.value, document, file, recordSteps);
  const network = await readNetwork(references, document, { file, baseDirectory, env: options.env, readFile });
  problems.push(...crossChecked.problems, ...network.problems);
  if (!parsed.success) {
    const known = knownKeys(configJsonSchema(options.stepKinds));
    problems.push(...schemaProblems(parsed.error.issues, { file, document, ...references, known }));
  }
  if (!parsed.success || problems.length > 0) {
    problems.push(...(await stepProblems(file, baseDirectory, references.value, document, options.stepKinds)));
    throw new ConfigError(tidy(problems, references, file));
  }
  const warnings = tidy([...references.warnings, ...crossChecked.warnings, ...network.warnings], references, file);
  const recoveryKeyFile = references.files.get(pathKey(["account", "recovery_key"])) ?? null;
  return completeConfig(parsed.data, {
    file,
    baseDirectory,
    document,
    network: network.settings,
    recoveryKeyFile,
    warnings,
  });
}

/** A document that is no mapping at all is one problem, not one for each key; none if what it was could not be read. */
function noMapping({ value, problems }: LocatedYaml, file: string): ConfigProblem[] {
  if (problems.length > 0) return [];
  const found = value === undefined || value === null ? "nothing" : Array.isArray(value) ? "a list" : "a single value";
  const message = `found ${found} at the top level, expected a mapping with the keys homeserver and account`;
  return [{ file, line: 1, column: 1, path: "", message, hint: "config.sample.yaml shows all keys." }];
}

function isMapping(value: YamlValue | undefined): value is { [key: string]: YamlValue } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

async function stepProblems(
  file: string,
  baseDirectory: string,
  value: YamlValue | undefined,
  document: LocatedYaml,
  stepKinds: readonly StepKindSchema[],
): Promise<ConfigProblem[]> {
  const problems: ConfigProblem[] = [];
  const schema = stepSchema(stepKinds);
  const handlers = valueAt(value, "handlers");
  for (const [handler, entry] of (Array.isArray(handlers) ? handlers : []).entries()) {
    const steps = valueAt(entry, "steps");
    for (const [index, raw] of (Array.isArray(steps) ? steps : []).entries()) {
      const parsed = schema.safeParse(raw);
      if (!parsed.success || document.isLost(["handlers", handler, "steps", index])) continue;
      const step = locatedStep(parsed.data, handler, index, document);
      const outcome = await prepareStep({ file, baseDirectory }, step, stepKinds);
      if ("problem" in outcome) problems.push(outcome.problem);
    }
  }
  return problems;
}

/** In the order of the file, each once, none with a secret in it. */
function tidy(
  problems: readonly ConfigProblem[],
  { secrets, value }: ResolvedReferences,
  file: string,
): ConfigProblem[] {
  const written = [
    ...["token", "password", "recovery_key"].map((key) => valueAt(value, "account", key)),
    valueAt(value, "network", "proxy"),
  ];
  const hidden = [...secrets, ...written.filter((one) => typeof one === "string")].filter(
    (secret) => secret.length >= 6,
  );
  const clean = (text: string): string => hidden.reduce((shown, secret) => shown.replaceAll(secret, "[secret]"), text);
  const byPlace = new Map<string, ConfigProblem>();
  for (const problem of problems) {
    const shown = {
      ...problem,
      message: clean(problem.message),
      ...(problem.hint === undefined ? {} : { hint: clean(problem.hint) }),
    };
    byPlace.set(`${shown.line}:${shown.column}:${shown.path}:${shown.message}`, shown);
  }
  const sorted = [...byPlace.values()].sort(
    (left, right) => (left.line ?? 0) - (right.line ?? 0) || (left.column ?? 0) - (right.column ?? 0),
  );
  if (sorted.length <= MOST_PROBLEMS) return sorted;
  const message = `${sorted.length - MOST_PROBLEMS} more problems are not shown`;
  return [...sorted.slice(0, MOST_PROBLEMS), { file, line: null, column: null, path: "", message }];
}
