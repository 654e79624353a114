/** What the bot's parts tell about their state is kept until they say otherwise. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Vitals } from "../../src/vitals.ts";

test("a note stands until its part takes it back, and a second one of the same part takes its place", () => {
  const vitals = new Vitals();
  vitals.note("receipts", "Delivery receipts: the homeserver does not support them.");
  vitals.note("capabilities", "Capabilities are not advertised.");
  vitals.note("receipts", "Delivery receipts: switched off.");
  assert.deepEqual(vitals.notes(), ["Capabilities are not advertised.", "Delivery receipts: switched off."]);
  assert.equal(vitals.note("receipts", "Delivery receipts: switched off."), false, "no news");
  assert.equal(vitals.note("receipts", null), true);
  vitals.note("never noted", null);
  assert.deepEqual(vitals.notes(), ["Capabilities are not advertised."]);
});

test("who can't read what was said is told by room, as of the last time, and no more than a thousand are kept", () => {
  const vitals = new Vitals();
  const unsigned = (userId: string) => ({ userId, reason: "unsigned" }) as const;
  vitals.unreadable("!a:x", [unsigned("@bob:x"), unsigned("@carol:x")]);
  vitals.unreadable("!b:x", [unsigned("@bob:x")]);
  vitals.unreadable("!a:x", [unsigned("@carol:x")]);
  const told = (): string[] => vitals.facts().unreadable.map(({ roomId, userId }) => `${roomId} ${userId}`);
  assert.deepEqual(told(), ["!b:x @bob:x", "!a:x @carol:x"]);
  vitals.unreadable("!b:x", []);
  assert.deepEqual(told(), ["!a:x @carol:x"]);
  const crowd = Array.from({ length: 700 }, (_, n) => unsigned(`@user${n}:x`));
  for (const room of ["!c:x", "!d:x"]) vitals.unreadable(room, crowd);
  assert.equal(told().length, 700);
  assert.ok(
    told().every((entry) => entry.startsWith("!d:x ")),
    "the room that was written to last",
  );
});
