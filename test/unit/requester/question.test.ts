/** What people may ask for on the command line, and the event that it becomes. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { UserId } from "../../../src/protocol/ids.ts";
import type { JsonObject } from "../../../src/protocol/json.ts";
import { readRequest } from "../../../src/protocol/requests.ts";
import { missing, readExpectation } from "../../../src/requester/expectation.ts";
import { readSubject, withRequest, type SubjectOptions } from "../../../src/requester/question.ts";
import { isRoomReference } from "../../../src/requester/roomLookup.ts";

const nothing: SubjectOptions = { dialect: "stable", type: null, content: null, text: null, capabilities: null };

function subject(options: Partial<SubjectOptions>) {
  const reading = readSubject({ ...nothing, ...options });
  assert(reading.ok, JSON.stringify(reading));
  return reading.subject;
}

function problem(options: Partial<SubjectOptions>): string {
  const reading = readSubject({ ...nothing, ...options });
  assert(!reading.ok);
  return reading.problem;
}

describe("the event", () => {
  it("is a text, any type with a content, or a type alone", () => {
    assert.deepEqual(subject({ text: "hello" }), {
      type: "m.room.message",
      content: { msgtype: "m.text", body: "hello" },
      askedTypes: null,
    });
    assert.equal(subject({ text: "hello", type: "org.example.a" }).type, "org.example.a");
    assert.deepEqual(subject({ type: "a", content: '{"b": [1]}' }).content, { b: [1] });
    assert.deepEqual(subject({ type: "a" }).content, {});
    assert.deepEqual(subject({ type: "a", content: '{"m.relates_to": {}}' }).content, { "m.relates_to": {} });
  });

  it("is the question about capabilities in the words of the dialect, each type once", () => {
    const asked = subject({ capabilities: ["a", "b", "a"], dialect: "gematik" });
    const name = "de.gematik.msc4301.request.event_capability";
    assert.deepEqual(asked, {
      type: name,
      content: { [name]: { events: [{ type: "a" }, { type: "b" }] } },
      askedTypes: ["a", "b"],
    });
    assert.equal(subject({ capabilities: ["a"] }).type, "m.request.event_capability");
  });

  it("is refused with the reason, and never with a part of the content", () => {
    const canary = "c4nary";
    for (const options of [
      {},
      { content: "{}" },
      { text: "a", content: "{}" },
      { capabilities: ["a"], type: "b" },
      { type: "", content: "{}" },
      { type: "x".repeat(256) },
      { type: "m.room.encrypted" },
      { type: "de.gematik.response.status" },
      { type: "a", content: `{"${canary}": ` },
      { type: "a", content: `["${canary}"]` },
      { type: "a", content: `{"${canary}": 1.5}` },
      { type: "a", content: `{"m.request.status": {"from_device": "${canary}"}}` },
      { type: "a", content: `{"de.gematik.request.status": "${canary}"}` },
    ]) {
      const said = problem(options);
      assert(said.length > 10 && !said.includes(canary), said);
    }
  });

  it("carries a request that the bot reads as it was meant", () => {
    const content = withRequest(subject({ type: "a", content: '{"b": 1}' }), "msc4300", {
      fromDevice: "INA",
      toDevice: "BOT",
      lifetimeMs: 5_000,
    });
    assert.deepEqual(readRequest(content, ["msc4300"]), {
      kind: "request",
      dialect: "msc4300",
      request: { fromDevice: "INA", toDevice: "BOT", lifetimeMs: 5_000 },
    });
    const bare = withRequest(subject({ type: "a" }), "stable", { fromDevice: "INA", toDevice: null, lifetimeMs: 0 });
    assert.deepEqual(bare, { "m.request.status": { from_device: "INA", lifetime: 0 } } satisfies JsonObject);
    assert.throws(
      () => withRequest(subject({ type: "a" }), "stable", { fromDevice: "INA", toDevice: null, lifetimeMs: 0.5 }),
      TypeError,
    );
  });
});

describe("the expectation", () => {
  const own = "@ina:a.b" as UserId;

  it("is one answer, or one of each named user, or as many as are asked for", () => {
    const read = (answers: number | null, ...from: string[]): unknown => readExpectation({ answers, from }, own);
    assert.deepEqual(read(null), { ok: true, expectation: { answers: 1, from: [] } });
    assert.deepEqual(read(null, "@a:b", "@c:d", "@a:b"), {
      ok: true,
      expectation: { answers: 2, from: ["@a:b", "@c:d"] },
    });
    assert.deepEqual(read(3, "@a:b"), { ok: true, expectation: { answers: 3, from: ["@a:b"] } });
    assert.deepEqual(read(null, own, "@a:b"), { ok: true, expectation: { answers: 2, from: [own, "@a:b"] } });
  });

  it("is refused where nobody could meet it", () => {
    for (const [answers, ...from] of [
      [1, "@a:b", "@c:d"],
      [null, own],
      [null, "docket"],
      [null, "@docket"],
    ] as const)
      assert.equal(readExpectation({ answers, from }, own).ok, false);
  });

  it("says how many answers are missing at least", () => {
    const [a, b] = ["@a:b", "@b:b"] as UserId[] as [UserId, UserId];
    assert.equal(missing({ answers: 2, from: [] }, [a]), 1);
    assert.equal(missing({ answers: 2, from: [] }, [a, a, b]), 0);
    assert.equal(missing({ answers: 2, from: [a, b] }, [a, a]), 1);
    assert.equal(missing({ answers: 3, from: [a] }, [a]), 2);
  });
});

describe("a room", () => {
  it("is named by its ID, with or without a server, or by an alias", () => {
    for (const room of ["!abc:a.b", "!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM", "#alarms:a.b:8448"])
      assert(isRoomReference(room));
    for (const room of ["abc", "!", "#alarms", "!a b", "@a:b", ""]) assert(!isRoomReference(room), room);
  });
});
