/** `NO_PROXY` in the forms that operators write. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseNoProxy } from "../../../src/config/noProxy.ts";

const exempt = (text: string, host: string, port = 443): boolean => parseNoProxy(text)(host, port);

test("a name covers itself and all below it, with a dot or a star before it or not, in any case", () => {
  for (const entry of [
    "example.org",
    ".example.org",
    "*.example.org",
    "EXAMPLE.org",
    "a.test, example.org",
    "a.test\texample.org,",
  ]) {
    assert.ok(exempt(entry, "example.org"), entry);
    assert.ok(exempt(entry, "Matrix.example.org"), entry);
    assert.ok(exempt(entry, "matrix.example.org."), entry);
    assert.ok(!exempt(entry, "notexample.org"), entry);
    assert.ok(!exempt(entry, "example.org.evil.test"), entry);
    assert.ok(!exempt(entry, "org"), entry);
  }
});

test("a star is every host, and nothing is none", () => {
  assert.ok(exempt("*", "example.org"));
  assert.ok(exempt("a.test, *", "10.0.0.1"));
  for (const nothing of ["", " ", ",", ", ,"]) assert.ok(!exempt(nothing, "example.org"));
});

test("a port behind it narrows an entry to that port", () => {
  assert.ok(exempt("example.org:8448", "matrix.example.org", 8448));
  assert.ok(!exempt("example.org:8448", "matrix.example.org", 443));
  assert.ok(exempt("10.0.0.1:80", "10.0.0.1", 80));
  assert.ok(!exempt("10.0.0.1:80", "10.0.0.1", 81));
  assert.ok(exempt("[::1]:8448", "::1", 8448));
  assert.ok(!exempt("[::1]:8448", "::1", 443));
});

test("an address covers itself however it is written, and no name", () => {
  assert.ok(exempt("127.0.0.1", "127.0.0.1"));
  assert.ok(!exempt("0.0.1", "127.0.0.1"));
  assert.ok(!exempt(".0.0.1", "127.0.0.1"));
  for (const entry of ["::1", "[::1]", "0:0:0:0:0:0:0:1"]) assert.ok(exempt(entry, "::1"), entry);
  assert.ok(!exempt("127.0.0.1", "localhost"));
  assert.ok(!exempt("localhost", "127.0.0.1"));
});

test("a range covers its addresses", () => {
  assert.ok(exempt("10.0.0.0/8", "10.255.0.1"));
  assert.ok(!exempt("10.0.0.0/8", "11.0.0.1"));
  assert.ok(exempt("fd00::/8", "fd12::5"));
  assert.ok(!exempt("fd00::/8", "fe80::1"));
  assert.ok(!exempt("10.0.0.0/8", "fd00::1"));
  assert.ok(exempt("0.0.0.0/0", "8.8.8.8"));
  assert.ok(!exempt("10.0.0.0/99", "10.0.0.1"));
});

test("nothing that may stand there makes it throw, or exempts everything by mistake", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      fc.pre(!text.split(/[,\s]+/).includes("*"));
      return !exempt(text, "a-host-that-nobody-names.example.org");
    }),
  );
});
