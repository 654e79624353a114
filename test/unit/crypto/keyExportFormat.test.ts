import { OlmMachine, initAsync } from "@matrix-org/matrix-sdk-crypto-wasm";
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { decryptKeyFile, encryptKeyFile } from "../../../src/crypto/keyExportFormat.ts";

const PASSPHRASE = "correct horse — Größe";
const SESSIONS = JSON.stringify([
  {
    algorithm: "m.megolm.v1.aes-sha2",
    room_id: "!r:example.org",
    sender_key: "a1cb4DvJz2FCdFAPabhEKi4V7xmf7K+fgDz59NR8pEM",
    session_id: "2Vsk+mzv22uHac2ypi05bkFiRnYCuLCt+8EOvgyHsuA",
    session_key:
      "AQAAAACc2l1DpByoKQrb4SeenlCduZu3OQTXRCropzcQGRRqtqlo72KRYMfmwvYWkdfP2fNxU8QR5HMVwyhzxeTBvwyY33C68Yy7xytHlYN1bH1OFhSdJxpDfSjz5jzQnoJsN3x3dbEOv//mU1BnmNHBpJXbrm0Sfl/DmjbkWdNPZDGWWtlbJPps79trh2nNsqYtOW5BYkZ2AriwrfvBDr4Mh7Lg",
    sender_claimed_keys: { ed25519: "Z4INxlKnCz2GydJf8lpUOH9Oun93i6Pv7eFSC35VTS8" },
    forwarding_curve25519_key_chain: [],
    "m.shared_history": true,
  },
]);
/** Made once: the rounds take their time. */
const whole: { file: string } = { file: "" };

before(async () => {
  await initAsync();
  whole.file = await encryptKeyFile(SESSIONS, PASSPHRASE);
});

test("what Docket writes, the crypto library of other clients reads", () => {
  assert.deepEqual(JSON.parse(OlmMachine.decryptExportedRoomKeys(whole.file, PASSPHRASE)), JSON.parse(SESSIONS));
});

test("what the crypto library of other clients writes, Docket reads, whatever its line breaks and rounds", async () => {
  const file = OlmMachine.encryptExportedRoomKeys(SESSIONS, PASSPHRASE, 1_000);
  for (const text of [file, file.replaceAll("\n", "\r\n"), `Keys of the bot:\n\n${file}\n-- \nAda`]) {
    const read = await decryptKeyFile(text, PASSPHRASE);
    assert.deepEqual(read, { ok: true, sessions: JSON.parse(SESSIONS) });
  }
});

test("the same keys under the same passphrase never make the same file", async () => {
  assert.notEqual(await encryptKeyFile(SESSIONS, PASSPHRASE), whole.file);
});

test("half a million rounds stand between a stolen file and its passphrase", () => {
  const bytes = bytesOf(whole.file);
  assert.equal(bytes.readUInt32BE(33), 500_000);
});

test("a file with another passphrase, or with one bit changed, is refused and not half read", async () => {
  assert.deepEqual(await decryptKeyFile(whole.file, `${PASSPHRASE} `), { ok: false, problem: "wrong_passphrase" });
  const bytes = bytesOf(whole.file);
  bytes[60] = (bytes[60] ?? 0) ^ 1;
  assert.deepEqual(await decryptKeyFile(fileOf(bytes), PASSPHRASE), { ok: false, problem: "wrong_passphrase" });
});

test("a file that was cut off anywhere is called so, or damaged, and never read", async () => {
  const { file } = whole;
  for (const length of [36, 100, 500, file.length - 20]) {
    assert.deepEqual(await decryptKeyFile(file.slice(0, length), PASSPHRASE), { ok: false, problem: "cut_off" });
  }
  const shortened = `${file.slice(0, 60)}\n-----END MEGOLM SESSION DATA-----\n`;
  assert.deepEqual(await decryptKeyFile(shortened, PASSPHRASE), { ok: false, problem: "damaged" });
});

test("what is no key file is called that", async () => {
  for (const text of ["", "hello", "-----BEGIN PGP MESSAGE-----\n\n-----END PGP MESSAGE-----"])
    assert.deepEqual(await decryptKeyFile(text, PASSPHRASE), { ok: false, problem: "no_key_file" });
  const garbage = "-----BEGIN MEGOLM SESSION DATA-----\nää\n-----END MEGOLM SESSION DATA-----";
  assert.deepEqual(await decryptKeyFile(garbage, PASSPHRASE), { ok: false, problem: "damaged" });
  const other = bytesOf(whole.file);
  other[0] = 2;
  assert.deepEqual(await decryptKeyFile(fileOf(other), PASSPHRASE), { ok: false, problem: "other_version" });
  const list = OlmMachine.encryptExportedRoomKeys(SESSIONS, PASSPHRASE, 1_000);
  assert.equal((await decryptKeyFile(list, PASSPHRASE)).ok, true);
  assert.deepEqual(await decryptKeyFile(await encryptKeyFile('{"a":1}', PASSPHRASE), PASSPHRASE), {
    ok: false,
    problem: "no_keys",
  });
});

test("a file that asks for hours of computing is refused at once", async () => {
  const bytes = bytesOf(whole.file);
  bytes.writeUInt32BE(0xffff_ffff, 33);
  assert.deepEqual(await decryptKeyFile(fileOf(bytes), PASSPHRASE), { ok: false, problem: "too_many_rounds" });
});

function bytesOf(file: string): Buffer {
  return Buffer.from(file.split("\n").slice(1, -2).join(""), "base64");
}

function fileOf(bytes: Buffer): string {
  return `-----BEGIN MEGOLM SESSION DATA-----\n${bytes.toString("base64")}\n-----END MEGOLM SESSION DATA-----\n`;
}
