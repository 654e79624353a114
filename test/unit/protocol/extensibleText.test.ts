/** Texts are cut by their size in JSON, between characters. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { boundText } from "../../../src/protocol/extensibleText.ts";

const size = (text: string): number => Buffer.byteLength(JSON.stringify(text)) - 2;

describe("a bounded text", () => {
  it("is the same where it fits exactly", () => {
    assert.equal(boundText("abcde", 5), "abcde");
    assert.equal(boundText("ä😀", 6), "ä😀");
    assert.equal(boundText("", 3), "");
  });

  it("ends with an ellipsis where it was cut, never inside a character", () => {
    assert.equal(boundText("abcdef", 5), "ab…");
    assert.equal(boundText("😀😀", 7), "😀…");
    assert.equal(boundText("😀😀", 6), "…");
  });

  it("counts escapes: a control character takes six bytes in JSON", () => {
    assert.equal(boundText("\u0001\u0001\u0001", 15), "\u0001\u0001…");
  });

  it("is well-formed, within its bound, and a beginning of the text, whatever the text is", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 60 }),
        fc.integer({ min: 3, max: 80 }),
        (units, bound) => {
          const text = String.fromCharCode(...units);
          const cut = boundText(text, bound);
          assert.ok(cut.isWellFormed());
          assert.ok(size(cut) <= bound);
          if (size(text.toWellFormed()) <= bound) assert.equal(cut, text.toWellFormed());
          else assert.ok(cut.endsWith("…") && text.toWellFormed().startsWith(cut.slice(0, -1)));
        },
      ),
      { numRuns: 1_000 },
    );
  });
});
