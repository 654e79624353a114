/** Which verifications are remembered. */
import assert from "node:assert/strict";
import test from "node:test";
import type { UserId } from "../../../src/protocol/ids.ts";
import { VerificationFlows } from "../../../src/crypto/verificationFlows.ts";

test("what has ended is forgotten with time, and in great numbers, also where nobody asks for the list", () => {
  let now = 0;
  const flows = new VerificationFlows({ now: () => now, sleep: () => Promise.resolve() });
  const end = (flowId: string): string => {
    const userId = "@operator:example.org" as UserId;
    const nothing = { deviceId: null, roomId: null, emoji: null, decimals: null, cancelled: null };
    const times = { since: now, expiresAt: now + 600_000 };
    const flow = flows.add(flowId, { ...nothing, ...times, kind: "operator", userId, phase: "requested" }, false);
    flows.update(flow, { phase: "verified" });
    return flow.now.id;
  };
  const ids = Array.from({ length: 80 }, (_, place) => end(`flow ${place}`));
  assert.equal(flows.withId(ids[0] ?? ""), null);
  assert.notEqual(flows.withId(ids[79] ?? ""), null);
  now += 600_001;
  end("another");
  assert.equal(flows.withId(ids[79] ?? ""), null);
});
