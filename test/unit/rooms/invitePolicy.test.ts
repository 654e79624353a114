import assert from "node:assert/strict";
import { test } from "node:test";
import { isListed, serverOf } from "../../../src/rooms/invitePolicy.ts";
import type { UserId } from "../../../src/protocol/ids.ts";

const allows = (patterns: string[], user: string) => isListed(user as UserId, patterns);

test("an empty list accepts nobody", () => {
  assert.equal(allows([], "@alice:example.org"), false);
});

test("users and whole servers are accepted by the inviter's ID, and no look-alike is", () => {
  const patterns = ["@alice:one.example", "@*:two.example"];
  for (const [user, accepted] of [
    ["@alice:one.example", true],
    ["@bob:one.example", false],
    ["@bob:two.example", true],
    ["@bob:two.example.evil.test", false],
    ["@bob:twoxexample", false],
    ["@bob:evil.test:two.example", false],
    ["@alice:one.example\n", false],
  ] as const) {
    assert.equal(allows(patterns, user), accepted, user);
  }
});

test("the server to join through is that of the inviter, port included", () => {
  assert.equal(serverOf("@a:example.org:8448" as UserId), "example.org:8448");
  assert.equal(serverOf("@a" as UserId), null);
});
