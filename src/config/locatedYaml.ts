/**
 * The configuration file as plain values, each with its place. Owns everything that YAML can do and a configuration should not:
 * duplicate keys, keys that are not text, merge keys, aliases that blow up or go in circles.
 */
import { isAlias, isMap, isScalar, isSeq, type Node, type Pair, type YAMLMap } from "yaml";
import type { ConfigProblem } from "../errors.ts";
import { formatPath, pathKey, type YamlPath } from "./yamlPath.ts";
import { parseYaml, type ParsedYaml, type Place } from "./yamlSyntax.ts";

/** What stands at a path of keys; undefined where nothing does. */
export function valueAt(value: YamlValue | undefined, ...path: readonly string[]): YamlValue | undefined {
  let current = value;
  for (const key of path) {
    if (typeof current !== "object" || current === null || Array.isArray(current)) return undefined;
    current = current[key];
  }
  return current;
}

export type YamlValue = null | boolean | number | bigint | string | YamlValue[] | { [key: string]: YamlValue };

export interface LocatedYaml {
  /** Mappings have no prototype; undefined where the document is empty or lost. */
  readonly value: YamlValue | undefined;
  readonly problems: readonly ConfigProblem[];
  readonly lostKeys: ReadonlySet<string>;
  /** Where the value stands, or the nearest one around it that exists. */
  placeOf(path: YamlPath): Place;
  /** Where the key stands, or the value when there is no such key. */
  keyPlaceOf(path: YamlPath): Place;
  /** True where a problem was already reported for this value, so that its content says nothing. */
  isLost(path: YamlPath): boolean;
}

/** Aliases make copies; a few lines of them can stand for billions of values. */
const MOST_VALUES = 200_000;
const DEEPEST = 64;

/** @param text the whole file; never throws for any text */
export function readYaml(text: string, file: string): LocatedYaml {
  const walk = new Walk(parseYaml(text), file);
  return walk.result();
}

class Walk {
  private readonly parsed: ParsedYaml;
  private readonly file: string;
  private readonly problems: ConfigProblem[];
  private readonly values = new Map<string, number>();
  private readonly keys = new Map<string, number>();
  private readonly lost = new Set<string>();
  private readonly anchors = new Map<string, Node>();
  private readonly open = new Set<Node>();
  private visited = 0;

  constructor(parsed: ParsedYaml, file: string) {
    this.parsed = parsed;
    this.file = file;
    this.problems = [];
  }

  result(): LocatedYaml {
    const contents = this.parsed.document.contents;
    const value = contents === null ? undefined : this.read(contents, []);
    return {
      value,
      problems: [...this.syntaxProblems(), ...this.problems],
      lostKeys: this.parsed.lostKeys,
      placeOf: (path) => this.nearest(path, this.values),
      keyPlaceOf: (path) => {
        const offset = this.keys.get(pathKey(path));
        return offset === undefined ? this.nearest(path, this.values) : this.place(offset);
      },
      isLost: (path) =>
        path.some((_part, index) => this.lost.has(pathKey(path.slice(0, index + 1)))) || this.lost.has("[]"),
    };
  }

  private read(node: Node, path: YamlPath): YamlValue | undefined {
    const offset = node.range?.[0] ?? 0;
    const key = pathKey(path);
    if (!this.values.has(key)) this.values.set(key, offset);
    this.visited += 1;
    if (this.visited > MOST_VALUES || path.length > DEEPEST || this.parsed.isLost(offset, isEmpty(node))) {
      if (this.visited === MOST_VALUES + 1)
        this.report(path, offset, `found more than ${MOST_VALUES} values (aliases count each time), expected fewer`);
      if (path.length > DEEPEST)
        this.report(path.slice(0, 4), offset, `found values nested deeper than ${DEEPEST} levels, expected a few`);
      this.lost.add(key);
      return undefined;
    }
    if (isAlias(node)) return this.readAlias(node.source, node, path);
    if ("anchor" in node && typeof node.anchor === "string") this.anchors.set(node.anchor, node);
    this.open.add(node);
    try {
      if (isMap(node)) return this.readMap(node as YAMLMap<Node | null, Node | null>, path);
      if (isSeq(node)) {
        return node.items.map((item, index) =>
          item === null ? null : (this.read(item as Node, [...path, index]) ?? null),
        );
      }
      return isScalar(node) ? ((node.value as YamlValue | undefined) ?? null) : null;
    } finally {
      this.open.delete(node);
    }
  }

