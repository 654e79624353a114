/**
 * YAML syntax, read so that one mistake does not hide the rest: each error that makes the parser lose its place is reported once,
 * blanked out (same length, so that every later line and column stays true), and the text is parsed again.
 * No message quotes the text: a secret may stand in it.
 */
import { LineCounter, isScalar, parseDocument, visit, type Document, type YAMLError } from "yaml";
import type { ConfigProblem } from "../errors.ts";
import { pathByIndentation } from "./pathByIndentation.ts";

export interface Place {
  /** Both counted from 1. */
  readonly line: number;
  readonly column: number;
}

export interface ParsedYaml {
  readonly document: Document.Parsed;
  /** Line and column in the source of an offset in the document. */
  readonly placeOf: (offset: number) => Place;
  readonly problems: readonly Omit<ConfigProblem, "file">[];
  /** Keys that stood in what was blanked out: nobody should be told that they are missing. */
  readonly lostKeys: ReadonlySet<string>;
  /** Offsets of values that were blanked out: their value is unknown and already complained about. */
  readonly lostValues: ReadonlySet<number>;
}

/** Parsing takes time that grows with the text; a file with more mistakes than this is shown the first ones. */
const MOST_REPAIRS = 25;
const MOST_PROBLEMS = 100;
const BLANK = "_";
const REFERENCE = /\$\{[^{}\n]*\}/g;

/** After these the parser has lost its place, or has read the following lines as something that they are not. */
const LOSES_ITS_PLACE: ReadonlySet<string> = new Set([
  "UNEXPECTED_TOKEN",
  "MISSING_CHAR",
  "BAD_INDENT",
  "MULTILINE_IMPLICIT_KEY",
  "BLOCK_AS_IMPLICIT_KEY",
  "BLOCK_IN_FLOW",
  "BAD_DIRECTIVE",
  "BAD_DQ_ESCAPE",
  "IMPOSSIBLE",
]);

type Found = Omit<ConfigProblem, "file">;

export function parseYaml(source: string): ParsedYaml {
  const problems: Found[] = [];
  const lostKeys = new Set<string>();
  const lostValues = new Set<number>();
  const untabbed = withoutTabs(source, problems);
  const { placeOf } = untabbed;
  let text = untabbed.text;
  for (let repairs = 0; ; repairs += 1) {
    const document = parseDocument(text, {
      prettyErrors: false,
      uniqueKeys: false,
      resolveKnownTags: false,
      logLevel: "silent",
    });
    const errors = [...document.errors, ...document.warnings].sort((left, right) => left.pos[0] - right.pos[0]);
    const fatal = errors.find((error) => LOSES_ITS_PLACE.has(error.code));
    const mayRepair = repairs < MOST_REPAIRS && !errors.some((error) => error.code === "RESOURCE_EXHAUSTION");
    if (fatal === undefined || !mayRepair) {
      for (const error of errors.slice(0, MOST_PROBLEMS)) {
        problems.push(describe(error, error.pos[0], untabbed));
        if (error.code === "BAD_ALIAS") lostValues.add(error.pos[0]);
      }
      return { document, placeOf, problems, lostKeys, lostValues };
    }
    const offset = startOf(fatal, document, text);
    problems.push(describe(fatal, offset, { text: untabbed.text, placeOf }));
    text = blankOut(text, offset, lostKeys, lostValues);
  }
}

interface Untabbed {
  /** As many lines as the source, with spaces for the tabs that lines begin with. */
  readonly text: string;
  /** The place in the source of an offset in `text`. */
  readonly placeOf: (offset: number) => Place;
}

/** Tabs at the start of a line: the commonest mistake that a screen does not show. Reported once for the file. */
function withoutTabs(source: string, problems: Found[]): Untabbed {
  const width = Math.max(1, /^( +)\S/m.exec(source)?.[1]?.length ?? 2);
  const added = new Map<number, number>();
  const replaced = source.split("\n").map((line, index) => {
    const indentation = /^[ \t]*/.exec(line)?.[0] ?? "";
    if (!indentation.includes("\t") || /^[ \t]*(#|\r?$)/.test(line)) return line;
    const spaces = indentation.replaceAll("\t", " ".repeat(width));
    added.set(index + 1, spaces.length - indentation.length);
    return spaces + line.slice(indentation.length);
  });
  const text = replaced.join("\n");
  const lines = new LineCounter();
  for (let start = 0; start >= 0; start = text.indexOf("\n", start) + 1 || -1) lines.addNewLine(start);
  const placeOf = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col - (added.get(line) ?? 0), 1) };
  };
  const [first] = added.keys();
  if (first !== undefined) {
    const also = added.size === 1 ? "" : ` (and on ${added.size - 1} more lines)`;
    problems.push({
      line: first,
      column: 1,
      path: pathByIndentation(text, lines.lineStarts[first - 1] ?? 0),
      message: `found a tab as indentation${also}, expected spaces`,
      hint: "YAML does not allow tabs there; set your editor to insert two spaces.",
    });
  }
  return { text, placeOf };
}

