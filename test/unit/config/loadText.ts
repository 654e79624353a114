/** Loads a configuration from a text, with files and environment that exist only in the test. */
import { resolve } from "node:path";
import { z } from "zod";
import type { Config } from "../../../src/config/config.ts";
import type { FileReader } from "../../../src/config/configFiles.ts";
import { loadConfig } from "../../../src/config/loadConfig.ts";
import type { StepKindSchema } from "../../../src/config/stepKindSchema.ts";
import { ConfigError, type ConfigProblem } from "../../../src/errors.ts";

export const testSteps: readonly StepKindSchema<string>[] = [
  {
    name: "archive",
    needsRecord: true,
    description: "Needs no options.",
    options: z.never({ error: "archive takes no options" }).optional(),
    prepare: async () => "archive",
  },
  {
    name: "validate",
    description: "Needs a path.",
    options: z.union([
      z.string(),
      z.strictObject({ schema: z.string(), max_messages: z.int().min(1).max(50).default(5) }),
    ]),
    prepare: async (options, baseDirectory) => {
      if (typeof options !== "string") return "validate";
      if (options.includes("broken")) throw new Error(`the schema ${resolve(baseDirectory, options)} is not JSON`);
      return resolve(baseDirectory, options);
    },
  },
  {
    name: "webhook",
    description: "Has a secret among its options.",
    options: z.strictObject({
      url: z.string().startsWith("https://"),
      secret: z.string().min(20),
      retries: z.number().optional(),
    }),
    prepare: async () => "webhook",
  },
];

export interface World {
  readonly env?: Readonly<Record<string, string>>;
  /** By absolute path, beside `/etc/docket/config.yaml`. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  readonly worldReadable?: boolean;
}

const file = "/etc/docket/config.yaml";

export function loadText(text: string | Uint8Array, world: World = {}): Promise<Config> {
  const files: Record<string, string | Uint8Array> = { ...world.files, [file]: text };
  const readFile: FileReader = async (path) => {
    const content = files[path];
    if (content === undefined) throw Object.assign(new Error("no such file"), { code: "ENOENT" });
    return { bytes: Buffer.from(content), worldReadable: world.worldReadable ?? false };
  };
  return loadConfig(file, { stepKinds: testSteps, env: world.env ?? {}, readFile });
}

/** The problems of a configuration that has some; fails when it loads. */
export async function problemsOf(text: string | Uint8Array, world: World = {}): Promise<readonly ConfigProblem[]> {
  try {
    await loadText(text, world);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error("the configuration was accepted");
}

/** `LINE:COLUMN PATH`, for comparing where problems are. */
export function places(problems: readonly ConfigProblem[]): string[] {
  return problems.map(({ line, column, path }) => `${line}:${column} ${path}`.trim());
}

export const smallest = `homeserver: https://matrix.example.org
account:
  user: "@docket:example.org"
  token: syt_a_good_token
`;
