import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  DURATION_PATTERN,
  SIZE_PATTERN,
  formatDuration,
  formatSize,
  parseDuration,
  parseSize,
} from "../../../src/config/units.ts";

test("durations are read in every unit, and 0 needs none", () => {
  const cases: [unknown, number][] = [
    ["500ms", 500],
    ["20s", 20_000],
    ["5m", 300_000],
    ["24h", 86_400_000],
    ["7d", 604_800_000],
    ["10y", 315_360_000_000],
    ["0", 0],
    [0, 0],
    ["0s", 0],
  ];
  for (const [text, ms] of cases) assert.equal(parseDuration(text), ms, String(text));
});

test("what is no duration is refused, whatever it looks like", () => {
  for (const text of [
    "",
    "5",
    5,
    "5 s",
    "-5s",
    "1.5h",
    "5S",
    "5M",
    "5sec",
    "5s5",
    "s",
    null,
    true,
    ["5s"],
    "999999999999y",
    "5kb",
  ]) {
    assert.equal(parseDuration(text), null, String(text));
  }
});

test("sizes are read in every unit, and 0 needs none", () => {
  const cases: [unknown, number][] = [
    ["12B", 12],
    ["10KB", 10_000],
    ["1MB", 1_000_000],
    ["512MiB", 536_870_912],
    ["2GiB", 2_147_483_648],
    ["1TiB", 1_099_511_627_776],
    [0, 0],
  ];
  for (const [text, bytes] of cases) assert.equal(parseSize(text), bytes, String(text));
});

test("what is no size is refused", () => {
  for (const text of ["", "2", 2, "2gib", "2 GiB", "2G", "-1B", "1.5GiB", "999999999999TiB", null, {}]) {
    assert.equal(parseSize(text), null, String(text));
  }
});

test("what is written comes back when it is read, and editors accept it", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 10 ** 12 }), (quantity) => {
      assert.equal(parseDuration(formatDuration(quantity)), quantity);
      assert.equal(parseSize(formatSize(quantity)), quantity);
      assert.match(formatDuration(quantity), new RegExp(DURATION_PATTERN));
      assert.match(formatSize(quantity), new RegExp(SIZE_PATTERN));
    }),
  );
});
