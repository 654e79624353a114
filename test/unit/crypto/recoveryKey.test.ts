/** Recovery keys: as matrix-js-sdk writes and reads them, and what is said of a text that is none. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import bs58 from "bs58";
import { decodeRecoveryKey, encodeRecoveryKey } from "matrix-js-sdk/lib/crypto-api/recovery-key.js";
import { readRecoveryKey, recoveryKeyOf } from "../../../src/crypto/recoveryKey.ts";

test("a recovery key is written and read as matrix-js-sdk does, whatever its bytes", () => {
  for (const key of [Buffer.alloc(32), Buffer.alloc(32, 0xff), ...Array.from({ length: 50 }, () => randomBytes(32))]) {
    const text = recoveryKeyOf(key);
    assert.equal(text, encodeRecoveryKey(key));
    assert.match(text, /^(\S{4} ){11}\S{4}$/);
    assert.deepEqual(readRecoveryKey(text), { kind: "key", key });
    assert.deepEqual(Buffer.from(decodeRecoveryKey(text)), key);
  }
});

test("spaces and line breaks within a recovery key do not matter", () => {
  const key = Buffer.alloc(32, 7);
  const text = recoveryKeyOf(key);
  for (const written of [
    text.replaceAll(" ", ""),
    ` ${text}\n`,
    text.replaceAll(" ", "\n"),
    text.replaceAll(" ", "-"),
    `${text}\r\n`,
  ])
    assert.deepEqual(readRecoveryKey(written), { kind: "key", key });
});

test("what is no recovery key is refused with a reason that quotes nothing of it", () => {
  const text = recoveryKeyOf(Buffer.alloc(32, 7));
  const swapped = text.slice(0, -1) + (text.endsWith("2") ? "3" : "2");
  for (const [written, reason] of [
    ["", /empty/],
    [" \n", /empty/],
    ["my oil passphrase", /its character 5 .* 0, O, I or l/],
    [text.replace(/.$/, "0"), /can't be in one/],
    [text.slice(0, -6), /too short or too long/],
    [`${text} 2222`, /too short or too long/],
    [swapped, /a character of it is wrong/],
    ["2".repeat(10_000), /too long/],
  ] as const) {
    const read = readRecoveryKey(written);
    assert.equal(read.kind, "none", written.slice(0, 20));
    const problem = read.kind === "none" ? read.problem : "";
    assert.match(problem, reason);
    for (const group of written.split(/\s+/).filter((part) => part.length > 4)) assert.ok(!problem.includes(group));
  }
});

test("a key for something else is told from one with a mistake", () => {
  const bytes = Buffer.alloc(35, 1);
  bytes[34] = bytes.subarray(0, 34).reduce((parity, byte) => parity ^ byte, 0);
  assert.deepEqual(readRecoveryKey(bs58.encode(bytes)), { kind: "none", problem: "it is a key for something else" });
  assert.throws(() => recoveryKeyOf(Buffer.alloc(31)), TypeError);
});
