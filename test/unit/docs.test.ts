/** The documents are true to the code: the lists of docs/errors.md, docs/architecture.md and docs/operations.md both ways, and every link and command shown. */
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { describe, test } from "node:test";
import { z } from "zod";
import * as errors from "../../src/errors.ts";
import type { Database } from "../../src/journal/database.ts";
import { Depths } from "../../src/journal/depths.ts";
import { migrations } from "../../src/journal/migrations/index.ts";
import { silentLogger } from "../../src/logging.ts";
import { Metrics } from "../../src/metrics.ts";
import { createApp } from "../../src/ops/app.ts";
import { doctorChecks } from "../../src/ops/doctor/checks.ts";
import { findingStates, REPORT } from "../../src/ops/doctor/finding.ts";
import { registerGauges } from "../../src/ops/gauges.ts";
import { checkNames } from "../../src/ops/healthChecks.ts";
import { noAnswerReasons } from "../../src/protocol/decision.ts";
import { reasonCodes } from "../../src/protocol/responses.ts";
import { Vitals } from "../../src/vitals.ts";

const root = join(import.meta.dirname, "../..");
const read = (file: string): string => readFileSync(join(root, file), "utf8");
const errorsDoc = read("docs/errors.md");
const architectureDoc = read("docs/architecture.md");

/** The text under a heading, up to the next one of any level. */
function section(document: string, heading: string): string {
  const lines = document.split("\n");
  const start = lines.findIndex((line) => /^#+ /.test(line) && line.replace(/^#+ /, "") === heading);
  assert.notEqual(start, -1, `there is no heading "${heading}"`);
  const length = lines.slice(start + 1).findIndex((line) => /^#+ /.test(line));
  return lines.slice(start + 1, length === -1 ? undefined : start + 1 + length).join("\n");
}

/** Rows of tables whose first cell is in backticks; cells without their backticks. */
function rows(text: string): readonly (readonly string[])[] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim().replace(/^`(.*)`$/, "$1")),
    );
}

const firstCells = (document: string, heading: string): string[] =>
  rows(section(document, heading)).map((cells) => cells[0] ?? "");

function same(found: Iterable<string>, expected: Iterable<string>): void {
  const [documented, real] = [[...found], [...expected]];
  assert.ok(real.length > 0, "nothing was found in the code: the pattern of this test no longer fits it");
  assert.equal(new Set(documented).size, documented.length, "something is listed twice");
  assert.deepEqual(documented.toSorted(), [...new Set(real)].toSorted());
}

/** The string literals of a type that is a union of them. */
function unionIn(file: string, name: string): string[] {
  const declared = new RegExp(`\\b${name}(?:: | =)([^;]*);`).exec(read(file))?.[1] ?? "";
  return [...declared.matchAll(/"(\w+)"/g)].map((match) => match[1] ?? "");
}

/** The groups of every match of a pattern in the files. */
function found(pattern: string, regExp: RegExp): string[] {
  return globSync(pattern, { cwd: root }).flatMap((file) =>
    [...read(file).matchAll(regExp)].flatMap((match) => match.slice(1)),
  );
}

describe("docs/errors.md", () => {
  test("lists the exit codes, each of them and no other", () => {
    same(firstCells(errorsDoc, "Exit codes"), Object.values(errors.ExitCode).map(String));
  });

  /** Each class in all the variants that differ in what the table says. */
  function variants(name: string): readonly errors.DocketError[] {
    if (name === "ConfigError") return [new errors.ConfigError([])];
    if (name === "ServerUnreachable") return [new errors.ServerUnreachable("", { doubtful: true })];
    if (name === "ServerRefused") {
      const refused = (status: number, tokenRefused: boolean): errors.ServerRefused =>
        new errors.ServerRefused("", { status, errcode: null, tokenRefused });
      return [refused(401, true), refused(403, false), refused(429, false), refused(500, false)];
    }
    const found: unknown = (errors as Record<string, unknown>)[name];
    return [new (found as new (message: string) => errors.DocketError)("")];
  }

  test("lists the error classes that occur, each with its code, whether it can be retried, and its exit codes", () => {
    const classes = Object.entries(errors).flatMap(([name, value]) =>
      typeof value === "function" && value.prototype instanceof errors.DocketError ? [name] : [],
    );
    const sources = globSync("src/**/*.ts", { cwd: root }).filter((file) => file !== join("src", "errors.ts"));
    const text = sources.map(read).join("\n");
    const occurring = classes.filter((name) => new RegExp(`\\bnew ${name}\\(`).test(text));
    const expected = occurring.map((name) => {
      const made = variants(name);
      const retryable = new Set(made.map((error) => (error.retryable ? "yes" : "no")));
      const codes = new Set(made.map((error) => error.code));
      assert.equal(codes.size, 1);
      const exits = [...new Set(made.map((error) => error.exitCode))].toSorted((a, b) => a - b);
      return [name, ...codes, retryable.size === 1 ? [...retryable].join() : "depends", exits.join(", ")].join(" | ");
    });
    const documented = rows(section(errorsDoc, "Error classes")).map((cells) => cells.slice(0, 4).join(" | "));
    same(documented, expected);
  });

  test("lists the decisions", () => {
    same(firstCells(errorsDoc, "Decisions"), unionIn("src/journal/inbox.ts", "readonly decision"));
  });

  test("lists the codes of error answers", () => {
    same(firstCells(errorsDoc, "Codes of error answers"), reasonCodes);
  });

  test("lists the reasons for no answer, those of the decision list and those of the pipeline", () => {
    const pipeline = found(
      "src/pipeline/*.ts",
      /"no_answer",\s*"(\w+)"|decision: "no_answer", reason: "(\w+)"/g,
    ).filter((reason) => reason !== undefined);
    assert.ok(pipeline.length > 0);
    same(firstCells(errorsDoc, "Reasons for no answer"), [...noAnswerReasons, ...pipeline]);
  });

  test("lists the reasons why an event can't be decrypted", () => {
    same(
      firstCells(errorsDoc, "Why an event can't be decrypted"),
      unionIn("src/crypto/cryptoEngine.ts", "UndecryptableReason"),
    );
  });

  test("lists the reasons for giving up a parked event", () => {
    same(firstCells(errorsDoc, "Reasons for giving up"), unionIn("src/journal/parking.ts", "readonly reason"));
  });

  test("lists the reasons why an answer was dropped", () => {
    same(
      firstCells(errorsDoc, "Reasons why an answer was dropped"),
      unionIn("src/journal/outboxEntry.ts", "DropReason"),
    );
  });

  test("lists the reasons why an invitation was not accepted", () => {
    same(firstCells(errorsDoc, "Reasons why an invitation was not accepted"), [
      ...unionIn("src/rooms/invitePolicy.ts", "InviteRefusal"),
      ...found("src/rooms/inviteLoop.ts", /kind: otherwise, reason: "(\w+)"/g),
    ]);
  });
});

