/** Looks for secrets in what was written: a whole log, an error, an answer. */

/** Names a secret without showing it: a failing test must not leak it either. */
export interface Secret {
  readonly what: string;
  readonly value: string;
}

/** The ways in which a text may be written down: base64 depends on how many bytes stand before it. */
function spellings(value: string): string[] {
  const bytes = Buffer.from(value);
  const base64 = [0, 1, 2].flatMap((before) => {
    const padded = Buffer.concat([Buffer.alloc(before), bytes]);
    const [from, to] = [Math.ceil((before * 8) / 6), Math.floor((padded.length * 8) / 6)];
    return [padded.toString("base64").slice(from, to), padded.toString("base64url").slice(from, to)];
  });
  return [value, JSON.stringify(value).slice(1, -1), encodeURIComponent(value), bytes.toString("hex"), ...base64];
}

/** @returns what the text gives away, as it is or in base64, hex or percent-encoded */
export function leaks(text: string, secrets: readonly Secret[]): string[] {
  return secrets
    .filter(({ value }) => spellings(value).some((spelling) => text.includes(spelling)))
    .map(({ what }) => what);
}
