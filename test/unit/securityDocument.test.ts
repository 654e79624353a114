/** docs/security.md is true to the code where that can be read off: its commands and their options, configuration keys and tables. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runProgram } from "../../src/commands/program.ts";
import { knownKeys } from "../../src/config/knownKeys.ts";
import { configJsonSchema } from "../../src/config/schema.ts";
import { ExitCode } from "../../src/errors.ts";
import { stepKinds } from "../../src/handlers/stepKinds.ts";
import { migrations } from "../../src/journal/migrations/index.ts";

const text = readFileSync(join(import.meta.dirname, "../../docs/security.md"), "utf8");
const code = [...text.matchAll(/`([^`\n]+)`/g)].map(([, inside = ""]) => inside);

async function help(command: string): Promise<string> {
  let said = "";
  const sink = { write: (more: string): void => void (said += more) };
  const nobody = (): never => assert.fail("nothing runs for its help");
  const exitCode = await runProgram([...command.split(" ").slice(1), "--help"], {
    stdout: sink,
    stderr: sink,
    stdin: { isTerminal: false, text: nobody, hiddenLine: nobody, line: nobody },
    env: {},
    stopSignal: nobody,
    onHangUp: nobody,
    endNow: nobody,
  });
  assert.equal(exitCode, ExitCode.ok);
  return said;
}

test("each command that it names is there, with the options that it is given", async () => {
  const shown = code.filter((words) => words.startsWith("docket "));
  assert.ok(shown.length > 10);
  for (const words of new Set(shown)) {
    const command = /^docket( [a-z]+)+/.exec(words)?.[0] ?? "";
    const said = await help(command);
    assert.ok(said.startsWith(`Usage: ${command} `), `there is no "${command}"`);
    for (const [option] of words.matchAll(/--[a-z-]+/g)) assert.ok(said.includes(option), `${words}: no ${option}`);
  }
});

test("each configuration key that it names is there", () => {
  const keys = knownKeys(configJsonSchema(stepKinds)).paths;
  const sections = new Set(keys.map((key) => key.split(".")[0]));
  const named = code.flatMap((words) => {
    const key = /^([a-z_]+)\.[a-z_]+/.exec(words);
    return key !== null && sections.has(key[1]) ? [key[0]] : [];
  });
  assert.ok(named.length > 10);
  assert.deepEqual(
    named.filter((key) => !keys.includes(key)),
    [],
  );
});

test("each table that it names is there", () => {
  const created = new Set([...migrations.join("\n").matchAll(/CREATE TABLE (\w+)/g)].map(([, name]) => name));
  const named = [...text.matchAll(/^\| `docket\.db`: (.+?) \|/gm)].flatMap(([, list = ""]) =>
    [...list.matchAll(/`(\w+)`/g)].map(([, name]) => name),
  );
  assert.ok(named.length >= 6);
  assert.deepEqual(
    named.filter((name) => !created.has(name)),
    [],
  );
});
