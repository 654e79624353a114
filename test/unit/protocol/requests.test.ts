/** Requests as they come over the wire. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { dialectNames, dialects } from "../../../src/protocol/dialects.ts";
import type { JsonObject } from "../../../src/protocol/json.ts";
import { isProtocolProperty, readRequest } from "../../../src/protocol/requests.ts";

describe("a request that is read", () => {
  for (const dialect of dialectNames)
    it(`has every property as the sender wrote it (${dialect})`, () => {
      const block = { from_device: "S", to_device: "T", lifetime: 90_000, later: "ignored" };
      assert.deepEqual(readRequest({ [dialects[dialect].requestBlock]: block }, dialectNames), {
        kind: "request",
        dialect,
        request: { fromDevice: "S", toDevice: "T", lifetimeMs: 90_000 },
      });
    });

  it("has no device and no lifetime where the sender leaves them out", () => {
    const reading = readRequest({ "m.request.status": { from_device: "" } }, dialectNames);
    assert.deepEqual(reading, {
      kind: "request",
      dialect: "stable",
      request: { fromDevice: "", toDevice: null, lifetimeMs: null },
    });
  });

  for (const [text, lifetimeMs] of [
    ["-0", 0],
    ["9e4", 90_000],
    ["90000.0", 90_000],
    ["1e300", 1e300],
  ] as const)
    it(`takes ${text} for an integer`, () => {
      const content = JSON.parse(`{"m.request.status": {"from_device": "S", "lifetime": ${text}}}`) as JsonObject;
      const reading = readRequest(content, dialectNames);
      assert.ok(reading.kind === "request" && Object.is(reading.request.lifetimeMs, lifetimeMs));
    });

  it("takes a number beyond all numbers for none", () => {
    const content = JSON.parse('{"m.request.status": {"from_device": "S", "lifetime": 1e999}}') as JsonObject;
    assert.equal(readRequest(content, dialectNames).kind, "malformed");
  });

  it("is only what the sender wrote, not what objects inherit", () => {
    const block = { from_device: "S" };
    const heir = Object.create({ "m.request.status": block }) as JsonObject;
    assert.deepEqual(readRequest(heir, dialectNames), { kind: "none" });
    const inheritsDevice = { "m.request.status": Object.create(block) as JsonObject };
    assert.equal(readRequest(inheritsDevice, dialectNames).kind, "malformed");
    const underProto = JSON.parse('{"__proto__": {"m.request.status": {"from_device": "S"}}}') as JsonObject;
    assert.deepEqual(readRequest(underProto, dialectNames), { kind: "none" });
  });

  it("is none where every dialect is switched off", () => {
    assert.deepEqual(readRequest({ "m.request.status": { from_device: "S" } }, []), { kind: "none" });
  });
});

it("blocks of the protocol and relations are told from an event's own properties", () => {
  for (const name of ["m.request.status", "de.gematik.response.status", "m.relates_to"])
    assert.equal(isProtocolProperty(name), true);
  for (const name of ["incident", "m.text", "body", "__proto__"]) assert.equal(isProtocolProperty(name), false);
});