describe("docs/architecture.md", () => {
  test("lists the states of the inbox and of the outbox", () => {
    const states = (table: string): string[] => {
      const created = new RegExp(`CREATE TABLE ${table} [^;]*?state IN \\(([^)]*)\\)`).exec(migrations.join("\n"))?.[1];
      return [...(created ?? "").matchAll(/'(\w+)'/g)].map((match) => match[1] ?? "");
    };
    same(firstCells(architectureDoc, "Inbox"), states("inbox"));
    same(firstCells(architectureDoc, "Outbox"), states("outbox"));
  });

  test("lists the tables of the database", () => {
    const created = [...migrations.join("\n").matchAll(/CREATE TABLE (\w+)/g)].map((match) => match[1] ?? "");
    const listed = firstCells(architectureDoc, "What is on disk").filter((name) => !name.startsWith("docket."));
    same(listed, created);
  });

  test("has every reason of the decision list, in the order of the code", () => {
    const list = section(architectureDoc, "The decision list");
    const documented = [...list.matchAll(/(silence|error): `(\w+)`/g)].map((match) => match[2] ?? "");
    const code = read("src/protocol/decision.ts");
    const asked = [...code.slice(code.indexOf("export function decide(")).matchAll(/\b(?:ignore|error)\("(\w+)"/g)];
    assert.deepEqual(
      documented,
      asked.map((match) => match[1]),
    );
  });

  test("names the rooms that are there, in the order of CONTRIBUTING.md", () => {
    const listed = firstCells(architectureDoc, "The house").filter((name) => name.endsWith("/"));
    const folders = new Set(globSync("src/*/*.ts", { cwd: root }).map((file) => `${file.split(/[\\/]/)[1] ?? ""}/`));
    same(listed, folders);
    const order = [...section(read("CONTRIBUTING.md"), "The house").matchAll(/^(\w+)  /gm)].map(
      ([, room]) => `${room}/`,
    );
    assert.deepEqual(
      listed,
      order.filter((room) => folders.has(room)),
    );
  });
});

describe("docs/operations.md", () => {
  const operationsDoc = read("docs/operations.md");

  test("lists the metrics, each with its type and labels", async () => {
    const { registry } = new Metrics();
    registerGauges(registry, {
      depths: new Depths({} as Database),
      vitals: new Vitals(),
      report: () => assert.fail("nobody asks"),
      roomKeys: () => 0,
      version: "0",
    });
    // The labels are asked of the objects: a metric that nothing was counted in shows none.
    const real = registry.getMetricsAsArray().map((metric) => {
      const { name, type, labelNames } = metric as unknown as { name: string; type: string; labelNames: string[] };
      return `${name} | ${type} | ${labelNames.toSorted().join(", ")}`;
    });
    const documented = rows(section(operationsDoc, "Metrics")).map(([name, type, labels]) =>
      [name, type, (labels ?? "").replaceAll("`", "").split(", ").toSorted().join(", ")].join(" | "),
    );
    same(documented, real);
  });

  test("lists the checks of the health report, and the paths that are answered", async () => {
    same(
      firstCells(operationsDoc, "Health").filter((name) => !name.startsWith("GET")),
      checkNames,
    );
    const app = createApp({ report: () => assert.fail(), metrics: async () => "", log: silentLogger }, null);
    const told = await (await app.request("/what")).text();
    same(
      firstCells(operationsDoc, "Health").filter((name) => name.startsWith("GET")),
      told.match(/GET \/\w+/g) ?? [],
    );
  });
});

describe("docs/operations.md on the doctor", () => {
  const doctor = section(read("docs/operations.md"), "Doctor");
  const tables = doctor.split("\n\n").filter((part) => part.startsWith("|"));
  const cells = (table: string): string[] => rows(table).map(([first = ""]) => first);

  test("lists the findings in the order of the checks, and their states", () => {
    const [states = "", findings = ""] = tables;
    same(cells(states), findingStates);
    assert.deepEqual(
      cells(findings),
      doctorChecks.map(({ name }) => name),
    );
  });

  test("describes every property of the report", () => {
    const told = [...(tables[2] ?? "").matchAll(/`(\w+)`/g)].map(([, name]) => name);
    const schema = JSON.stringify(z.toJSONSchema(REPORT));
    const names = [...schema.matchAll(/"required":\[([^\]]*)\]/g)].flatMap(([, list = ""]) => list.match(/\w+/g) ?? []);
    assert.ok(names.length > 10);
    assert.deepEqual(
      names.filter((name) => !told.includes(name)),
      [],
    );
  });
});

