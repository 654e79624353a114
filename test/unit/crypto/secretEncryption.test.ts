/** Secret storage's encryption, held to matrix-js-sdk's; identities made here, held to the crypto library. */
import assert from "node:assert/strict";
import { pbkdf2Sync, randomBytes } from "node:crypto";
import { test } from "node:test";
import { calculateKeyCheck } from "matrix-js-sdk/lib/secret-storage.js";
import decryptAESSecretStorageItem from "matrix-js-sdk/lib/utils/decryptAESSecretStorageItem.js";
import encryptAESSecretStorageItem from "matrix-js-sdk/lib/utils/encryptAESSecretStorageItem.js";
import {
  checkKey,
  decryptSecret,
  describeKey,
  encryptSecret,
  keyOfPassphrase,
} from "../../../src/crypto/secretEncryption.ts";
import type { JsonObject } from "../../../src/protocol/json.ts";

const NAME = "m.cross_signing.master";
const key = Uint8Array.from(randomBytes(32));
const other = Uint8Array.from(randomBytes(32));

test("what is encrypted here matrix-js-sdk reads, and the other way round", async () => {
  for (const secret of ["", "a secret", "ünï©ode \u{1f512}", "x".repeat(5_000)]) {
    const ours = encryptSecret(key, NAME, secret);
    assert.equal(await decryptAESSecretStorageItem(ours, key, NAME), secret);
    const theirs = await encryptAESSecretStorageItem(secret, key, NAME);
    assert.equal(decryptSecret(key, NAME, { ...theirs }), secret);
  }
});

test("an encrypted secret says nothing under another key or another name, or when anything of it was changed", () => {
  const encrypted = encryptSecret(key, NAME, "a secret");
  assert.equal(decryptSecret(key, NAME, encrypted), "a secret");
  assert.equal(decryptSecret(other, NAME, encrypted), null);
  assert.equal(decryptSecret(key, "m.megolm_backup.v1", encrypted), null);
  const flipped = encrypted.ciphertext.replace(/^./, (first) => (first === "A" ? "B" : "A"));
  for (const broken of [
    { ...encrypted, ciphertext: flipped },
    { ...encrypted, mac: encrypted.mac.slice(4) },
    { ...encrypted, iv: "" },
    { ...encrypted, ciphertext: 7 },
    { iv: encrypted.iv },
    {},
    null,
    "text",
    undefined,
  ] as const)
    assert.equal(decryptSecret(key, NAME, broken as JsonObject), null);
});

test("no two encryptions share an initialisation vector, and its bit 63 is zero", () => {
  const ivs = Array.from({ length: 100 }, () => Buffer.from(encryptSecret(key, NAME, "x").iv, "base64"));
  assert.equal(new Set(ivs.map((iv) => iv.toString("hex"))).size, 100);
  for (const iv of ivs) assert.deepEqual([iv.length, iv.readUInt8(8) & 0x80], [16, 0]);
});

test("a key is told from another one by its description, ours or matrix-js-sdk's, with or without padding", async () => {
  const algorithm = "m.secret_storage.v1.aes-hmac-sha2";
  const { iv, mac } = await calculateKeyCheck(key);
  const unpadded = { algorithm, iv: iv.replace(/=+$/, ""), mac: mac.replace(/=+$/, "") };
  for (const description of [describeKey(key), { algorithm, iv, mac }, unpadded]) {
    assert.equal(checkKey(key, description), "fits");
    assert.equal(checkKey(other, description), "other");
  }
  assert.equal(checkKey(key, { ...describeKey(key), algorithm: "m.other" }), "unknown");
  assert.equal(checkKey(key, { algorithm, iv: 1, mac: 2 }), "unknown");
});

test("a passphrase gives the key that its description derives; one that would take for ever, or could be guessed from, is not derived", async () => {
  const passphrase = { algorithm: "m.pbkdf2", salt: "salt", iterations: 100_000 };
  const derived = await keyOfPassphrase("correct horse", { passphrase });
  assert.deepEqual(derived, pbkdf2Sync("correct horse", "salt", 100_000, 32, "sha512"));
  for (const bad of [
    { ...passphrase, iterations: 1e12 },
    { ...passphrase, iterations: 0 },
    { ...passphrase, iterations: 1 },
    { ...passphrase, iterations: 99_999 },
    { ...passphrase, iterations: 1.5 },
    { ...passphrase, algorithm: "m.other" },
    { ...passphrase, bits: 8 },
    { algorithm: "m.pbkdf2" },
  ])
    assert.equal(await keyOfPassphrase("correct horse", { passphrase: bad }), null);
  assert.equal(await keyOfPassphrase("correct horse", {}), null);
});
