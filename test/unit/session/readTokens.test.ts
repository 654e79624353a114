import assert from "node:assert/strict";
import { test } from "node:test";
import { readTokens } from "../../../src/session/readTokens.ts";

const NOW = 1_700_000_000_000;
const given = (more: object) => readTokens({ accessToken: "a", refreshToken: "r", lifetimeMs: 300_000, ...more }, NOW);

test("tokens and their end are taken over", () => {
  assert.deepEqual(given({}), { accessToken: "a", refreshToken: "r", expiresAt: NOW + 300_000 });
});

test("a lifetime with fractions ends in whole milliseconds, as the database wants it", () => {
  assert.equal(given({ lifetimeMs: 1234.5 })?.expiresAt, NOW + 1234);
});

for (const lifetimeMs of [0, -5, Infinity, 1e300, NaN, "300", null, undefined]) {
  test(`a lifetime of ${typeof lifetimeMs === "string" ? "a text" : String(lifetimeMs)} is no reason to lose the tokens, whose end is not known then`, () => {
    assert.deepEqual(given({ lifetimeMs }), { accessToken: "a", refreshToken: "r", expiresAt: null });
  });
}

test("an empty refresh token is none", () => {
  for (const refreshToken of ["", 5, null, undefined]) assert.equal(given({ refreshToken })?.refreshToken, null);
});

test("an access token that no HTTP header can carry is no token", () => {
  for (const accessToken of ["", "a\nb", "a b", "ä", 5, null, undefined]) assert.equal(given({ accessToken }), null);
});
