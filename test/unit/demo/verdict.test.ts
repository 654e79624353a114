/** The demo's verdict has teeth: every way in which an answer can be wrong is called wrong. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Ask } from "../../../demo/scenario.ts";
import { readResponse, type SeenEvent, type StatusResponse } from "../../../demo/sender/seenEvent.ts";
import { judge, type Judge } from "../../../demo/verdict.ts";
import type { JsonObject } from "../../../src/protocol/json.ts";

const BY: Judge = { botUserId: "@docket:localhost", botDevice: "docketdemo", encryptedRoom: true, canary: "CANARY" };
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
    for (const [ask, responses] of rightly) assert.deepEqual(judge(ask, responses, BY).problems, []);
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
      const verdict = judge(ask, responses, BY);
      assert.equal(verdict.ok, false);
      assert.match(verdict.problems.join("; "), problem);
    });
  }
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
