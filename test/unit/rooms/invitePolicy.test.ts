import assert from "node:assert/strict";
import { test } from "node:test";
import {
  HOUR_MS,
  isListed,
  judgeInvite,
  serverOf,
  type InvitePolicy,
  type Residency,
} from "../../../src/rooms/invitePolicy.ts";
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

const policy: InvitePolicy = { accept: ["@*:example.org"], publicRooms: false, maxRooms: 3, maxPerHour: 2 };
const quiet: Residency = { now: 10 * HOUR_MS, rooms: 0, joining: 0, accepted: [] };
const invite = { inviter: "@alice:example.org" as UserId, joinRule: "invite" };

test("an invitation of somebody on the list is accepted while there is room for it", () => {
  assert.deepEqual(judgeInvite(invite, policy, quiet), { kind: "accept" });
  assert.deepEqual(judgeInvite({ ...invite, joinRule: null }, policy, quiet), { kind: "accept" });
  assert.deepEqual(judgeInvite(invite, policy, { ...quiet, rooms: 2 }), { kind: "accept" });
});

test("an invitation of somebody else is refused before anything else is looked at", () => {
  const stranger = { inviter: "@alice:elsewhere.test" as UserId, joinRule: "public" };
  assert.deepEqual(judgeInvite(stranger, policy, { ...quiet, rooms: 9 }), {
    kind: "refuse",
    refusal: "inviter_not_allowed",
  });
});

test("an invitation to a public room is refused, unless the operator allows it", () => {
  const open = { ...invite, joinRule: "public" };
  assert.deepEqual(judgeInvite(open, policy, quiet), { kind: "refuse", refusal: "public_room" });
  assert.deepEqual(judgeInvite(open, { ...policy, publicRooms: true }, quiet), { kind: "accept" });
});

test("with as many rooms as are allowed an invitation is refused; one that only a join under way leaves no place waits", () => {
  assert.deepEqual(judgeInvite(invite, policy, { ...quiet, rooms: 3 }), { kind: "refuse", refusal: "too_many_rooms" });
  assert.deepEqual(judgeInvite(invite, policy, { ...quiet, rooms: 2, joining: 1 }), { kind: "busy" });
});

test("beyond so many within an hour an invitation waits until the hour of the first of them is over", () => {
  const accepted = [quiet.now - 60_000, quiet.now - 120_000];
  assert.deepEqual(judgeInvite(invite, policy, { ...quiet, accepted }), {
    kind: "wait",
    until: quiet.now - 120_000 + HOUR_MS,
  });
  assert.deepEqual(judgeInvite(invite, policy, { ...quiet, accepted: accepted.slice(1) }), { kind: "accept" });
  assert.deepEqual(judgeInvite(invite, policy, { ...quiet, accepted: accepted.slice(1), joining: 1 }), {
    kind: "busy",
  });
});
