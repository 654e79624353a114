/** Responses of others: read liberally. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { dialectNames, dialects } from "../../../src/protocol/dialects.ts";
import { isResponseType, readReference, readResponse } from "../../../src/protocol/responses.ts";
import { read } from "./responseReading.ts";

describe("a response that is read", () => {
  const block = { from_device: "X", status: "success" };

  for (const type of dialectNames.map((name) => dialects[name].responseType))
    for (const name of new Set(dialectNames.flatMap((dialect) => dialects[dialect].responseBlocks)))
      it(`is understood with the type ${type} and the block ${name}`, () => {
        assert.equal(isResponseType(type), true);
        assert.equal(read(type, { [name]: block }).fromDevice, "X");
      });

  for (const key of ["m.text", "org.matrix.msc1767.text", "de.gematik.text"])
    it(`is understood with texts under ${key}, in any form`, () => {
      const forms = [
        [{ body: "hello" }],
        [
          { body: "<b>", mimetype: "text/html" },
          { body: "hello", mimetype: "text/plain" },
        ],
        [7, null, { body: 1 }, { body: "hello", mimetype: "text/html" }],
        { body: "hello" },
        "hello",
      ];
      for (const form of forms) {
        const content = { "m.response.status": { ...block, messages: [{ type: "warning", [key]: form }] } };
        assert.deepEqual(read("m.response.status", content).messages, [{ type: "warning", text: "hello" }]);
      }
    });

  it("loses only what can't be read", () => {
    const messages = [1, null, {}, { type: "info" }, { type: "loud", "m.text": "a" }, { "m.text": [] }];
    const content = { "m.response.status": { status: "error", messages }, "io.github.matrix-docket.code": 4 };
    assert.deepEqual(read("m.response.status", content), {
      fromDevice: null,
      status: "error",
      messages: [{ type: "info", text: "a" }],
      code: null,
      requestEventId: null,
      extra: {},
    });
  });

  it("prefers the block of its own type", () => {
    const content = { "m.response.status": { status: "error" }, "de.gematik.response.status": { status: "success" } };
    assert.equal(read("de.gematik.response.status", content).status, "success");
  });

  it("is nothing where the type is another", () => {
    assert.deepEqual(readResponse("m.room.message", { "m.response.status": block }), { kind: "none" });
    assert.equal(isResponseType("m.request.status"), false);
  });

  it("is malformed, with the property named, where there is no block or no status", () => {
    assert.deepEqual(readResponse("m.response.status", {}), {
      kind: "malformed",
      problem: "m.response.status must be an object",
    });
    assert.deepEqual(readResponse("m.response.status", { "de.gematik.response.status": "success" }), {
      kind: "malformed",
      problem: "de.gematik.response.status must be an object",
    });
    assert.deepEqual(readResponse("m.response.status", { "m.response.status": { status: "fine" } }), {
      kind: "malformed",
      problem: 'm.response.status.status must be "success" or "error"',
    });
  });

  it("names the request by m.reference alone", () => {
    assert.equal(readReference({ "m.relates_to": { rel_type: "m.reference", event_id: "$a" } }), "$a");
    for (const relates of [
      null,
      "x",
      [],
      {},
      { rel_type: "m.thread", event_id: "$a" },
      { rel_type: "m.reference", event_id: 1 },
      { rel_type: "m.reference", event_id: "" },
    ])
      assert.equal(readReference({ "m.relates_to": relates }), null);
  });
});
