/** Which handler an event type gets. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { Handler } from "../../../src/handlers/handler.ts";
import { createRegistry } from "../../../src/handlers/registry.ts";

const handler = (...types: string[]): Handler => ({ types, steps: [] });

describe("the registry", () => {
  const everything = handler("*");
  const room = handler("m.room.*");
  const message = handler("m.room.message", "m.sticker");
  const messages = handler("m.room.message*");
  const registry = createRegistry([everything, room, messages, message]);

  for (const [type, expected] of [
    ["m.room.message", message],
    ["m.sticker", message],
    ["m.room.message.feedback", messages],
    ["m.room.topic", room],
    ["m.room.", room],
    ["m.room", everything],
    ["", everything],
    ["m.room.*", room],
    ["__proto__", everything],
  ] as const)
    it(`gives "${type}" to ${expected.types.join(" and ")}: the exact type first, then the longest prefix`, () => {
      assert.equal(registry.find(type, {}), expected);
    });

  it("has no handler for what nobody asked for", () => {
    const small = createRegistry([room]);
    for (const type of ["m.sticker", "m.roo", "", "constructor", "__proto__"]) assert.equal(small.find(type, {}), null);
    assert.equal(createRegistry([]).find("m.room.message", {}), null);
  });

  it("does not depend on the order of the handlers", () => {
    const all = [everything, room, messages, message];
    fc.assert(
      fc.property(
        fc.shuffledSubarray(all, { minLength: 4 }),
        fc.constantFrom("m.room.message", "m.room.x", "y"),
        (order, type) => {
          assert.equal(createRegistry(order).find(type, {}), registry.find(type, {}));
        },
      ),
      { numRuns: 100 },
    );
  });

  it("refuses a pattern that stands twice, in one handler or in two", () => {
    assert.throws(() => createRegistry([handler("a", "a")]), /"a" has two handlers/);
    assert.throws(() => createRegistry([handler("a.*"), handler("b", "a.*")]), /"a\.\*" has two handlers/);
    assert.throws(() => createRegistry([handler("*"), handler("*")]), /"\*" has two handlers/);
    assert.doesNotThrow(() => createRegistry([handler("a"), handler("a*")]));
  });

  it("refuses a star anywhere but at the end, and an empty type", () => {
    for (const pattern of ["a*b", "*a", "a**", "a.*.b"])
      assert.throws(() => createRegistry([handler(pattern)]), /"\*" that is not at its end/);
    assert.throws(() => createRegistry([handler("")]), /event type is empty/);
  });
});
