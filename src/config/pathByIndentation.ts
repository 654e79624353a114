/** The path of a place in text that is not valid YAML, told from its indentation: as good a guess as a reader's. */
import { formatPath } from "./yamlPath.ts";

/** The beginning of a line: indentation, the dashes of list items, and the key if there is one. */
const ENTRY = /^( *)((?:- +|-$)*)(?:"?([A-Za-z_]+)"?\s*:(?:\s|$))?/;
/** A file with mistakes may also be large. */
const MOST_LINES = 5_000;

/** @returns a path such as `account.token`; empty where there is none to be seen */
export function pathByIndentation(text: string, offset: number): string {
  const lineStart = text.lastIndexOf("\n", offset - 1) + 1;
  const endOfLine = text.indexOf("\n", offset);
  const line = text.slice(lineStart, endOfLine === -1 ? text.length : endOfLine);
  const above = text.slice(0, lineStart).split("\n").slice(0, -1).slice(-MOST_LINES).reverse();

  const path: (string | number)[] = [];
  const inner = keyInBraces(line.slice(0, offset - lineStart));
  if (inner !== null) path.unshift(inner);

  // Going up, a key or dash is an ancestor when it stands further left than all that was found below it.
  const { indentation, dashes, key } = entry(line);
  let keyLimit = dashes.length === 0 && key === undefined ? indentation : Infinity;
  let dashLimit = keyLimit;
  let list: { column: number; items: number } | null = null;
  const closeList = (): void => {
    if (list !== null) path.unshift(list.items);
    list = null;
  };
  for (const each of [line, ...above]) {
    if (/^\s*(#|$)/.test(each)) continue;
    const found = entry(each);
    const column = found.indentation + found.width;
    if (found.key !== undefined && column < keyLimit) {
      closeList();
      path.unshift(found.key);
      keyLimit = column;
      dashLimit = column;
    }
    for (const dash of found.dashes.toReversed()) {
      if (list !== null && (list as { column: number }).column === dash) (list as { items: number }).items += 1;
      else if (dash < dashLimit) {
        closeList();
        list = { column: dash, items: 0 };
        // A list may begin in the same column as the key that it belongs to.
        keyLimit = dash + 1;
        dashLimit = dash;
      }
    }
    if (keyLimit === 0) break;
  }
  closeList();
  return formatPath(path);
}

/** @param before a line up to the place in question */
function keyInBraces(before: string): string | null {
  const open = before.lastIndexOf(
    "{",
    before.endsWith("${") || before.endsWith("$") ? before.lastIndexOf("$") - 1 : undefined,
  );
  if (open === -1) return null;
  return [...before.slice(open + 1).matchAll(/(?:^|[,\s])"?([A-Za-z_]+)"?\s*:\s/g)].at(-1)?.[1] ?? null;
}

function entry(line: string): { indentation: number; width: number; dashes: number[]; key: string | undefined } {
  const [, spaces = "", items = "", key] = ENTRY.exec(line) ?? [];
  const dashes = [...items.matchAll(/-/g)].map((dash) => spaces.length + dash.index);
  return { indentation: spaces.length, width: items.length, dashes, key };
}
