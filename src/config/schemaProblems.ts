/**
 * What the schema found wrong, told with its place, what was found and what is expected. A value that is or may be a secret is
 * never shown, only its type.
 */
import type { z } from "zod";
import type { ConfigProblem } from "../errors.ts";
import type { KnownKeys } from "./knownKeys.ts";
import type { LeafParams } from "./leaves.ts";
import type { LocatedYaml, YamlValue } from "./locatedYaml.ts";
import { closest } from "./nearest.ts";
import { formatPath, pathKey, showKey, showText, type YamlPath } from "./yamlPath.ts";

export interface ProblemContext {
  readonly file: string;
  readonly document: LocatedYaml;
  /** After references were resolved. */
  readonly value: YamlValue | undefined;
  readonly secretPaths: ReadonlySet<string>;
  readonly missingPaths: ReadonlySet<string>;
  readonly known: KnownKeys;
}

/** `$ZodIssue`, with the parts that differ by code left open. */
interface Issue {
  readonly code?: string | undefined;
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly expected?: unknown;
  readonly origin?: unknown;
  readonly minimum?: unknown;
  readonly maximum?: unknown;
  readonly keys?: readonly string[];
  readonly values?: readonly unknown[];
  readonly params?: unknown;
  readonly errors?: readonly (readonly Issue[])[];
}

interface Told {
  readonly path: YamlPath;
  readonly message: string;
  readonly hint?: string | undefined;
  /** Point at the key, not at its value. */
  readonly atKey?: boolean;
}

/** @param issues what `safeParse` returned for the whole document */
export function schemaProblems(issues: readonly z.core.$ZodIssue[], context: ProblemContext): ConfigProblem[] {
  const flat = (issues as readonly Issue[]).flatMap(flatten);
  const renamed = new Set<string>();
  for (const issue of flat) {
    for (const key of issue.keys ?? []) {
      const meant = closest(key, context.known.at(toPath(issue.path)));
      if (meant !== null) renamed.add(pathKey([...toPath(issue.path), meant]));
    }
  }
  return flat.flatMap((issue) => tell(issue, context, renamed)).map((told) => locate(told, context));
}

/** Of a union's branches the one that got furthest is what was meant. */
function flatten(issue: Issue): Issue[] {
  if (issue.code !== "invalid_union" || issue.errors === undefined || issue.errors.length === 0) return [issue];
  const rank = (branch: readonly Issue[]): number =>
    branch.some((inner) => inner.path.length === 0 && inner.code === "invalid_type") ? 1 : 0;
  const best = issue.errors.toSorted((left, right) => rank(left) - rank(right))[0] ?? [];
  if (rank(best) === 1) {
    const types = issue.errors.map((branch) => typeName(branch[0]?.expected)).filter((name) => name !== null);
    return [
      {
        code: "custom",
        path: issue.path,
        message: [...new Set(types)].join(" or "),
        params: { expectation: true, secret: true },
      },
    ];
  }
  return best.flatMap((inner) => flatten({ ...inner, path: [...issue.path, ...inner.path] }));
}

function tell(issue: Issue, context: ProblemContext, renamed: ReadonlySet<string>): Told[] {
  const path = toPath(issue.path);
  if (context.document.isLost(path) || context.missingPaths.has(pathKey(path))) return [];
  if (issue.code === "unrecognized_keys") return (issue.keys ?? []).map((key) => unknownKey(path, key, context));

  const found = valueAt(context.value, path);
  const params = issue.params as Partial<LeafParams> | undefined;
  const expected = expectation(issue, path, context);
  if (found === undefined) {
    const key = path.at(-1);
    if (renamed.has(pathKey(path)) || (typeof key === "string" && context.document.lostKeys.has(key))) return [];
    return [{ path, message: `is missing, expected ${expected}`, hint: undefined }];
  }
  const hint = params?.hint ?? hintFor(found, issue, path, context);
  return [{ path, message: `found ${describe(found, isSecret(path, issue, context))}, expected ${expected}`, hint }];
}

function expectation(issue: Issue, path: YamlPath, context: ProblemContext): string {
  if ((issue.params as Partial<LeafParams> | undefined)?.expectation === true) return issue.message;
  if (issue.code === "invalid_type" && issue.expected === "object") {
    const keys = context.known.at(path);
    return keys.length === 0
      ? "a mapping"
      : `a mapping with ${keys.length === 1 ? "the key" : "some of the keys"} ${keys.join(", ")}`;
  }
  if (issue.code === "invalid_type") return typeName(issue.expected) ?? `something else: ${issue.message}`;
  if (issue.code === "invalid_value") return `one of ${(issue.values ?? []).map(String).join(", ")}`;
  if (issue.code === "too_small") return `at least ${amount(issue.minimum, issue.origin)}`;
  if (issue.code === "too_big") return `at most ${amount(issue.maximum, issue.origin)}`;
  return `something else: ${issue.message}`;
}

