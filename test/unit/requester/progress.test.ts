/** The line at the bottom of a terminal. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Progress } from "../../../src/requester/progress.ts";

test("the line is written over, and gone before anything else is written; without a terminal there is none", () => {
  let screen = "";
  const progress = new Progress((text) => (screen += text));
  progress.clear();
  assert.equal(screen, "");
  progress.show({ answers: 0, missing: 2, receivedBy: 0, leftMs: 89_001 });
  progress.show({ answers: 1, missing: 1, receivedBy: 2, leftMs: 1_000 });
  progress.clear();
  progress.clear();
  assert.deepEqual(screen.split("\r\u001b[2K"), [
    "",
    "waiting   0 of 2, 90 s left",
    "waiting   1 of 2, received by 2, 1 s left",
    "",
  ]);
  new Progress(null).show({ answers: 0, missing: 1, receivedBy: 0, leftMs: 1 });
});
