/** The words for how the device stands to its account's identity. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { wordsFor } from "../../../src/session/identityStanding.ts";

test("what a new identity waits for says whether the account has one meanwhile, and how to go on with it", () => {
  for (const wanted of [{ kind: "password" }, { kind: "other_password" }] as const) {
    const first = wordsFor({ kind: "waiting", for: wanted, isReset: false }) ?? "";
    assert.match(first, /has no cross-signing identity yet.*docket identity create/);
    assert.doesNotMatch(first, /reset/);
    const reset = wordsFor({ kind: "waiting", for: wanted, isReset: true }) ?? "";
    assert.match(reset, /keeps the identity that it has.*docket identity reset --i-know/);
    assert.doesNotMatch(reset, /no cross-signing identity/);
  }
});
