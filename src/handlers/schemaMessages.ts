/**
 * What a schema found, said for people: where, and what is expected there. Never what was found: it may be a patient's. That
 * includes the names of properties that the schema does not mention itself (a name or a number used as a key); a path shows
 * `*` in their place.
 */
import type { ErrorObject } from "ajv/dist/2020.js";
import { isJsonObject, type JsonObject, type JsonValue } from "../protocol/json.ts";

/**
 * @param errors as ajv reports them, with `verbose`
 * @param content what was checked: only to tell list indexes from property names
 * @param names property names that the schema mentions
 * @param most at most so many messages, and one more that counts the rest
 */
export function describeErrors(
  errors: readonly ErrorObject[],
  content: JsonValue,
  names: ReadonlySet<string>,
  most: number,
): readonly string[] {
  // Several errors at one place often say the same: a wrong type and a limit that it misses, two properties too many.
  const texts = new Set<string>();
  for (const error of errors) {
    const text = describe(error, content, names);
    if (text !== null) texts.add(text);
  }
  const all = [...texts];
  if (all.length === 0) return ["the content does not match the schema"];
  const more = all.length - most;
  return more > 0 ? [...all.slice(0, most), `and ${more} more`] : all;
}

function describe(error: ErrorObject, content: JsonValue, names: ReadonlySet<string>): string | null {
  const segments = pathSegments(error.instancePath, content, names);
  const at = segments.length === 0 ? "the content" : pathText(segments);
  const rule = error.schema as JsonValue | undefined;
  const parent = isJsonObject(error.parentSchema) ? error.parentSchema : {};
  // What is wrong with a property's name; `propertyNames` itself follows.
  if (error.propertyName !== undefined) return null;
  switch (error.keyword) {
    case "required":
    case "dependentRequired":
      return `${pathText([...segments, segment(String(error.params["missingProperty"]))])} is missing`;
    case "type":
    case "minimum":
    case "maximum":
    case "exclusiveMinimum":
    case "exclusiveMaximum":
      return `${at} must be ${kindOfValue(parent)}`;
    case "multipleOf":
      return `${at} must be a multiple of ${shown(rule)}`;
    case "minLength":
      return `${at} must have at least ${counted(rule, "character")}`;
    case "maxLength":
      return `${at} must have at most ${counted(rule, "character")}`;
    case "pattern":
      return `${at} must match the pattern ${shown(rule)}`;
    case "format":
      return `${at} must have the format ${shown(rule)}`;
    case "enum":
      return `${at} must be ${oneOf(rule)}`;
    case "const":
      return `${at} must be ${shown(rule)}`;
    case "minItems":
      return `${at} must have at least ${counted(rule, "item")}`;
    case "maxItems":
      return `${at} must have at most ${counted(rule, "item")}`;
    case "items":
    case "unevaluatedItems":
      return `${at} has more items than allowed`;
    case "uniqueItems":
      return `${at} must not have the same item twice`;
    case "contains":
      return `${at} has too few or too many items of the kind that is expected`;
    case "minProperties":
      return `${at} must have at least ${counted(rule, "property", "properties")}`;
    case "maxProperties":
      return `${at} must have at most ${counted(rule, "property", "properties")}`;
    case "additionalProperties":
    case "unevaluatedProperties":
      return `${at} has a property that is not allowed`;
    case "propertyNames":
      return `${at} has a property whose name is not allowed`;
    case "false schema":
      return `${at} is not allowed`;
    case "not":
      return `${at} has a form that is not allowed`;
    case "anyOf":
      return `${at} must have one of the ${Array.isArray(rule) ? rule.length : ""} allowed forms`;
    case "oneOf":
      return `${at} must have exactly one of the ${Array.isArray(rule) ? rule.length : ""} allowed forms`;
    case "if":
      // What `then` or `else` found wrong is reported for itself.
      return null;
    default:
      return `${at} does not follow the schema's rule "${error.keyword}"`;
  }
}

/** From a JSON pointer into the content: `.place`, `["de.divi.report"]`, `[3]`, or `.*` for a name that is the sender's. */
function pathSegments(pointer: string, content: JsonValue, names: ReadonlySet<string>): readonly string[] {
  const keys = pointer
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
  let here: JsonValue | undefined = content;
  return keys.map((key) => {
    const isList = Array.isArray(here);
    here = isList ? (here as readonly JsonValue[])[Number(key)] : isJsonObject(here) ? here[key] : undefined;
    if (isList) return `[${key}]`;
    return names.has(key) ? segment(key) : ".*";
  });
}

function pathText(segments: readonly string[]): string {
  return segments.join("").replace(/^\./, "");
}

function segment(name: string): string {
  return /^[\p{L}_$][\p{L}\p{N}_$-]*$/u.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`;
}

/** The type with its limits: `an integer ≥ 0 and ≤ 150`. */
function kindOfValue(rule: JsonObject): string {
  const types = [rule["type"]].flat().filter((type) => typeof type === "string");
  const kinds = types.map((type) => typeTexts[type] ?? `of type ${type}`).join(" or ");
  const limits = limitSigns.flatMap(([keyword, sign]) =>
    rule[keyword] === undefined ? [] : [`${sign} ${shown(rule[keyword])}`],
  );
  const applies = types.length === 0 || types.some((type) => type === "integer" || type === "number");
  return [kinds, applies ? limits.join(" and ") : ""].filter((part) => part !== "").join(" ");
}

const typeTexts: Readonly<Record<string, string>> = {
  string: "a string",
  integer: "an integer",
  number: "a number",
  boolean: "true or false",
  object: "an object",
  array: "a list",
  null: "null",
};

const limitSigns = [
  ["minimum", "≥"],
  ["exclusiveMinimum", ">"],
  ["maximum", "≤"],
  ["exclusiveMaximum", "<"],
] as const;

const longestShown = 100;
const mostChoices = 10;

/** A value from the schema, never from the content. */
function shown(value: JsonValue | undefined): string {
  const text = JSON.stringify(value) ?? "what the schema says";
  return text.length > longestShown ? `${text.slice(0, longestShown).toWellFormed()}…` : text;
}

function oneOf(rule: JsonValue | undefined): string {
  const choices: readonly JsonValue[] = Array.isArray(rule) ? rule : [];
  const listed = choices.slice(0, mostChoices).map(shown).join(", ");
  const more = choices.length - mostChoices;
  return more > 0 ? `one of ${listed} and ${more} more` : `one of ${listed}`;
}

function counted(rule: JsonValue | undefined, one: string, many = `${one}s`): string {
  return `${shown(rule)} ${rule === 1 ? one : many}`;
}
