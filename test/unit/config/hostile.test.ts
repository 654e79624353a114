/** Anything may stand in the file: what comes out is a configuration or a list of problems, in bounded time and memory. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { loadConfig } from "../../../src/config/loadConfig.ts";
import { ConfigError } from "../../../src/errors.ts";
import { loadText, problemsOf, smallest } from "./loadText.ts";

const LONGEST_MS = 15_000;

test("any text is a configuration or a ConfigError with at least one problem, each with a line of the file", async () => {
  const words = fc.constantFrom(
    ...'homeserver: |account:|  user: |  token: |"@a:b"|https://a.b|responses:|  send_margin: |handlers:|  - types: |[a.*]|    steps: |[archive]'.split(
      "|",
    ),
    ..."validate: |limits: |{|}|[|]|*|&a |*a|!t |\"|'|: |- |? |, |#|${env:X}|${file:y}|\n|\n  |\n    |\t|---\n|...\n|%YAML 1.1\n|>-|<<: |@|`|\\|\u0000|\u2028|\r\n|null|~|0x1F|.inf|1e999|__proto__: |constructor: ".split(
      "|",
    ),
  );
  const yamlish = fc.array(words, { maxLength: 40 }).map((parts) => parts.join(""));
  const texts = fc.oneof(
    fc.string(),
    fc.string({ unit: "binary" }),
    yamlish,
    yamlish.map((text) => `${smallest}${text}`),
  );
  await fc.assert(
    fc.asyncProperty(texts, async (text) => {
      const lines = text.split("\n").length;
      try {
        const config = await loadText(text);
        assert.ok(config.homeserver.startsWith("http"));
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        assert.ok(error.problems.length > 0);
        for (const { line, column, message } of error.problems) {
          assert.ok(line !== null && line >= 1 && line <= lines, `line ${line} of ${lines}`);
          assert.ok(column !== null && column >= 1);
          assert.doesNotMatch(message, /\p{Cc}/u);
        }
      }
    }),
    { numRuns: 600 },
  );
});

test("any bytes are a configuration or a ConfigError", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
      await loadText(bytes).then(
        () => undefined,
        (error: unknown) => assert.ok(error instanceof ConfigError),
      );
    }),
    { numRuns: 200 },
  );
});

test("text that is not UTF-8 is named as such", async () => {
  const utf16 = Buffer.from(`\uFEFF${smallest}`, "utf16le");
  const [problem] = await problemsOf(utf16);
  assert.match(problem?.message ?? "", /not UTF-8/);
});

test("aliases that would unfold into billions of values are refused", async () => {
  const levels = Array.from(
    { length: 12 },
    (_, level) => `a${level + 1}: &a${level + 1} [${`*a${level}, `.repeat(9)}*a${level}]`,
  );
  const problems = await problemsOf(`${smallest}a0: &a0 [x]\n${levels.join("\n")}\n`);
  assert.ok(
    problems.some(({ message }) => /found more than 200000 values/.test(message)),
    problems[0]?.message,
  );
});

test("an alias that stands in itself is refused", async () => {
  const problems = await problemsOf(`${smallest}record: &r\n  types: [*r]\n`);
  assert.match(problems[0]?.message ?? "", /reference to what it stands in/);
});

for (const [title, text] of Object.entries({
  "a wall of brackets": "[".repeat(100_000),
  "a wall of braces": "{a: ".repeat(50_000),
  "a wall of dashes": "- ".repeat(30_000),
  "a wall of closing brackets": "]".repeat(50_000),
  "a wall of anchors": "&a ".repeat(30_000),
  "a wall of quotes": '"'.repeat(50_000),
  "a wall of question marks": "? ".repeat(30_000),
  "a wall of colons": "a: ".repeat(50_000),
  "deep indentation": Array.from({ length: 1_500 }, (_, depth) => `${" ".repeat(depth)}a:`).join("\n"),
  "a thousand unknown keys": Array.from({ length: 1_000 }, (_, key) => `k${key}: ${key}`).join("\n"),
  "five hundred broken lines": "foo\n\tbar: [\n".repeat(500),
})) {
  test(`${title} is refused in bounded time, with at most a hundred problems`, { timeout: LONGEST_MS }, async () => {
    const problems = await problemsOf(`${smallest}${text}\n`);
    assert.ok(problems.length > 0 && problems.length <= 101, String(problems.length));
  });
}

test("a megabyte of good configuration loads", { timeout: LONGEST_MS }, async () => {
  const types = Array.from({ length: 36_500 }, (_, index) => `    - org.example.type${index}`).join("\n");
  const text = `${smallest}record:\n  types:\n${types}\n`;
  assert.ok(text.length > 1_000_000);
  assert.equal((await loadText(text)).record.types.length, 36_500);
});

test("a file above the limit is refused before it is read as YAML", async () => {
  const problems = await problemsOf(`${smallest}${"#".repeat(1_100_000)}`);
  assert.match(problems[0]?.message ?? "", /larger than 1048576 bytes/);
});

test("what is no file is named as what it is, without a line", async () => {
  const directory = await mkdtemp(join(tmpdir(), "docket-config-"));
  try {
    const cases: [string, RegExp][] = [
      [directory, /it is a directory/],
      [join(directory, "none.yaml"), /no such file/],
      [join(directory, "none", "x.yaml"), /no such file/],
      ["a\0b", /no valid path/],
    ];
    for (const [path, says] of cases) {
      await assert.rejects(loadConfig(path, { stepKinds: [], env: {} }), (error) => {
        assert.ok(error instanceof ConfigError);
        assert.equal(error.problems.length, 1);
        assert.equal(error.problems[0]?.line, null);
        assert.match(error.message, says);
        return true;
      });
    }
  } finally {
    await rm(directory, { recursive: true });
  }
});
