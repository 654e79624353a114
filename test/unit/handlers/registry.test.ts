/** Which handler an event type gets. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { ContentRequirement } from "../../../src/protocol/capabilities.ts";
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

describe("handlers that ask something of the content", () => {
  const picky = (type: string, ...match: ContentRequirement[]): Handler => ({ types: [type], match, steps: [] });
  const text = picky("m.room.message", { key: "msgtype", value: "m.text" });
  const thread = picky("m.room.message", { key: "m\\.relates_to.rel_type", value: "m.thread" });
  const rest = handler("m.room.message");
  const pickyRoom = picky("m.room.*", { key: "a", value: "b" });
  const room = handler("m.room.*");
  const registry = createRegistry([rest, text, thread, room, pickyRoom]);

  it("get what meets it, the first of them in the order of the configuration; the others get the rest", () => {
    assert.equal(registry.find("m.room.message", { msgtype: "m.text" }), text);
    assert.equal(
      registry.find("m.room.message", { msgtype: "m.text", "m.relates_to": { rel_type: "m.thread" } }),
      text,
    );
    assert.equal(registry.find("m.room.message", { "m.relates_to": { rel_type: "m.thread" } }), thread);
    assert.equal(registry.find("m.room.message", { msgtype: "m.image", a: "b" }), rest);
    assert.equal(registry.find("m.room.topic", { a: "b" }), pickyRoom);
    assert.equal(registry.find("m.room.topic", { a: "c" }), room);
  });

  it("leave what does not meet it to shorter patterns, and to nobody where there is none", () => {
    const alone = createRegistry([text, room]);
    assert.equal(alone.find("m.room.message", { msgtype: "m.image" }), room);
    assert.equal(createRegistry([text]).find("m.room.message", { msgtype: "m.image" }), null);
  });

  it("must all meet it where several things are asked", () => {
    const both = picky("a.b", { key: "x", value: "1" }, { key: "y", value: "2" });
    const registry = createRegistry([both]);
    assert.equal(registry.find("a.b", { x: "1" }), null);
    assert.equal(registry.find("a.b", { x: "1", y: "2", z: "3" }), both);
  });

  it("stand once for each pattern and what is asked", () => {
    const again = picky("m.room.message", { key: "msgtype", value: "m.text" });
    assert.throws(() => createRegistry([text, again]), /two handlers/);
  });
});

describe("what the registry understands", () => {
  const text: Handler = { types: ["m.room.message"], match: [{ key: "msgtype", value: "m.text" }], steps: [] };
  const registry = createRegistry([text, handler("a.b", "c.*"), handler("c.d")]);
  const asked = (type: string, ...content: ContentRequirement[]) => ({ type, content });

  it("is what some handler takes, whatever else is asked of it", () => {
    assert.ok(registry.understands(asked("a.b")));
    assert.ok(registry.understands(asked("a.b", { key: "x", value: "y" })));
    assert.ok(registry.understands(asked("c.anything")));
    assert.ok(!registry.understands(asked("a.b.c")));
    assert.ok(!registry.understands(asked("c.*x".slice(0, 1))));
  });

  it("is only what the handler takes every event of: a requirement must be part of the question", () => {
    assert.ok(!registry.understands(asked("m.room.message")));
    assert.ok(!registry.understands(asked("m.room.message", { key: "msgtype", value: "m.image" })));
    assert.ok(
      registry.understands(asked("m.room.message", { key: "msgtype", value: "m.text" }, { key: "x", value: "y" })),
    );
  });

  it("is said ahead of time by exact types, with what is asked of the content; families of types have no name", () => {
    assert.deepEqual(registry.capabilities(), [
      { type: "m.room.message", content: [{ key: "msgtype", value: "m.text" }] },
      { type: "a.b", content: [] },
      { type: "c.d", content: [] },
    ]);
  });

  it("is asked with a type of its own, which no handler of the operator takes", () => {
    const everything = createRegistry([handler("*"), handler("m.request.event_capability")]);
    for (const type of ["m.request.event_capability", "de.gematik.msc4301.request.event_capability"])
      assert.deepEqual(
        everything.find(type, {})?.steps.map(({ name }) => name),
        ["capabilities"],
      );
  });
});
