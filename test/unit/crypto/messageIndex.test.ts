/** The message index read from a ciphertext is the one that the session used, however large; and garbage has none. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EncryptionSettings, OlmMachine, RoomId, UserId, DeviceId } from "@matrix-org/matrix-sdk-crypto-wasm";
import fc from "fast-check";
import { messageIndexOf } from "../../../src/crypto/messageIndex.ts";

const TRAILER = new Uint8Array(72);

function varint(value: bigint): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>= 7n) {
    if (rest < 128n) return [...bytes, Number(rest)];
    bytes.push(Number(rest & 127n) | 128);
  }
}

function message(...fields: (readonly number[])[]): string {
  return Buffer.from([3, ...fields.flat(), ...TRAILER])
    .toString("base64")
    .replace(/=+$/, "");
}

const indexField = (index: bigint): number[] => [0x08, ...varint(index)];
const bodyField = (length: number): number[] => [
  0x12,
  ...varint(BigInt(length)),
  ...Array.from({ length }, () => 0x08),
];

test("the index of real ciphertexts counts the messages of their session", async () => {
  const machine = await OlmMachine.initialize(new UserId("@bot:example.org"), new DeviceId("BOT"));
  const room = (): RoomId => new RoomId("!room:example.org");
  const settings = new EncryptionSettings();
  settings.rotationPeriodMessages = 1000n;
  await machine.shareRoomKey(room(), [], settings);
  const indexes = [];
  for (let n = 0; n < 300; n += 1) {
    const content = JSON.stringify({ body: "x".repeat(n) });
    const encrypted = JSON.parse(await machine.encryptRoomEvent(room(), "m.room.message", content)) as {
      ciphertext: string;
    };
    indexes.push(messageIndexOf(encrypted.ciphertext));
  }
  assert.deepEqual(
    indexes,
    Array.from({ length: 300 }, (_, n) => n),
  );
  machine.close();
});

test("every index up to the largest is read as it was written", () => {
  fc.assert(
    fc.property(fc.bigInt(0n, 2n ** 32n - 1n), fc.nat(300), (index, length) => {
      assert.equal(messageIndexOf(message(indexField(index), bodyField(length))), Number(index));
    }),
  );
  for (const index of [0n, 127n, 128n, 16_383n, 16_384n, 2n ** 31n, 2n ** 32n - 1n])
    assert.equal(messageIndexOf(message(indexField(index), bodyField(16))), Number(index));
});

test("the order of the fields and unknown fields do not matter, and the last of two indexes counts", () => {
  assert.equal(messageIndexOf(message(bodyField(16), indexField(5n))), 5);
  assert.equal(messageIndexOf(message([0x18, 1], indexField(6n), [0x22, 2, 8, 9], bodyField(16))), 6);
  assert.equal(messageIndexOf(message(indexField(7n), indexField(8n), bodyField(16))), 8);
});

test("what is no Megolm message has no index, and nothing throws", () => {
  for (const broken of [
    "",
    "A",
    "AwgA",
    "not base64 !",
    message(),
    message([0x08]),
    message(indexField(1n), [0x12, 40]),
  ])
    assert.equal(messageIndexOf(broken), null);
  const otherVersion = Buffer.from([4, ...indexField(1n), ...bodyField(1), ...TRAILER]).toString("base64");
  assert.equal(messageIndexOf(otherVersion), null);
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.base64String()), (text) => {
      const index = messageIndexOf(text);
      assert.ok(index === null || (Number.isSafeInteger(index) && index >= 0 && index < 2 ** 32));
    }),
  );
});
