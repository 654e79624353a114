/**
 * YAML syntax, read so that one mistake does not hide the rest: each error that makes the parser lose its place is reported once,
 * blanked out (same length, so that every later line and column stays true), and the text is parsed again.
 * No message quotes the text: a secret may stand in it.
 */
import { LineCounter, isScalar, parseDocument, visit, type Document, type YAMLError } from "yaml";
import type { ConfigProblem } from "../errors.ts";
import { explainSyntax } from "./explainSyntax.ts";
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
  readonly problems: readonly SyntaxProblem[];
  /** Keys that stood in what was blanked out: nobody should be told that they are missing. */
  readonly lostKeys: ReadonlySet<string>;
  /** True for a value that was blanked out, or whose content was: it is unknown, and already complained about. */
  readonly isLost: (offset: number, empty: boolean) => boolean;
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

export type SyntaxProblem = Omit<ConfigProblem, "file"> & { readonly offset: number };

export function parseYaml(source: string): ParsedYaml {
  const problems: SyntaxProblem[] = [];
  const lost: Lost = { keys: new Set(), values: new Set(), blocks: [] };
  const untabbed = withoutTabs(source, problems);
  const { placeOf } = untabbed;
  let text = untabbed.text;
  for (let repairs = 0; ; repairs += 1) {
    const document = parseDocument(text, {
      prettyErrors: false,
      uniqueKeys: false,
      resolveKnownTags: false,
      logLevel: "error",
    });
    const errors = [...document.errors, ...document.warnings].sort((left, right) => left.pos[0] - right.pos[0]);
    const fatal = errors.find((error) => LOSES_ITS_PLACE.has(error.code));
    const mayRepair = repairs < MOST_REPAIRS && !errors.some((error) => error.code === "RESOURCE_EXHAUSTION");
    if (fatal === undefined || !mayRepair) {
      for (const error of errors.slice(0, MOST_PROBLEMS)) {
        problems.push(describe(error, error.pos[0], untabbed));
        if (error.code === "BAD_ALIAS") lost.values.add(error.pos[0]);
      }
      const repaired = text;
      const isLost = (offset: number, empty: boolean): boolean =>
        lost.values.has(offset) ||
        (empty && lost.blocks.some((start) => start >= offset && /^(\s|#.*)*$/.test(repaired.slice(offset, start))));
      return { document, placeOf, problems, lostKeys: lost.keys, isLost };
    }
    const offset = startOf(fatal, document, text);
    problems.push(describe(fatal, offset, { text: untabbed.text, placeOf }));
    text = blankOut(text, offset, lost);
  }
}

interface Untabbed {
  /** As many lines as the source, with spaces for the tabs that lines begin with. */
  readonly text: string;
  /** The place in the source of an offset in `text`. */
  readonly placeOf: (offset: number) => Place;
}

/** Tabs at the start of a line: the commonest mistake that a screen does not show. Reported once for the file. */
function withoutTabs(source: string, problems: SyntaxProblem[]): Untabbed {
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
      offset: lines.lineStarts[first - 1] ?? 0,
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

interface Lost {
  readonly keys: Set<string>;
  /** Offsets of references. */
  readonly values: Set<number>;
  /** Offsets of blocks of lines. */
  readonly blocks: number[];
}

/** Takes the smallest piece out of the text that the mistake can be blamed on: a `${...}`, or a line with what is indented below it. */
function blankOut(text: string, offset: number, lost: Lost): string {
  const lineStart = text.lastIndexOf("\n", offset - 1) + 1;
  const lineEnd = endOfLine(text, offset);
  const line = text.slice(lineStart, lineEnd);
  if (referenceAt(line, offset - lineStart) !== null) {
    const repaired = line.replace(REFERENCE, (reference, index: number) => {
      lost.values.add(lineStart + index);
      return BLANK.repeat(reference.length);
    });
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
  lost.blocks.push(lineStart);
  const block = text.slice(lineStart, end);
  for (const match of block.matchAll(/(?:^|[\s{,])"?([A-Za-z_]+)"?\s*:/gm)) lost.keys.add(match[1] ?? "");
  return text.slice(0, lineStart) + block.replace(/[^\r\n]/g, " ") + text.slice(end);
}

function endOfLine(text: string, offset: number): number {
  const end = text.indexOf("\n", offset);
  return end === -1 ? text.length : end;
}

function indentationOf(line: string): number {
  return /^ */.exec(line)?.[0].length ?? 0;
}

function describe(error: YAMLError, offset: number, { text, placeOf }: Untabbed): SyntaxProblem {
  const lineStart = text.lastIndexOf("\n", offset - 1) + 1;
  const line = text.slice(lineStart, endOfLine(text, offset));
  const reference = referenceAt(line, offset - lineStart);
  const start = reference === null ? offset : lineStart + reference;
  const explanation = explainSyntax(error.code, text.charAt(start), line, reference !== null);
  return { offset: start, ...placeOf(start), path: pathByIndentation(text, start), ...explanation };
}

/** @returns where the `${...}` around this column begins; null where there is none */
function referenceAt(line: string, column: number): number | null {
  for (const { index, 0: found } of line.matchAll(REFERENCE)) {
    if (index <= column && column <= index + found.length) return index;
  }
  return null;
}
