import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Table, type TableOptions } from "../../../demo/table.ts";
import type { Row } from "../../../demo/wire.ts";

const ROW: Row = {
  ok: true,
  where: "encrypted",
  asked: "a valid emergency report",
  answer: "success",
  expected: "success",
  problems: [],
  tookMs: 41,
  receivedBy: ["@docket:localhost"],
  eventId: "$event",
};
const FAILED: Row = { ...ROW, ok: false, answer: "no answer", problems: ["an answer was expected"], tookMs: null };

function printed(rows: readonly Row[], options: Partial<TableOptions> & { isTTY?: boolean } = {}): string {
  let text = "";
  const output = { write: (more: string) => (text += more), isTTY: options.isTTY ?? false, columns: 120 };
  const table = new Table(output, { json: options.json ?? false, noColor: options.noColor ?? false });
  for (const row of rows) table.row(row);
  table.end(1234);
  return text;
}

describe("the demo's table", () => {
  it("has its columns under each other", () => {
    const lines = printed([ROW, { ...ROW, where: "plain", tookMs: 1234 }]).split("\n");
    const [heading = "", first = "", second = ""] = lines;
    assert.equal(heading.indexOf("came back"), first.indexOf("success"));
    assert.equal(first.indexOf("success"), second.indexOf("success"));
    assert.equal(heading.indexOf("asked"), second.indexOf("a valid"));
    assert.match(first, /^ok .* 41 ms /);
  });

  it("says FAIL, what was expected and what is wrong, and counts it", () => {
    const text = printed([ROW, FAILED]);
    assert.match(text, /^FAIL encrypted/m);
    assert.match(text, /expected: success\n +problem: {2}an answer was expected/);
    assert.match(text, /2 rows, 1 ok: 1 not as expected, in 1\.2 s/);
  });

  it("counts what can't be shown on this homeserver neither as good nor as failed", () => {
    const notHere: Row = { ...ROW, ok: null, answer: "not here: it knows none" };
    const text = printed([ROW, notHere]);
    assert.match(text, /^-- {3}encrypted .*not here: it knows none$/m);
    assert.doesNotMatch(text, /expected: /);
    assert.match(text, /2 rows, 1 ok, 1 not here: all as expected/);
    assert.match(printed([notHere]), /1 rows, 0 ok, 1 not here: 0 not as expected/);
    const lines = printed([ROW, notHere], { json: true }).trim().split("\n");
    assert.equal((JSON.parse(lines[1] ?? "") as Row).ok, null);
    assert.deepEqual(JSON.parse(lines[2] ?? ""), { ok: true, rows: 2, failed: 0, notHere: 1, tookMs: 1234 });
  });

  it("is as expected only when there are rows and none failed", () => {
    const table = new Table({ write: () => undefined }, { json: false, noColor: true });
    assert.equal(table.allOk, false);
    table.row(ROW);
    assert.equal(table.allOk, true);
    table.note(false, "the bot died");
    assert.equal(table.allOk, false);
    table.row(ROW);
    assert.equal(table.allOk, false);
  });

  it("is coloured on a terminal only, and never with NO_COLOR", () => {
    assert.ok(printed([ROW], { isTTY: true }).includes("\u001b[32mok\u001b[0m"));
    for (const options of [{ isTTY: false }, { isTTY: true, noColor: true }, { isTTY: true, json: true }]) {
      assert.ok(!printed([ROW, FAILED], options).includes("\u001b"));
    }
  });

  it("is JSON lines with --json, each with ok", () => {
    const lines = printed([ROW, FAILED], { json: true }).trim().split("\n");
    const parsed = lines.map((line) => JSON.parse(line) as { ok: boolean });
    assert.deepEqual(
      parsed.map((line) => line.ok),
      [true, false, false],
    );
    assert.deepEqual(parsed[0], ROW);
  });

  it("cuts no row when it is piped, and fits rows to a terminal", () => {
    const long = { ...ROW, answer: "x".repeat(300) };
    assert.ok(printed([long]).includes("x".repeat(300)));
    const widths = printed([long], { isTTY: true, noColor: true })
      .split("\n")
      .map((line) => line.length);
    assert.ok(Math.max(...widths) <= 120);
  });
});
