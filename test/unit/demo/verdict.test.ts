/** The demo's verdict has teeth: every way in which an answer can be wrong is called wrong. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Ask } from "../../../demo/scenario.ts";
import { readResponse, type SeenEvent, type StatusResponse } from "../../../demo/sender/seenEvent.ts";
import { judge, type Judge } from "../../../demo/verdict.ts";
import type { JsonObject } from "../../../src/protocol/json.ts";

const BY: Judge = {
  botUserId: "@docket:localhost",
  botDevice: "docketdemo",
  encryptedRoom: true,
  canary: "CANARY",
  receipts: false,
};
const ASK: Ask = { asked: "a", type: "t", content: {}, dialect: "stable", expected: { kind: "success" } };
const REFUSED: Ask = { ...ASK, expected: { kind: "error", code: "invalid_content", says: "incident.place" } };
const BLOCK = { from_device: "docketdemo", status: "success" };

function response(content: JsonObject, changes: Partial<SeenEvent> = {}): StatusResponse {
  const event: SeenEvent = {
    roomId: "!room",
    eventId: "$answer",
    sender: "@docket:localhost",
    type: "m.response.status",
    content: { "m.relates_to": { rel_type: "m.reference", event_id: "$request" }, ...content },
    encrypted: true,
    undecryptable: null,
    senderDevice: "docketdemo",
    sessionId: "s",
    messageIndex: 0,
    receivedAtMs: 0,
    wire: {},
    ...changes,
  };
  const read = readResponse(event, "$request");
  assert.ok(read !== null);
  return read;
}

const good = response({ "m.response.status": BLOCK });
const error = (text: string, code: string, more: JsonObject = {}): StatusResponse =>
  response({
    "m.response.status": {
      ...BLOCK,
      status: "error",
      messages: [{ type: "error", "m.text": [{ body: text }] }],
    },
    "io.github.matrix-docket.code": code,
    ...more,
  });
const msc4300 = (copy: JsonObject): StatusResponse =>
  response(
    { "de.gematik.msc4300.response.status": BLOCK, "m.response.status": copy },
    { type: "de.gematik.msc4300.response.status" },
  );

describe("the demo's verdict", () => {
  it("is well about one right answer, about a right refusal, and about silence where it is right", () => {
    const rightly: readonly [Ask, readonly StatusResponse[]][] = [
      [ASK, [good]],
      [REFUSED, [error("incident.place is missing", "invalid_content")]],
      [{ ...ASK, dialect: "msc4300" }, [msc4300(BLOCK)]],
      [{ ...ASK, expected: { kind: "nothing" } }, []],
    ];
    for (const [ask, responses] of rightly) assert.deepEqual(judge(ask, responses, [], BY).problems, []);
  });

  const wrong: readonly [string, Ask, readonly StatusResponse[], RegExp][] = [
    ["silence", ASK, [], /an answer was expected/],
    ["an answer that nobody wants", { ...ASK, expected: { kind: "nothing" } }, [good], /no answer was expected/],
    ["two answers", ASK, [good, good], /answered 2 times/],
    ["an error instead of a success", ASK, [error("x", "handler_failed")], /status is error/],
    ["a success instead of an error", REFUSED, [good], /status is success/],
    ["another reason code", REFUSED, [error("incident.place is missing", "unknown_type")], /code is unknown_type/],
    ["an error that does not say what to mend", REFUSED, [error("no", "invalid_content")], /names incident.place/],
    [
      "a message that repeats a value",
      REFUSED,
      [error("incident.place is missing, found CANARY", "invalid_content")],
      /repeats a value/,
    ],
    [
      "an answer in the clear in an encrypted room",
      ASK,
      [response({ "m.response.status": BLOCK }, { encrypted: false })],
      /in the clear/,
    ],
    [
      "an answer of somebody else",
      ASK,
      [response({ "m.response.status": BLOCK }, { sender: "@eve:localhost" })],
      /came from @eve/,
    ],
    [
      "an answer encrypted by another device",
      ASK,
      [response({ "m.response.status": BLOCK }, { senderDevice: "EVE" })],
      /another device/,
    ],
    [
      "another from_device",
      ASK,
      [response({ "m.response.status": { ...BLOCK, from_device: "EVE" } })],
      /from_device is EVE/,
    ],
    ["another dialect", { ...ASK, dialect: "gematik" }, [good], /another dialect/],
    [
      "two blocks that differ",
      { ...ASK, dialect: "msc4300" },
      [msc4300({ ...BLOCK, status: "error" })],
      /older readers/,
    ],
  ];
  for (const [what, ask, responses, problem] of wrong) {
    it(`is not well about ${what}`, () => {
      const verdict = judge(ask, responses, [], BY);
      assert.equal(verdict.ok, false);
      assert.match(verdict.problems.join("; "), problem);
    });
  }
});

describe("the demo's verdict on receipts", () => {
  const bot = "@docket:localhost";
  const problems = (receivedBy: readonly string[], receipts: boolean, ask: Ask = ASK): readonly string[] =>
    judge(ask, [good], receivedBy, { ...BY, receipts }).problems;

  it("is well about one of the bot where one is due, and about none elsewhere", () => {
    assert.deepEqual(problems([bot], true), []);
    assert.deepEqual(problems([], false), []);
    assert.deepEqual(judge({ ...ASK, expected: { kind: "nothing" }, how: "replay" }, [], [], BY).problems, []);
  });

  it("is not well about one that is missing, undue, doubled, or somebody else's", () => {
    assert.match(problems([], true).join(), /no receipt came/);
    assert.match(problems([bot], false).join(), /nobody should get/);
    assert.match(problems([bot, bot], true).join(), /receipts came from/);
    assert.match(problems(["@eve:localhost"], true).join(), /came from @eve/);
    assert.match(problems([bot], true, { ...ASK, how: "replay" }).join(), /nobody should get/);
  });
});

describe("the demo's verdict on what is understood", () => {
  const events = [{ type: "a.b" }, { type: "c.d", content: [{ key: "x", value: "y" }] }];
  const ask: Ask = { ...ASK, expected: { kind: "understands", events } };
  const answer = (listed: readonly JsonObject[]): StatusResponse =>
    response({ "m.response.status": BLOCK, "m.response.event_capability": { events: listed } });

  it("is well about exactly the events that were expected, as they stood in the question", () => {
    const verdict = judge(ask, [answer(events)], [], BY);
    assert.deepEqual(verdict.problems, []);
    assert.equal(verdict.answer, "success for a.b, c.d");
  });

  it("is not well about more, fewer, or changed ones, nor about an error", () => {
    for (const listed of [[], events.slice(1), [...events, { type: "e" }], [{ type: "a.b" }, { type: "c.d" }]])
      assert.match(judge(ask, [answer(listed)], [], BY).problems.join(), /other events/);
    assert.match(judge(ask, [error("x", "timed_out")], [], BY).problems.join(), /status is error/);
  });
});

describe("readResponse", () => {
  const event = good.event;
  it("takes a response only for the request that it refers to", () => {
    assert.equal(readResponse(event, "$other"), null);
    assert.equal(readResponse({ ...event, type: "org.example.response" }, "$request"), null);
    const reply = { rel_type: "m.thread", event_id: "$request" };
    assert.equal(readResponse({ ...event, content: { ...event.content, "m.relates_to": reply } }, "$request"), null);
  });
});
