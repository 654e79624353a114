/** Texts as extensible events carry them (MSC1767): a list of representations, of which Docket writes and prefers plain text. */
import { isJsonObject, type JsonObject, type JsonValue } from "./json.ts";

/** Names under which a text is found: stable, unstable (MSC1767), and the German health network's. */
const textKeys = ["m.text", "org.matrix.msc1767.text", "de.gematik.text"] as const;

/** The value of a text block with one plain-text representation. */
export function writeText(text: string): JsonValue {
  return [{ body: text }];
}

/**
 * The text in a message, under any of the names it goes by. Liberal: a list of representations, a single one, or a bare string.
 * @returns plain text where there is some, else the first representation; null where there is no text
 */
export function readText(message: JsonObject): string | null {
  for (const key of textKeys) {
    if (!Object.hasOwn(message, key)) continue;
    const text = readTextBlock(message[key]);
    if (text !== null) return text;
  }
  return null;
}

function readTextBlock(value: JsonValue | undefined): string | null {
  if (typeof value === "string") return value;
  const representations: readonly JsonValue[] = Array.isArray(value) ? value : value === undefined ? [] : [value];
  let first: string | null = null;
  for (const representation of representations) {
    if (!isJsonObject(representation)) continue;
    const { body, mimetype } = representation;
    if (typeof body !== "string") continue;
    if (mimetype === undefined || mimetype === "text/plain") return body;
    first ??= body;
  }
  return first;
}

/**
 * Cuts a text to at most `maxBytes` bytes as it stands in JSON (UTF-8, escapes included), never inside a character, and makes
 * it well-formed: servers refuse half of a surrogate pair. A cut text ends with an ellipsis.
 * @param maxBytes at least 3, the size of the ellipsis
 */
export function boundText(text: string, maxBytes: number): string {
  // A character takes at least one byte in JSON, so what is beyond this can't fit; it bounds the work on a huge text.
  const wellFormed = text.slice(0, maxBytes + 1).toWellFormed();
  if (jsonBytes(wellFormed) <= maxBytes) return wellFormed;
  const room = maxBytes - jsonBytes(ellipsis);
  let used = 0;
  let end = 0;
  let fits = 0;
  for (const character of wellFormed) {
    used += jsonBytes(character);
    end += character.length;
    if (used > room) break;
    fits = end;
  }
  return wellFormed.slice(0, fits) + ellipsis;
}

const ellipsis = "…";
const encoder = new TextEncoder();

/** Bytes of a string inside a JSON document, without the quotes. */
function jsonBytes(text: string): number {
  return encoder.encode(JSON.stringify(text)).length - 2;
}
