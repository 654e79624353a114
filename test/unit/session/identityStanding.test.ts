import assert from "node:assert/strict";
import { test } from "node:test";
import { wordsFor } from "../../../src/session/identityStanding.ts";

test("what a new identity waits for is told so that it is true for the first one and for a reset", () => {
  for (const kind of ["password", "other_password"] as const) {
    const words = wordsFor({ kind: "waiting", for: { kind } }) ?? "";
    assert.doesNotMatch(words, /has no cross-signing identity/);
    for (const command of ["`docket identity create`", "`docket identity reset --i-know`"])
      assert.ok(words.includes(command));
  }
});
