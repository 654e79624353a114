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
