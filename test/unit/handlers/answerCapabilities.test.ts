/** The answer to the question which events are understood (MSC4301). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { answerCapabilities } from "../../../src/handlers/answerCapabilities.ts";
import type { JsonObject, JsonValue } from "../../../src/protocol/json.ts";
import { clearEvent, neverAborted, stepContext } from "./fixtures.ts";

const step = answerCapabilities(({ type }) => type.startsWith("known."));
const type = "m.request.event_capability";
const ask = (content: JsonObject) => step.run({ ...clearEvent(content), type }, stepContext(), neverAborted);
const askAbout = (...events: JsonValue[]) => ask({ [type]: { events } });

test("what is understood is answered as it stood in the question, in its order, and the rest is left out", async () => {
  const first = { type: "known.b", content: [{ key: "x", value: "y", note: "kept" }] };
  assert.deepEqual(await askAbout({ type: "other" }, first, { type: 5 }, { type: "known.a" }), {
    status: "success",
    extra: { "m.response.event_capability": { events: [first, { type: "known.a" }] } },
  });
});

test("nothing understood is a success with an empty list: the question was", async () => {
  assert.deepEqual(await askAbout({ type: "other" }), {
    status: "success",
    extra: { "m.response.event_capability": { events: [] } },
  });
});

test("a malformed question is an error that names the property", async () => {
  const verdict = await ask({ [type]: { events: {} } });
  assert.equal(verdict.status, "error");
  assert.deepEqual(verdict.messages, [{ type: "error", text: `${type}.events must be a list` }]);
});

test("what a server would refuse in an event is not repeated", async () => {
  const verdict = await askAbout({ type: "known.a", extra: 0.5 }, { type: "known.b" });
  assert.deepEqual(verdict.extra, { "m.response.event_capability": { events: [{ type: "known.b" }] } });
});

test("a question whose answer would not fit into an event is an error, not an answer with a part of it", async () => {
  const many = Array.from({ length: 2_000 }, (_, place) => ({ type: `known.${place}` }));
  const verdict = await askAbout(...many);
  assert.ok(verdict.status === "error" && verdict.code === "invalid_content");
  assert.match(verdict.messages[0]?.text ?? "", /too long/);
});
