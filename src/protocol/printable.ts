/**
 * Words of strangers on a terminal: identifiers, types and messages come from other people, and a terminal obeys some characters.
 * Guarantees: what is returned has no control character and none that changes the direction of writing. Pure.
 */

/** Text for people: each character that steers a terminal is replaced. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu, "\u{fffd}");
}

/** The same for a text of several lines: their ends stay. */
export function printableLines(text: string): string {
  return text.split("\n").map(printable).join("\n");
}

/** JSON for programs: what steers a terminal is escaped, and reads back the same. */
export function printableJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(
    /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
