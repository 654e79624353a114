/** No event makes decryption throw, and each failure has its reason. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DecryptionErrorCode, initAsync, ShieldColor, ShieldStateCode } from "@matrix-org/matrix-sdk-crypto-wasm";
import fc from "fast-check";
import { failureReason, trustLevel } from "../../../src/crypto/decryption.ts";
import type { RawEvent } from "../../../src/protocol/events.ts";
import type { RoomId } from "../../../src/protocol/ids.ts";
import type { JsonObject, JsonValue } from "../../../src/protocol/json.ts";
import { asEvent } from "../../support/cryptoPeer.ts";
import { loneEngine } from "../../support/loneEngine.ts";

const ROOM = "!room:example.org" as RoomId;
const MEGOLM = "m.megolm.v1.aes-sha2";
const SOUND = Buffer.from([3, 8, 0, 18, 1, 0, ...new Uint8Array(72)]).toString("base64");

await initAsync();

function encrypted(content: JsonObject): RawEvent {
  return asEvent(ROOM, "@alice:example.org", content, "$event");
}

test("each kind of broken content has its reason", async (t) => {
  const { engine } = await loneEngine(t);
  const cases: readonly [JsonObject, string, string | null][] = [
    [{}, "malformed", null],
    [{ algorithm: 5 }, "malformed", null],
    [{ algorithm: "m.olm.v1.curve25519-aes-sha2", session_id: "s" }, "unsupported_algorithm", "s"],
    [{ algorithm: MEGOLM }, "malformed", null],
    [{ algorithm: MEGOLM, session_id: 1, ciphertext: SOUND }, "malformed", null],
    [{ algorithm: MEGOLM, session_id: "s", ciphertext: {} }, "malformed", "s"],
    [{ algorithm: MEGOLM, session_id: "s", ciphertext: "AwgA" }, "malformed", "s"],
    [{ algorithm: MEGOLM, session_id: "s", ciphertext: SOUND }, "no_session", "s"],
  ];
  for (const [content, reason, sessionId] of cases)
    assert.deepEqual(await engine.decrypt(encrypted(content)), { kind: "undecryptable", reason, sessionId });
  const plain = { ...encrypted({ body: "hello" }), type: "m.room.message" };
  assert.equal((await engine.decrypt(plain)).kind, "undecryptable");
});

test("any content at all gets an answer and harms nobody", async (t) => {
  const { engine, fatal } = await loneEngine(t);
  const anything = fc.jsonValue() as fc.Arbitrary<JsonValue>;
  const content = fc.record(
    {
      algorithm: fc.oneof({ weight: 5, arbitrary: fc.constant<JsonValue>(MEGOLM) }, anything),
      session_id: fc.oneof(fc.string() as fc.Arbitrary<JsonValue>, anything),
      ciphertext: fc.oneof(
        { weight: 3, arbitrary: fc.constant<JsonValue>(SOUND) },
        fc.base64String() as fc.Arbitrary<JsonValue>,
        anything,
      ),
      sender_key: anything,
      device_id: anything,
      "m.relates_to": anything,
    },
    { requiredKeys: [] },
  );
  await fc.assert(
    fc.asyncProperty(content, fc.string(), fc.string(), async (fields, sender, eventId) => {
      const event = asEvent(ROOM, sender, fields, eventId);
      assert.equal((await engine.decrypt(event)).kind, "undecryptable");
    }),
    { numRuns: 200 },
  );
  assert.deepEqual(fatal, []);
});

test("the library's reasons are told in ours", () => {
  const reasons = Object.values(DecryptionErrorCode).filter((code) => typeof code === "number");
  const told = Object.fromEntries(reasons.map((code) => [DecryptionErrorCode[code], failureReason(code)]));
  assert.deepEqual(told, {
    MissingRoomKey: "no_session",
    UnknownMessageIndex: "unknown_index",
    MismatchedIdentityKeys: "untrusted",
    UnknownSenderDevice: "untrusted",
    UnsignedSenderDevice: "untrusted",
    SenderIdentityVerificationViolation: "untrusted",
    UnableToDecrypt: "failed",
    MismatchedSender: "untrusted",
  });
});

test("trust is read from both of the library's shields, and doubt never counts as trust", () => {
  const none = { color: ShieldColor.None, code: undefined };
  const red = (code: ShieldStateCode) => ({ color: ShieldColor.Red, code });
  const doubt = red(ShieldStateCode.UnverifiedIdentity);
  assert.equal(trustLevel(none, none), "verified");
  assert.equal(trustLevel(doubt, none), "cross_signed");
  assert.equal(trustLevel(doubt, red(ShieldStateCode.VerificationViolation)), "cross_signed");
  assert.equal(trustLevel(doubt, red(ShieldStateCode.UnsignedDevice)), "unsigned_device");
  for (const code of [
    ShieldStateCode.UnknownDevice,
    ShieldStateCode.AuthenticityNotGuaranteed,
    ShieldStateCode.MismatchedSender,
  ])
    assert.equal(trustLevel(red(code), red(code)), "unknown_device");
});
