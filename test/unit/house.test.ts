/** Holds the house to its rules: who may use whom, what files are called, and what the lock file may say. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { faults } from "../sabotage/faults.ts";

const root = join(import.meta.dirname, "..", "..");

/** From the top down; what stands in one line has the same height and does not use each other, but for config, which may use protocol. */
const order: readonly (readonly string[])[] = [
  ["main.ts"],
  ["commands"],
  ["bot.ts"],
  ["ops"],
  ["pipeline", "requester"],
  ["rooms"],
  ["handlers"],
  ["record"],
  ["session"],
  ["crypto"],
  ["matrix"],
  ["journal"],
  ["config"],
  ["protocol"],
  ["errors.ts", "logging.ts", "metrics.ts", "clock.ts", "lifecycle.ts", "vitals.ts"],
];
const places = order.flatMap((names, height) => names.map((name) => ({ name, height, isFile: name.endsWith(".ts") })));
type Place = (typeof places)[number];

/** Where a planted file of a place stands; files of the root are planted under their own names. */
function plantedFile(place: Place, purpose: string): string {
  return place.isFile ? join("src", place.name) : join("src", place.name, "inner", `${purpose}.ts`);
}

interface Finding {
  readonly rule: string;
  readonly file: string;
  readonly line: number;
}

describe("the linter", () => {
  let copy: string;

  before(() => {
    copy = mkdtempSync(join(tmpdir(), "docket-house-"));
    copyFileSync(join(root, ".oxlintrc.json"), join(copy, ".oxlintrc.json"));
    copyFileSync(join(root, "tsconfig.json"), join(copy, "tsconfig.json"));
  });
  after(() => rmSync(copy, { recursive: true, force: true }));

  function plant(file: string, lines: readonly string[]): void {
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    writeFileSync(join(copy, file), `${lines.join("\n")}\n`);
  }

  function lint(...args: readonly string[]): Finding[] {
    const oxlint = join(root, "node_modules", ".bin", "oxlint");
    const result = spawnSync(oxlint, ["--format", "unix", ...args], { cwd: copy, encoding: "utf8" });
    assert.equal(result.error, undefined);
    const findings: Finding[] = [];
    for (const line of result.stdout.split("\n")) {
      const match = /^(.+?):(\d+):\d+: .*\[\w+\/(.+)\]$/.exec(line);
      if (match === null) continue;
      const [, file = "", number = "", rule = ""] = match;
      findings.push({ file, line: Number(number), rule });
    }
    return findings;
  }

  test("lets each room use only the rooms below it, types included", () => {
    // One file a place; its n-th line imports from the n-th place, by turns as a type and as a value.
    for (const from of places) {
      const up = from.isFile ? "./" : "../../";
      plant(
        plantedFile(from, "planted"),
        places.map((to, index) => {
          const target = to.isFile ? `${up}${to.name}` : `${up}${to.name}/other.ts`;
          return index % 2 === 0
            ? `import type { T${index} } from "${target}";`
            : `export { v${index} } from "${target}";`;
        }),
      );
    }
    const findings = lint("src").filter((finding) => finding.rule === "eslint(no-restricted-imports)");
    const wrong: string[] = [];
    for (const from of places) {
      for (const [index, to] of places.entries()) {
        const sameFloor = from.isFile && to.isFile && from.height === to.height;
        if (from === to || sameFloor) continue;
        const refused = findings.some((f) => f.file === plantedFile(from, "planted") && f.line === index + 1);
        const allowed = to.height > from.height;
        if (refused === allowed) wrong.push(`${from.name} → ${to.name} is ${refused ? "refused" : "let through"}`);
      }
    }
    assert.deepEqual(wrong, []);
  });

  test("refuses a circle, also one of types alone", () => {
    plant("src/journal/one.ts", ['import type { Two } from "./two.ts";', "export type One = Two | 1;"]);
    plant("src/journal/two.ts", ['import type { One } from "./one.ts";', "export type Two = One | 2;"]);
    assert.ok(lint("src/journal/one.ts").some((finding) => finding.rule === "import(no-cycle)"));
  });

  test("refuses the process, the console and the wall clock in a room, and all that stands outside src/", () => {
    plant("src/journal/planted.ts", [
      "export const a = process.pid;",
      "export const b = globalThis.process;",
      'export { pid } from "node:process";',
      'console.log("x");',
      "export const c = Date.now();",
      'export { startHomeserver } from "../../devserver/main.ts";',
      'export { MatrixClient } from "matrix-bot-sdk";',
    ]);
    const lines = new Set(lint("src/journal/planted.ts").map((finding) => finding.line));
    assert.deepEqual(lines, new Set([1, 2, 3, 4, 5, 6, 7]));
  });

  test("refuses I/O and timers in protocol/", () => {
    plant("src/protocol/planted.ts", ['export { readFileSync } from "node:fs";', "setTimeout(() => 1, 1);"]);
    const lines = new Set(lint("src/protocol/planted.ts").map((finding) => finding.line));
    assert.deepEqual(lines, new Set([1, 2]));
  });

  test("refuses a promise that nobody waits for", () => {
    symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
    plant("src/journal/floating.ts", [
      "export async function work(): Promise<void> {}",
      "work();",
      "setTimeout(async () => await work(), 1);",
      "void work();",
    ]);
    const findings = lint("--type-aware", "src/journal/floating.ts");
    const found = findings.map((finding) => `${finding.line} ${finding.rule}`);
    assert.deepEqual(found, ["2 typescript(no-floating-promises)", "3 typescript(no-misused-promises)"]);
  });
});

