/** Places in the configuration: a path of keys and indexes, and how it is shown to people. */

export type YamlPath = readonly (string | number)[];

/** A key for maps and sets: two paths are equal when their keys are. */
export function pathKey(path: YamlPath): string {
  return JSON.stringify(path);
}

/** @returns `handlers[0].steps[1].validate`; empty for the whole document */
export function formatPath(path: YamlPath): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else text += text === "" ? showKey(part) : `.${showKey(part)}`;
  }
  return text;
}

/**
 * A key as a message may show it. What does not look like a configuration key may be a value in the wrong place, even a secret
 * (`{token:abc}` makes `token:abc` a key), so it is not shown.
 */
export function showKey(key: string): string {
  if (/^[A-Za-z][A-Za-z_-]{0,31}$/.test(key)) return key;
  const beforeColon = /^([a-z_]{1,32}):/.exec(key)?.[1];
  return beforeColon === undefined ? "(unprintable key)" : `${beforeColon}:…`;
}

/** A value of the configuration as a message may show it: short, on one line, without control characters. */
export function showText(text: string): string {
  const short = text.length > 60 ? `${text.slice(0, 57)}…` : text;
  return JSON.stringify(short).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "�");
}
