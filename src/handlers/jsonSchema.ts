/**
 * An operator's JSON Schema (2020-12), compiled once. A schema that is broken, or that would silently check less than it says, is
 * refused when it is compiled. Nothing is fetched: what a schema refers to must stand in the same file. Checking is bounded in
 * time, because a pattern can be written so that some texts keep it busy for hours, and others choose the text.
 */
import { readFile } from "node:fs/promises";
import { Script, createContext } from "node:vm";
import { Ajv2020, MissingRefError, type ErrorObject } from "ajv/dist/2020.js";
import ajvFormats from "ajv-formats";
import { isJsonObject, type JsonObject, type JsonValue } from "../protocol/json.ts";

export interface CompiledSchema {
  /** Property names that the schema itself mentions. Any other name in a content is the sender's data. */
  readonly names: ReadonlySet<string>;
  /**
   * What is wrong with a value; empty where nothing is.
   * @throws CheckTookTooLong; RangeError where a schema that refers to itself meets a value nested thousands deep; TypeError
   *   where ajv compares objects that have a property called `valueOf` or `toString`
   */
  check(value: JsonValue): readonly ErrorObject[];
}

/** The schema has a pattern or a rule that this value keeps busy. Nothing is known about the value then. */
export class CheckTookTooLong extends Error {
  readonly code = "SCHEMA_CHECK_TOOK_TOO_LONG";
}

/** A content has 64 KiB at most, which takes a few milliseconds; the rest is for a busy machine. Nothing else runs meanwhile. */
const longestCheckMs = 250;

/**
 * @param file absolute path
 * @throws Error naming the file and what is wrong with it
 */
export async function loadSchema(file: string): Promise<CompiledSchema> {
  const wrong = (what: string, cause?: unknown): Error => new Error(`the schema ${file} ${what}`, { cause });

  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown error";
    throw wrong(unreadable[code] ?? `can't be read (${code})`, error);
  }
  let schema: JsonValue;
  try {
    schema = JSON.parse(text.replace(/^\uFEFF/, "")) as JsonValue;
  } catch (error) {
    throw wrong(`is not valid JSON: ${error instanceof Error ? error.message : "it can't be parsed"}`, error);
  }
  if (!isJsonObject(schema)) throw wrong("must be a JSON object");
  return compile(schema, wrong);
}

const unreadable: Readonly<Record<string, string>> = {
  ENOENT: "does not exist",
  EACCES: "can't be read: permission denied",
  EPERM: "can't be read: permission denied",
  EISDIR: "is a folder, not a file",
};

const dialect = "https://json-schema.org/draft/2020-12/schema";

function compile(schema: JsonObject, wrong: (what: string, cause?: unknown) => Error): CompiledSchema {
  const declared = schema["$schema"];
  if (declared !== undefined && declared !== dialect && declared !== `${dialect}#`)
    throw wrong(`must be written for JSON Schema 2020-12: $schema must be "${dialect}", or left out`);
  if (schema["$async"] !== undefined) throw wrong("must not use $async");

  // Unknown keywords and formats are errors: a schema with a misspelt keyword would check less than it says. The checks on style
  // are off. `verbose` puts the schema beside each error, for the message.
  const ajv = new Ajv2020({
    allErrors: true,
    verbose: true,
    strict: true,
    strictTypes: false,
    strictTuples: false,
    strictRequired: false,
    logger: false,
  });
  ajvFormats.default(ajv);
  const facts = survey(schema);
  for (const keyword of facts.annotations) ajv.addKeyword(keyword);

  try {
    const validate = ajv.compile(schema);
    const runBounded = boundedRunner();
    return {
      names: facts.names,
      check: (value) => {
        let errors: readonly ErrorObject[] = [];
        runBounded(() => {
          errors = validate(value) ? [] : (validate.errors ?? []);
        });
        return errors;
      },
    };
  } catch (error) {
    if (error instanceof MissingRefError)
      throw wrong(
        `refers to ${error.missingRef}, which is not in it: references to other files or addresses are not followed`,
        error,
      );
    throw wrong(
      `is not a usable JSON Schema: ${error instanceof Error ? error.message : "it can't be compiled"}`,
      error,
    );
  }
}

/** Property names that the schema mentions, and its annotations (`x-...`, reserved for that by JSON Schema). */
function survey(schema: JsonObject): {
  readonly names: ReadonlySet<string>;
  readonly annotations: ReadonlySet<string>;
} {
  const names = new Set<string>();
  const annotations = new Set<string>(["example", "markdownDescription"]);
  const visit = (value: JsonValue): void => {
    if (Array.isArray(value)) value.forEach(visit);
    if (!isJsonObject(value)) return;
    for (const [key, inner] of Object.entries(value)) {
      if (key.startsWith("x-")) annotations.add(key);
      if (["properties", "dependentRequired", "dependentSchemas"].includes(key) && isJsonObject(inner))
        for (const name of Object.keys(inner)) names.add(name);
      for (const list of key === "required" ? [inner] : key === "dependentRequired" ? Object.values(inner ?? {}) : [])
        if (Array.isArray(list)) for (const name of list) if (typeof name === "string") names.add(name);
      visit(inner);
    }
  };
  visit(schema);
  return { names, annotations };
}

const script = new Script("work()");

/**
 * Runs synchronous work, and stops it when it takes too long: a regular expression that backtracks can't be stopped from
 * JavaScript, but V8 can be told to.
 */
function boundedRunner(): (work: () => void) => void {
  const sandbox = createContext({});
  return (work) => {
    sandbox["work"] = work;
    try {
      script.runInContext(sandbox, { timeout: longestCheckMs });
    } catch (error) {
      // Not `instanceof Error`: it comes from another realm.
      if ((error as { code?: unknown }).code !== "ERR_SCRIPT_EXECUTION_TIMEOUT") throw error;
      throw new CheckTookTooLong(`checking took longer than ${longestCheckMs} ms`, { cause: error });
    } finally {
      delete sandbox["work"];
    }
  };
}