  /** The parser's problems, with the path of the value where one stands at their place. */
  private syntaxProblems(): ConfigProblem[] {
    const wanted = new Map(this.parsed.problems.map((problem) => [problem.offset, problem.path]));
    for (const [key, offset] of this.values) {
      if (wanted.has(offset)) wanted.set(offset, formatPath(JSON.parse(key) as YamlPath));
    }
    return this.parsed.problems.map(({ offset, ...problem }) => ({
      file: this.file,
      ...problem,
      path: wanted.get(offset) ?? "",
    }));
  }

  private readAlias(name: string, node: Node, path: YamlPath): YamlValue | undefined {
    const target = this.anchors.get(name);
    if (target !== undefined && !this.open.has(target)) return this.read(target, path);
    this.lost.add(pathKey(path));
    const hint =
      "To YAML a `*` at the start is a reference to an `&` anchor; if the value starts with `*`, put it in quotes.";
    const message =
      target === undefined
        ? "found a `*` reference to nothing, expected text"
        : "found a `*` reference to what it stands in";
    this.report(path, node.range?.[0] ?? 0, message, hint);
    return undefined;
  }

  private readMap(map: YAMLMap<Node | null, Node | null>, path: YamlPath): YamlValue {
    const result = Object.create(null) as { [key: string]: YamlValue };
    const seen = new Map<string, number>();
    for (const pair of map.items) {
      const key = this.readKey(pair, map, path);
      if (key === null) continue;
      const offset = pair.key?.range?.[0] ?? map.range?.[0] ?? 0;
      const first = seen.get(key);
      const here = [...path, key];
      if (first !== undefined) {
        const { line, column } = this.place(first);
        this.report(
          here,
          offset,
          `found this key a second time; the first is on line ${line}, column ${column}`,
          "Keep one of them.",
        );
        continue;
      }
      seen.set(key, offset);
      this.keys.set(pathKey(here), offset);
      // Where nothing stands after the colon, the key is the place to look at.
      if (pair.value === null || isEmpty(pair.value)) this.values.set(pathKey(here), offset);
      result[key] = pair.value === null ? null : (this.read(pair.value, here) ?? null);
    }
    return result;
  }

  private readKey(pair: Pair<Node | null, Node | null>, map: Node, path: YamlPath): string | null {
    const offset = pair.key?.range?.[0] ?? pair.value?.range?.[0] ?? map.range?.[0] ?? 0;
    const name: unknown = isScalar(pair.key) ? pair.key.value : null;
    if (typeof name !== "string" && typeof name !== "number" && typeof name !== "boolean") {
      this.report(
        path,
        offset,
        "found a key that is not text, expected a name",
        "Is a value that starts with `{` or `*` missing its quotes?",
      );
      return null;
    }
    const key = String(name);
    if (key === "<<" || key === "__proto__") {
      this.report(
        path,
        offset,
        `found the key \`${key}\`, which the configuration does not know`,
        "Write the keys out.",
      );
      return null;
    }
    return key;
  }

  private report(path: YamlPath, offset: number, message: string, hint?: string): void {
    if (this.problems.length > 500) return;
    const shown = path.length > 12 ? path.slice(0, 12) : path;
    this.problems.push({
      file: this.file,
      ...this.place(offset),
      path: formatPath(shown),
      message,
      ...(hint === undefined ? {} : { hint }),
    });
  }

  private place(offset: number): Place {
    return this.parsed.placeOf(offset);
  }

  private nearest(path: YamlPath, offsets: ReadonlyMap<string, number>): Place {
    for (let length = path.length; length > 0; length -= 1) {
      const part = path.slice(0, length);
      const offset =
        (length === path.length ? offsets.get(pathKey(part)) : undefined) ??
        this.keys.get(pathKey(part)) ??
        offsets.get(pathKey(part));
      if (offset !== undefined) return this.place(offset);
    }
    return { line: 1, column: 1 };
  }
}

/** Nothing stands there: neither a value nor the word null. */
function isEmpty(node: Node): boolean {
  return (
    isScalar(node) &&
    node.value === null &&
    node.range !== null &&
    node.range !== undefined &&
    node.range[0] === node.range[1]
  );
}
