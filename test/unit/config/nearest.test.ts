import assert from "node:assert/strict";
import { test } from "node:test";
import { closest, editDistance } from "../../../src/config/nearest.ts";

test("the nearest known key is suggested for a slip of the fingers, and none for a key that is like nothing", () => {
  const keys = ["homeserver", "account", "data", "log", "send_margin", "handlers", "handlers_per_room"];
  const cases: [string, string | null][] = [
    ["homeservr", "homeserver"],
    ["hoemserver", "homeserver"],
    ["acount", "account"],
    ["sendMargin", "send_margin"],
    ["send-margin", "send_margin"],
    ["Log", "log"],
    ["handler", "handlers"],
    ["capabilities", null],
    ["logging", "log"],
    ["x", null],
    ["", null],
  ];
  for (const [word, expected] of cases) assert.equal(closest(word, keys), expected, word);
});

test("swapped neighbours count as one slip", () => {
  assert.equal(editDistance("recrod", "record"), 1);
  assert.equal(editDistance("", "abc"), 3);
  assert.equal(editDistance("kitten", "sitting"), 3);
});