describe("README.md", () => {
  const readme = read("README.md");

  test("shows findings that the doctor still has", () => {
    const page = /^1 thing is wrong[^]*?^```/m.exec(readme)?.[0] ?? "";
    const shown = [...page.matchAll(/^ {2}(\w+) {2}/gm)].map(([, name]) => name ?? "");
    assert.ok(shown.length > 5);
    const names = new Set(doctorChecks.map(({ name }) => name));
    assert.deepEqual(
      shown.filter((name) => !names.has(name)),
      [],
    );
  });

  test("names the tests of each of the eight promises", () => {
    const promises = section(readme, "What is promised")
      .split("\n")
      .filter((line) => /^\d\. \*\*/.test(line));
    assert.equal(promises.length, 8);
    for (const promise of promises) assert.match(promise, /\]\(test\/[\w/]+\.test\.ts\)/);
  });

  test("shows rows that the demo still has", () => {
    const shown = [...readme.matchAll(/^ok {3}\w+ +(.+?)  .*$/gm)].map((match) => match[1] ?? "");
    assert.equal(shown.length, 5);
    const scenario = read("demo/scenario.ts");
    assert.deepEqual(
      shown.filter((asked) => !scenario.includes(`"${asked}"`)),
      [],
    );
  });
});

describe("every document", () => {
  const documents = globSync(["*.md", "docs/**/*.md"], { cwd: root });

  /** Its text without code: what looks like a link there is none. */
  const prose = (file: string): string =>
    read(file)
      .replaceAll(/^```.*?^```/gms, "")
      .replaceAll(/`[^`\n]*`/g, (code) => code.replaceAll(/[[\]()]/g, ""));

  /** As GitHub makes them of headings. */
  const anchors = (file: string): string[] =>
    [...prose(file).matchAll(/^#+ (.*)$/gm)].map((match) =>
      (match[1] ?? "")
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\-_ ]/gu, "")
        .replaceAll(" ", "-"),
    );

  test("links only to files and headings that are there", () => {
    const broken: string[] = [];
    let links = 0;
    for (const file of documents) {
      for (const [, target = ""] of prose(file).matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^[a-z]+:/.test(target)) continue;
        links += 1;
        const [path = "", anchor] = target.split("#");
        const linked = path === "" ? file : relative(root, join(root, dirname(file), path));
        const good =
          existsSync(join(root, linked)) &&
          (anchor === undefined || !linked.endsWith(".md") || anchors(linked).includes(anchor));
        if (!good) broken.push(`${file}: ${target}`);
      }
    }
    assert.ok(links > 20);
    assert.deepEqual(broken, []);
  });

  test("shows only npm scripts that package.json has", () => {
    const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
    const shown = documents.flatMap((file) =>
      [...read(file).matchAll(/\bnpm (?:run (?:-\S+ )*([\w:-]+)|(test)\b)/g)].map((match) => ({
        file,
        name: match[1] ?? match[2] ?? "",
      })),
    );
    assert.ok(shown.length > 5);
    assert.deepEqual(
      shown.filter(({ name }) => !Object.hasOwn(scripts, name)),
      [],
    );
  });

  test("shows only commands of docket that there are", () => {
    const commands = new Set(found("src/commands/*.ts", /\.command\("(\w+)"\)/g));
    assert.ok(commands.has("start"));
    const shown = documents.flatMap((file) =>
      [...read(file).matchAll(/(?:`docket|docket --) ([a-z]+)(?: ([a-z]+))?/g)].flatMap((match) =>
        match
          .slice(1, match[1] === "record" ? 3 : 2)
          .filter((name) => name !== undefined)
          .map((name) => ({ file, name })),
      ),
    );
    assert.ok(shown.length > 5);
    assert.deepEqual(
      shown.filter(({ name }) => !commands.has(name)),
      [],
    );
  });
});
