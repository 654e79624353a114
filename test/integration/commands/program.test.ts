/** The exit code of every kind of failure, and what is said about it: enough to act on, nothing that was read. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { reportFailure, runProgram } from "../../../src/commands/program.ts";
import {
  Cancelled,
  ConfigError,
  CryptoPanicked,
  DataDirectoryRefused,
  ServerRefused,
  ServerUnreachable,
  StoreFailed,
} from "../../../src/errors.ts";

function report(error: unknown): { code: number; text: string } {
  let text = "";
  const code = reportFailure(error, { write: (part) => void (text += part) });
  return { code, text };
}

test("a failure that has a name exits with its own code and one line that carries it", () => {
  const cases: [Error, number, RegExp][] = [
    [
      new ServerUnreachable("no answer from https://a.b", { doubtful: false }),
      69,
      /^docket: no answer from https:\/\/a\.b \(SERVER_UNREACHABLE\)\n$/,
    ],
    [
      new ServerRefused("no", { status: 401, errcode: "M_UNKNOWN_TOKEN", tokenRefused: true }),
      77,
      /\(SERVER_REFUSED\)\n$/,
    ],
    [new ServerRefused("no", { status: 403, errcode: "M_FORBIDDEN" }), 69, /^docket: no \(SERVER_REFUSED\)\n$/],
    [new DataDirectoryRefused("in use"), 73, /in use \(DATA_DIRECTORY\)/],
    [new StoreFailed("the disk is full"), 74, /\(STORE_FAILED\)/],
    [new CryptoPanicked("panic"), 71, /\(CRYPTO_PANICKED\)/],
    [
      new ConfigError([{ file: "c.yaml", line: 3, column: 1, path: "log", message: "found x" }]),
      78,
      /^c\.yaml:3:1: log: found x\n$/,
    ],
  ];
  for (const [error, exitCode, says] of cases) {
    const { code, text } = report(error);
    assert.equal(code, exitCode, error.name);
    assert.match(text, says);
    assert.doesNotMatch(text, /bug/);
  }
});

test("anything else is a bug: 70, and the request to report it", () => {
  for (const error of [
    new TypeError("x is not a function"),
    new Cancelled("stopped"),
    new Error("?"),
    "text",
    null,
    undefined,
    { a: 1 },
  ]) {
    const { code, text } = report(error);
    assert.equal(code, 70);
    assert.match(text, /this is a bug\. Please report it/);
  }
  assert.match(report(new TypeError("x is not a function")).text, /TypeError: x is not a function\n\s+at /);
});

test("an unknown error's text is not repeated: it may quote what was being read", () => {
  const canary = "c4nary";
  const errors: unknown[] = [new Error(canary), canary, { canary }, Object.assign(new Error(canary), { code: "EIO" })];
  try {
    JSON.parse(`${canary} {`);
  } catch (error) {
    errors.push(error);
  }
  for (const error of errors) assert.ok(!report(error).text.includes(canary));
  assert.match(report(errors[3]).text, /Error \(EIO\)/);
});

test("a command that throws does not throw out of the program", async () => {
  let text = "";
  const sink = { write: (part: string) => void (text += part) };
  const broken = {
    write: (): void => {
      throw new StoreFailed("standard output is gone");
    },
  };
  const code = await runProgram(["check", "--json-schema"], {
    stdout: broken,
    stderr: sink,
    stdin: { isTerminal: false, text: async () => "", line: async () => null, hiddenLine: async () => "" },
    env: {},
    stopSignal: () => new AbortController().signal,
    onHangUp: () => undefined,
    endNow: () => {
      throw new Error("not called");
    },
  });
  assert.equal(code, 74);
  assert.match(text, /standard output is gone/);
});