/** Where the mistake began: for a quote or bracket that is never closed the parser complains at the end of the file. */
function startOf(error: YAMLError, document: Document.Parsed, text: string): number {
  const at = error.pos[0];
  let start = Math.min(at, Math.max(text.length - 1, 0));
  visit(document, {
    Node(_key, node) {
      if (node.range === null || node.range === undefined) return undefined;
      const [from, , to] = node.range;
      const unclosedQuote = isScalar(node) && (node.type === "QUOTE_DOUBLE" || node.type === "QUOTE_SINGLE");
      if (error.code === "MISSING_CHAR" && unclosedQuote && from < at && at <= to) start = from;
      const flow = "flow" in node && node.flow === true;
      if (error.code === "BAD_INDENT" && flow && from < at && at <= to + 1) start = from;
      return undefined;
    },
  });
  return start;
}

/** Takes the smallest piece out of the text that the mistake can be blamed on: a `${...}`, or a line with what is indented below it. */
function blankOut(text: string, offset: number, lostKeys: Set<string>, lostValues: Set<number>): string {
  const lineStart = text.lastIndexOf("\n", offset - 1) + 1;
  const lineEnd = endOfLine(text, offset);
  const line = text.slice(lineStart, lineEnd);
  for (const reference of line.matchAll(REFERENCE)) {
    const from = lineStart + reference.index;
    if (offset < from || offset > from + reference[0].length) continue;
    let repaired = line;
    for (const each of line.matchAll(REFERENCE)) {
      lostValues.add(lineStart + each.index);
      repaired =
        repaired.slice(0, each.index) + BLANK.repeat(each[0].length) + repaired.slice(each.index + each[0].length);
    }
    return text.slice(0, lineStart) + repaired + text.slice(lineEnd);
  }

  const indentation = indentationOf(line);
  let end = lineEnd;
  while (end < text.length) {
    const nextEnd = endOfLine(text, end + 1);
    const next = text.slice(end + 1, nextEnd);
    if (next.trim() !== "" && indentationOf(next) <= indentation) break;
    end = nextEnd;
  }
  const lost = text.slice(lineStart, end);
  for (const match of lost.matchAll(/(?:^|[\s{,])"?([A-Za-z_]+)"?\s*:/gm)) lostKeys.add(match[1] ?? "");
  return text.slice(0, lineStart) + lost.replace(/[^\r\n]/g, " ") + text.slice(end);
}

function endOfLine(text: string, offset: number): number {
  const end = text.indexOf("\n", offset);
  return end === -1 ? text.length : end;
}

function indentationOf(line: string): number {
  return /^ */.exec(line)?.[0].length ?? 0;
}

function describe(error: YAMLError, offset: number, { text, placeOf }: Untabbed): Found {
  const lineStart = text.lastIndexOf("\n", offset - 1) + 1;
  const line = text.slice(lineStart, endOfLine(text, offset));
  const column = offset - lineStart;
  const inReference = [...line.matchAll(REFERENCE)].some(
    ({ index, 0: found }) => index <= column && column <= index + found.length,
  );
  return {
    ...placeOf(offset),
    path: pathByIndentation(text, offset),
    ...explain(error, text.charAt(offset), line, inReference),
  };
}

/** Never quotes the line. */
function explain(
  error: YAMLError,
  character: string,
  line: string,
  inReference: boolean,
): { message: string; hint?: string } {
  if (error.code === "BAD_ALIAS") {
    return { message: "found a bare `*`, expected text", hint: 'To YAML a `*` is a reference; put it in quotes: "*".' };
  }
  if (error.code === "BAD_SCALAR_START") {
    const hint = `Put the whole value in quotes${character === "@" ? ', as in "@docket:example.org"' : ""}.`;
    return { message: `found a value that starts with \`${character}\`, expected it in quotes`, hint };
  }
  if (error.code === "RESOURCE_EXHAUSTION")
    return { message: "found values nested too deeply to be read, expected a few levels" };
  if (error.code === "TAG_RESOLVE_FAILED") {
    return {
      message: "found a tag (`!…`), expected a plain value",
      hint: "If the value starts with `!`, put it in quotes.",
    };
  }
  if (error.code === "MULTIPLE_DOCS") return { message: "found a second document (`---`), expected one" };
  if (error.code === "BAD_DQ_ESCAPE") {
    return {
      message: "found a `\\` in double quotes that starts no known escape",
      hint: "Use single quotes, or write `\\\\`.",
    };
  }
  if (inReference) {
    return {
      message: "found `${...}` inside `{ }` or `[ ]`, expected it in quotes",
      hint: 'Write "${env:NAME}" in quotes, or put the key and its value on a line of their own.',
    };
  }
  if (character === '"' || character === "'")
    return { message: "found a quote that is not closed", hint: `Close it with ${character}.` };
  if (character === "[" || character === "{") {
    return {
      message: `found a \`${character}\` that is not closed, or not on the lines where it belongs`,
      hint: `Close it with ${character === "[" ? "]" : "}"}.`,
    };
  }
  if (error.code === "BAD_INDENT") {
    return {
      message: "found a line that is indented differently from its neighbours",
      hint: "Keys of one mapping start in the same column.",
    };
  }
  if (error.code === "BLOCK_AS_IMPLICIT_KEY") {
    return {
      message: "found a second `: ` on one line, expected one",
      hint: "Put a value that contains `: ` in quotes.",
    };
  }
  if (/^\s*(- )?[a-z_]+:\S/.test(line)) {
    return { message: "found text where `key: value` is expected", hint: "Put a space after the colon." };
  }
  return { message: "found text that is not YAML here, expected `key: value` or `- item`" };
}