function amount(limit: unknown, origin: unknown): string {
  const units: Readonly<Record<string, string>> = { string: "character", array: "item" };
  const unit = units[String(origin)];
  return unit === undefined ? String(limit) : `${String(limit)} ${unit}${Number(limit) === 1 ? "" : "s"}`;
}

function hintFor(found: YamlValue, issue: Issue, path: YamlPath, context: ProblemContext): string | undefined {
  if (context.secretPaths.has(pathKey(path)) && issue.expected !== "string")
    return "A value from `${...}` is always text.";
  if (found === null) return "There is nothing after the colon: give it a value, or remove the line.";
  if (issue.code === "invalid_value" && typeof found === "string") {
    const near = closest(found, (issue.values ?? []).map(String));
    return near === null ? undefined : `Did you mean ${near}?`;
  }
  if (issue.expected === "array" && typeof found === "string")
    return "Write it as a list: [ ... ], or `- ...` on lines of their own.";
  if (issue.expected === "object" && typeof found === "string")
    return "Keys stand on lines of their own, indented, each with a colon and a space after it.";
  if (issue.expected === "boolean") return "Write true or false.";
  if (issue.expected === "string" && typeof found !== "object") return "Put it in quotes.";
  return undefined;
}

function unknownKey(parent: YamlPath, key: string, context: ProblemContext): Told {
  const path = [...parent, key];
  const siblings = context.known.at(parent);
  const name = showKey(key);
  const message = `found the unknown key ${name === key ? `\`${key}\`` : "(not shown)"}, expected ${siblings.length === 0 ? "none" : `one of ${siblings.join(", ")}`}`;
  const near = closest(key, siblings);
  if (near !== null) return { path, message, hint: `Did you mean \`${near}\`?`, atKey: true };
  const beforeColon = /^([a-z_]+):/.exec(key)?.[1];
  if (beforeColon !== undefined && siblings.includes(beforeColon))
    return { path, message, hint: "Put a space after the colon.", atKey: true };
  const places = context.known.elsewhere(key);
  if (places.length > 0)
    return { path, message, hint: `It belongs at ${places.map((place) => `\`${place}\``).join(" or ")}.`, atKey: true };
  const anywhere = closest(key, [...new Set(context.known.paths.map((known) => known.split(".").at(-1) ?? ""))]);
  const where = anywhere === null ? [] : context.known.elsewhere(anywhere);
  return { path, message, hint: where[0] === undefined ? undefined : `Did you mean \`${where[0]}\`?`, atKey: true };
}

function locate(told: Told, { file, document }: ProblemContext): ConfigProblem {
  const { line, column } = told.atKey === true ? document.keyPlaceOf(told.path) : document.placeOf(told.path);
  return {
    file,
    line,
    column,
    path: formatPath(told.path),
    message: told.message,
    ...(told.hint === undefined ? {} : { hint: told.hint }),
  };
}

/** Values in a place whose key sounds like a secret, or that came from elsewhere, or whose leaf says so. */
function isSecret(path: YamlPath, issue: Issue, context: ProblemContext): boolean {
  if ((issue.params as Partial<LeafParams> | undefined)?.secret === true) return true;
  // `account: token:abc` is text where a mapping belongs.
  if (issue.expected === "object") return true;
  if (
    path.some(
      (part) => typeof part === "string" && /token|secret|password|passphrase|key$|^url$|credential/i.test(part),
    )
  )
    return true;
  return path.some((_part, index) => context.secretPaths.has(pathKey(path.slice(0, index + 1))));
}

/** How Synapse and the Matrix Authentication Service begin their tokens: one may have been put into the wrong place. */
const LOOKS_LIKE_A_TOKEN = /\b(syt|syr|syl|mat|mar|mct|mcr)_/;

function describe(found: YamlValue, secret: boolean): string {
  if (found === null) return "nothing";
  if (Array.isArray(found)) return found.length === 0 ? "an empty list" : "a list";
  if (typeof found === "object") return "a mapping";
  const type = typeof found === "string" ? "text" : typeof found === "boolean" ? "true or false" : "a number";
  if (secret) return found === "" ? "empty text" : type;
  if (typeof found !== "string") return String(found);
  return LOOKS_LIKE_A_TOKEN.test(found) ? "text" : showText(found);
}

function typeName(expected: unknown): string | null {
  const names: Readonly<Record<string, string>> = {
    string: "text",
    number: "a number",
    int: "a whole number",
    boolean: "true or false",
    array: "a list",
    object: "a mapping",
    null: "nothing",
    record: "a mapping",
  };
  return typeof expected === "string" ? (names[expected] ?? null) : null;
}

function toPath(path: readonly PropertyKey[]): YamlPath {
  return path.map((part) => (typeof part === "number" ? part : String(part)));
}

function valueAt(value: YamlValue | undefined, path: YamlPath): YamlValue | undefined {
  let current = value;
  for (const part of path) {
    if (typeof current !== "object" || current === null) return undefined;
    current = Array.isArray(current) ? (typeof part === "number" ? current[part] : undefined) : current[String(part)];
  }
  return current;
}
