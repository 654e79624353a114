/** The decision list where there is no request, or more than one; and when a request ends. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decide, expiresAt, lastMomentToStart } from "../../../src/protocol/decision.ts";
import { answered, asks, ignored, input, own, policy, sentAt, texts } from "./decisionInput.ts";

describe("an event without a request", () => {
  it("is handled, and nobody is answered", () => {
    assert.deepEqual(decide(input({ place: "Bridge" })), { kind: "handle", request: null });
  });

  it("is handled however old it is", () => {
    assert.equal(decide(input({}, { facts: { now: sentAt + 1e12 } })).kind, "handle");
  });

  it("is left alone without a handler", () => {
    assert.equal(ignored(decide(input({}, { facts: { hasHandler: false } }))), "no_handler");
  });

  it("is not handled when it is the bot's own, a response, a replay, or redacted", () => {
    assert.equal(ignored(decide(input({}, { event: { sender: own.userId } }))), "own_event");
    assert.equal(ignored(decide(input({}, { event: { type: "m.response.status" } }))), "response");
    assert.equal(ignored(decide(input({}, { facts: { replay: true } }))), "replay");
    assert.equal(ignored(decide(input({}, { facts: { redacted: true } }))), "redacted");
  });

  it("has no request by what stands in an edit's new content", () => {
    const edit = { "m.new_content": asks("stable", { from_device: "S" }) };
    assert.deepEqual(decide(input(edit)), { kind: "handle", request: null });
  });
});

describe("an event with requests in two dialects", () => {
  const both = { ...asks("stable", { from_device: "A" }), ...asks("gematik", { from_device: "B" }) };

  for (const order of [
    ["stable", "gematik"],
    ["gematik", "stable"],
    ["msc4300", "gematik", "stable"],
  ] as const)
    it(`is answered in the first dialect found of the operator's list ${order.join(", ")}`, () => {
      const decision = decide(input(both, { policy: { dialects: order } }));
      const first = order.find((dialect) => dialect !== "msc4300");
      assert.equal(decision.kind === "handle" && decision.request?.dialect, first);
      assert.equal(decision.kind === "handle" && decision.request?.fromDevice, first === "stable" ? "A" : "B");
    });

  it("is judged by that block alone: a malformed one beside it does not count", () => {
    const content = { ...asks("stable", { from_device: "A" }), ...asks("gematik", "broken") };
    assert.equal(decide(input(content)).kind, "handle");
    assert.equal(
      answered(decide(input(content, { policy: { dialects: ["gematik", "stable"] } }))),
      "malformed_request",
    );
  });

  it("is not rescued by a second block where the first is malformed or for another device", () => {
    const good = asks("gematik", { from_device: "B" });
    assert.equal(answered(decide(input({ ...good, ...asks("stable", {}) }))), "malformed_request");
    const elsewhere = asks("stable", { from_device: "A", to_device: "OTHER" });
    assert.equal(ignored(decide(input({ ...good, ...elsewhere }))), "other_device");
  });
});

describe("the end of a request", () => {
  const end = (lifetimeMs: number | null, originServerTs = sentAt, receivedAt = sentAt): number =>
    expiresAt({ originServerTs, receivedAt, lifetimeMs, policy });

  it("comes after its lifetime, or the default where it has none", () => {
    assert.equal(end(1_000), sentAt + 1_000);
    assert.equal(end(0), sentAt);
    assert.equal(end(null), sentAt + 90_000);
  });

  it("comes after the operator's longest lifetime at the latest, however long the sender asks for", () => {
    for (const lifetime of [86_400_001, Number.MAX_SAFE_INTEGER, 1e300])
      assert.equal(end(lifetime), sentAt + policy.maxLifetimeMs);
    const short = { defaultLifetimeMs: 90_000, maxLifetimeMs: 5_000 };
    const timing = { originServerTs: sentAt, receivedAt: sentAt, lifetimeMs: null };
    assert.equal(expiresAt({ ...timing, policy: short }), sentAt + 5_000);
  });

  it("counts from the time of receipt where the event claims to come from the future", () => {
    assert.equal(end(1_000, sentAt + 3_600_000, sentAt), sentAt + 1_000);
  });

  it("counts from the time of sending where the event was long under way", () => {
    assert.equal(end(1_000, sentAt, sentAt + 700), sentAt + 1_000);
  });

  it("leaves the margin for the last attempt", () => {
    assert.equal(lastMomentToStart(sentAt, 500), sentAt - 500);
  });

  it("is immediate for a lifetime of 0: there is no time to answer", () => {
    assert.equal(ignored(decide(input(asks("stable", { from_device: "S", lifetime: 0 })))), "no_time_left");
    const noMargin = { policy: { sendMarginMs: 0 } };
    assert.equal(answered(decide(input(asks("stable", { from_device: "S", lifetime: -0 }), noMargin))), "timed_out");
  });
});

describe("the message about an unknown type", () => {
  it("is bounded, however long the type is", () => {
    const event = { type: "t".repeat(60_000) };
    const decision = decide(input(asks("stable", { from_device: "S" }), { event, facts: { hasHandler: false } }));
    assert.ok(texts(decision)[0]!.length < 300);
  });
});
