/**
 * Values from elsewhere: `${env:NAME}` and `${file:PATH}`, each the whole of a value. What they bring in is a secret: it is
 * remembered here so that no message shows it.
 */
import { resolve } from "node:path";
import type { ConfigProblem } from "../errors.ts";
import { readText, type FileReader } from "./configFiles.ts";
import type { LocatedYaml, YamlValue } from "./locatedYaml.ts";
import { formatPath, pathKey, type YamlPath } from "./yamlPath.ts";

export interface ResolvedReferences {
  readonly value: YamlValue | undefined;
  /** Keys (`pathKey`) of values that came from elsewhere. */
  readonly secretPaths: ReadonlySet<string>;
  /** Keys of values that could not be had; already reported. */
  readonly missingPaths: ReadonlySet<string>;
  readonly secrets: readonly string[];
  /** Absolute path of the file that a value was read from, or would have been, by key. */
  readonly files: ReadonlyMap<string, string>;
  readonly problems: readonly ConfigProblem[];
  readonly warnings: readonly ConfigProblem[];
}

export interface ReferenceSources {
  readonly file: string;
  readonly baseDirectory: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly readFile: FileReader;
}

/** Docket itself writes this file when there is none: its absence is no mistake, and the value is then left out. */
const MAY_BE_ABSENT: ReadonlySet<string> = new Set([pathKey(["account", "recovery_key"])]);
const LARGEST_SECRET_BYTES = 65_536;
const EXPECTED = "expected `${env:NAME}` or `${file:PATH}` as the whole value";

/** Replaces every reference in the document by what it stands for. Never throws. */
export async function resolveReferences(document: LocatedYaml, sources: ReferenceSources): Promise<ResolvedReferences> {
  const found = { secretPaths: new Set<string>(), missingPaths: new Set<string>(), secrets: [] as string[] };
  const files = new Map<string, string>();
  const problems: ConfigProblem[] = [];
  const warnings: ConfigProblem[] = [];

  const one = async (text: string, path: YamlPath): Promise<string | undefined> => {
    if (!/\$\{(env|file):|^\s*\$\{[^{}]*\}\s*$/.test(text)) return text;
    const say = (list: ConfigProblem[], message: string, hint?: string): void => {
      const { line, column } = document.placeOf(path);
      list.push({
        file: sources.file,
        line,
        column,
        path: formatPath(path),
        message,
        ...(hint === undefined ? {} : { hint }),
      });
    };
    found.secretPaths.add(pathKey(path));
    const result = await lookUp(text.trim(), sources);
    if (result.file !== undefined) files.set(pathKey(path), result.file);
    if (result.ok) {
      if (result.warning !== undefined) say(warnings, result.warning, "Let only the bot's account read it: chmod 600.");
      found.secrets.push(result.value);
      return result.value;
    }
    if (result.absent === true && MAY_BE_ABSENT.has(pathKey(path))) return undefined;
    found.missingPaths.add(pathKey(path));
    say(problems, result.message, result.hint);
    return text;
  };

  const walk = async (value: YamlValue, path: YamlPath): Promise<YamlValue | undefined> => {
    if (typeof value === "string") return one(value, path);
    if (value === null || typeof value !== "object") return value;
    if (Array.isArray(value)) {
      for (const [index, item] of value.entries()) value[index] = (await walkIfNeeded(item, [...path, index])) ?? null;
      return value;
    }
    for (const [key, item] of Object.entries(value)) {
      const resolved = await walkIfNeeded(item, [...path, key]);
      if (resolved === undefined) delete value[key];
      else value[key] = resolved;
    }
    return value;
  };
  /** Without an `await` for each of many thousand plain values. */
  const walkIfNeeded = (value: YamlValue, path: YamlPath): YamlValue | Promise<YamlValue | undefined> =>
    (typeof value === "string" && value.includes("${")) || (typeof value === "object" && value !== null)
      ? walk(value, path)
      : value;

  const value = document.value === undefined ? undefined : await walkIfNeeded(document.value, []);
  return { value, ...found, files, problems, warnings };
}

type LookUp =
  | { readonly ok: true; readonly value: string; readonly warning?: string; readonly file?: string }
  | {
      readonly ok: false;
      readonly message: string;
      readonly hint?: string;
      readonly file?: string;
      readonly absent?: boolean;
    };

async function lookUp(text: string, sources: ReferenceSources): Promise<LookUp> {
  const match = /^\$\{(env|file):([^{}]*)\}$/.exec(text);
  const name = match?.[2]?.trim() ?? "";
  if (match === null || name === "") return { ok: false, message: `found a text with \`\${...}\` in it, ${EXPECTED}` };
  return match[1] === "env" ? fromEnvironment(name, sources) : fromFile(name, sources);
}

function fromEnvironment(name: string, { env }: ReferenceSources): LookUp {
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(name)) {
    return { ok: false, message: "found `${env:...}` with something else than the name of an environment variable" };
  }
  const value = Object.hasOwn(env, name) ? env[name] : undefined;
  if (value === undefined) {
    return {
      ok: false,
      message: `the environment variable ${name} is not set, expected a value`,
      hint: `Set it where docket is started: ${name}=...`,
    };
  }
  if (value === "") return { ok: false, message: `the environment variable ${name} is empty, expected a value` };
  return { ok: true, value };
}

async function fromFile(name: string, { baseDirectory, readFile }: ReferenceSources): Promise<LookUp> {
  const path = resolve(baseDirectory, name);
  const file = await readText(readFile, path, LARGEST_SECRET_BYTES, `the file ${path}`);
  if (!file.ok) {
    const hint = name.startsWith("~")
      ? "`~` is not expanded; write the whole path."
      : "Paths are relative to the folder of the configuration file.";
    return { ok: false, message: file.message, hint, file: path, absent: file.absent && !name.startsWith("~") };
  }
  const value = file.text.replace(/\r?\n$/, "");
  if (value === "") return { ok: false, message: `the file ${path} is empty, expected a value`, file: path };
  const mountedByContainer = path.startsWith("/run/secrets/");
  return file.worldReadable && !mountedByContainer
    ? { ok: true, value, file: path, warning: `the file ${path} can be read by every account on this machine` }
    : { ok: true, value, file: path };
}
