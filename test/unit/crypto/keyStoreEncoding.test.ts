/** Keys and values on their way to disk and back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { IDBFactory } from "fake-indexeddb";
import { decodeKey, decodeValue, encodeKey, encodeValue, type IdbKey } from "../../../src/crypto/keyStoreEncoding.ts";

const indexedDB = new (IDBFactory as unknown as new () => { cmp(a: unknown, b: unknown): number })();

const keys: fc.Arbitrary<IdbKey> = fc.letrec<{ key: IdbKey }>((tie) => ({
  key: fc.oneof(
    { maxDepth: 3 },
    fc.double({ noNaN: true }),
    fc.integer({ min: -2, max: 2 }),
    fc.string({ unit: fc.nat(0xffff).map((unit) => String.fromCharCode(unit)), maxLength: 4 }),
    fc.constantFrom("", "a", "\ud800", "\udc00", "ab"),
    fc.date({ noInvalidDate: true }),
    fc.uint8Array({ maxLength: 4 }).map((bytes) => new Uint8Array(bytes).buffer),
    fc.array(tie("key"), { maxLength: 3 }),
  ),
})).key;

test("every key comes back as the same key", () => {
  fc.assert(fc.property(keys, (key) => assert.equal(indexedDB.cmp(decodeKey(encodeKey(key)), key), 0)));
});

test("two keys have the same bytes exactly when IndexedDB holds them equal", () => {
  fc.assert(
    fc.property(keys, keys, (one, other) =>
      assert.equal(encodeKey(one).equals(encodeKey(other)), indexedDB.cmp(one, other) === 0),
    ),
    { numRuns: 1_000 },
  );
  assert.ok(encodeKey(-0).equals(encodeKey(0)));
  assert.ok(encodeKey([0.5 + 0.5]).equals(encodeKey([1])));
});

test("values come back as structured clones: buffers, views, dates, undefined, references", () => {
  const shared = new Uint8Array([1, 2, 3, 4]);
  const value = {
    missing: undefined,
    holes: [1, undefined, null],
    date: new Date(7),
    big: 2n ** 70n,
    map: new Map<unknown, unknown>([[new Date(1), new Set(["x"])]]),
    buffer: shared.buffer,
    view: new Uint16Array(shared.buffer, 2, 1),
    part: shared.subarray(1, 3),
    text: "\ud800 lone",
  };
  const back = decodeValue(encodeValue(value)) as typeof value;
  assert.deepStrictEqual(back, value);
  assert.equal(back.view.buffer, back.buffer);
  assert.equal(back.buffer.byteLength, 4);
  assert.deepStrictEqual(decodeValue(encodeValue(undefined)), undefined);
});
