/** The whole demo under Synapse's own rate limits, which no administrator has lifted. In a file of its own: it mostly waits. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { assertGreen, RECEIPTS, somebodysSynapse } from "./somebodysSynapse.ts";

/** Ten messages are let through, then one in five seconds. */
const LONGEST_LIMITED_MS = 1_200_000;

it(
  "the demo on somebody's Synapse is green under Synapse's own rate limits, with patience",
  { timeout: LONGEST_LIMITED_MS },
  async (t) => {
    const { demo, assertAsFound } = await somebodysSynapse(t, { rateLimits: "default" });
    const end = await demo("--json").ended;
    assertGreen(end, [RECEIPTS]);
    assert.match(end.stdout, /limits how fast an account may send/);
    await assertAsFound();
  },
);