describe("the house", () => {
  test("has only rooms and root files that stand in the order", () => {
    const known = new Set(places.map((place) => place.name));
    const strangers = readdirSync(join(root, "src")).filter((name) => !known.has(name));
    assert.deepEqual(strangers, [], "give a new room its place in .oxlintrc.json, CONTRIBUTING.md and this test");
  });

  test("names its files in camelCase, and none of them for being a drawer of odds and ends", () => {
    const files = globSync("{src,devserver,demo,scripts,test}/**/*.ts", { cwd: root });
    assert.ok(files.length > 20);
    const odd = files.filter((file) => {
      const name = basename(file).replace(/(\.test|\.main)?\.ts$/, "");
      return !/^[a-z][a-zA-Z0-9]*$/.test(name) || /^(utils?|helpers?|common|misc|.*Manager|manager)$/.test(name);
    });
    assert.deepEqual(odd, []);
  });

  test("says at the head of each source file what it owns", () => {
    const silent = globSync("src/**/*.ts", { cwd: root }).filter(
      (file) => !/^(#!.*\n)?\/[/*]/.test(readFileSync(join(root, file), "utf8")),
    );
    assert.deepEqual(silent, []);
  });

  test("has no test that is skipped, put off or run alone", () => {
    const pattern = /\b(test|it|describe|suite|t)\.(skip|todo|only)\(|\b(skip|todo|only): true\b/;
    const found = globSync("test/**/*.ts", { cwd: root }).filter((file) =>
      pattern.test(readFileSync(join(root, file), "utf8")),
    );
    assert.deepEqual(found, []);
  });

  test("starts every command of package.json that needs the dependencies with the set-up", () => {
    const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      scripts: Record<string, string>;
    };
    const bare = Object.keys(scripts).filter(
      (name) => !/^pre|^setup$/.test(name) && !scripts[`pre${name}`]?.includes("setup.mjs"),
    );
    assert.deepEqual(bare, []);
  });

  test("pins each dependency to one version", () => {
    const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Record<
      string,
      Record<string, string>
    >;
    const all = { ...manifest["dependencies"], ...manifest["devDependencies"] };
    const loose = Object.entries(all).filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$|^file:/.test(version));
    assert.deepEqual(loose, []);
  });
});

describe("the lock file", () => {
  const text = readFileSync(join(root, "package-lock.json"), "utf8");

  test("names no host, so that it serves any registry", () => {
    // Only the addresses where people give money to a package are web addresses here; they are not used for installing.
    const lock = JSON.parse(text) as { packages: Record<string, { resolved?: string; link?: boolean }> };
    const hosts = Object.entries(lock.packages).filter(([, entry]) => /^[a-z+]+:\/\//i.test(entry.resolved ?? ""));
    assert.deepEqual(hosts, []);
    const withoutFunding = text.replaceAll(/"funding": (\{[^}]*\}|\[[^\]]*\]|"[^"]*")/g, "");
    assert.deepEqual(withoutFunding.match(/[a-z+]+:\/\/[^"]*/gi) ?? [], []);
  });

  test("has a checksum for each package that comes from the registry", () => {
    const lock = JSON.parse(text) as { packages: Record<string, { integrity?: string; link?: boolean }> };
    const unchecked = Object.entries(lock.packages).filter(
      ([path, entry]) => path.includes("node_modules/") && entry.link !== true && entry.integrity === undefined,
    );
    assert.deepEqual(
      unchecked.map(([path]) => path),
      [],
    );
  });
});

describe("the list of faults", () => {
  /** The text of a test file, and of what it imports of the tests: a suite for several homeservers has the titles. */
  const withSuites = (file: string, known = new Set<string>()): string => {
    known.add(file);
    const text = readFileSync(file, "utf8");
    const imported = [...text.matchAll(/from "(\.\.?\/[^"]+)"/g)].map(([, path = ""]) => join(file, "..", path));
    const suites = imported.filter((path) => path.startsWith(join(root, "test/")) && !known.has(path));
    return [text, ...suites.map((path) => withSuites(path, known))].join("\n");
  };

  test("fits the sources and the tests: each text occurs once, in one line, and each named test exists", () => {
    const names = new Set(faults.map((fault) => fault.name));
    assert.equal(names.size, faults.length);
    const misfits = faults.filter(({ file, find, replace, test: { file: testFile, name } }) => {
      const once = readFileSync(join(root, file), "utf8").split(find).length === 2;
      const spellings = [JSON.stringify(name), `'${name}'`, `\`${name}\``];
      const source = withSuites(join(root, testFile));
      // A title with a name in it, such as that of a library, is a template.
      const templates = [...source.matchAll(/`([^`\n]*\$\{[^`\n]*)`/g)].map(([, template = ""]) => {
        const parts = template.split(/\$\{[^}]*\}/).map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
        return new RegExp(`^${parts.join(".+")}$`);
      });
      const titled =
        spellings.some((spelling) => source.includes(spelling)) || templates.some((template) => template.test(name));
      return !once || `${find}${replace}`.includes("\n") || !titled;
    });
    assert.deepEqual(
      misfits.map((fault) => fault.name),
      [],
    );
  });
});
