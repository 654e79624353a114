/** Whether a device is signed by its account, held to keys and signatures that the crypto library made. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { DeviceId, initAsync, OlmMachine, UserId } from "@matrix-org/matrix-sdk-crypto-wasm";
import { deviceSignature } from "../../../src/crypto/deviceSignature.ts";
import type { JsonObject } from "../../../src/protocol/json.ts";

const USER = "@docket:example.org";
const DEVICE = "docket1";

/** What `/keys/query` answers once an account has its cross-signing keys and has signed its device. */
let signed: JsonObject & {
  master_keys: Record<string, JsonObject>;
  self_signing_keys: Record<string, JsonObject>;
  device_keys: Record<string, Record<string, JsonObject>>;
};

before(async () => {
  await initAsync();
  const olm = await OlmMachine.initialize(new UserId(USER), new DeviceId(DEVICE));
  const requests = await olm.bootstrapCrossSigning(true);
  const keys = JSON.parse(requests.uploadSigningKeysRequest.body) as Record<string, JsonObject>;
  const uploads = JSON.parse(requests.uploadKeysRequest?.body ?? "{}") as { device_keys: JsonObject };
  const signatures = JSON.parse(requests.uploadSignaturesRequest.body) as Record<string, Record<string, JsonObject>>;
  olm.close();
  // A homeserver adds the signatures that are uploaded later to those that the keys came with.
  const own = uploads.device_keys["signatures"] as Record<string, JsonObject>;
  const later = signatures[USER]?.[DEVICE]?.["signatures"] as Record<string, JsonObject>;
  const device = {
    ...uploads.device_keys,
    signatures: { [USER]: { ...own[USER], ...later[USER] } },
    unsigned: { device_display_name: "Docket" },
  };
  signed = {
    device_keys: { [USER]: { [DEVICE]: device } },
    master_keys: { [USER]: keys["master_key"] ?? {} },
    self_signing_keys: { [USER]: keys["self_signing_key"] ?? {} },
  };
});

test("a device that its account has signed is signed, whatever the homeserver puts beside the signed part", () => {
  assert.equal(deviceSignature(signed, USER, DEVICE), "signed");
});

test("a device without a signature of the account's key is unsigned, and an account without keys signs nobody", () => {
  const { signatures: _, ...bare } = signed.device_keys[USER]?.[DEVICE] ?? {};
  const unsigned = { ...signed, device_keys: { [USER]: { [DEVICE]: bare } } };
  assert.equal(deviceSignature(unsigned, USER, DEVICE), "unsigned");
  assert.equal(deviceSignature({ device_keys: signed.device_keys }, USER, DEVICE), "no_keys");
  assert.equal(deviceSignature({ ...signed, master_keys: {} }, USER, DEVICE), "no_keys");
  assert.equal(deviceSignature({}, USER, DEVICE), "no_keys");
});

test("a signature of other keys of the device, and a self-signing key that the master key did not sign, are broken", () => {
  const device = signed.device_keys[USER]?.[DEVICE] ?? {};
  const changed = { ...device, keys: { ...(device["keys"] as JsonObject), "curve25519:docket1": "A".repeat(43) } };
  assert.equal(deviceSignature({ ...signed, device_keys: { [USER]: { [DEVICE]: changed } } }, USER, DEVICE), "broken");
  const foreign = { [USER]: { keys: { [`ed25519:${"A".repeat(43)}`]: "A".repeat(43) } } };
  assert.equal(deviceSignature({ ...signed, master_keys: foreign }, USER, DEVICE), "broken");
});

test("an answer that is anything at all is never taken for a signature", () => {
  for (const strange of [
    { master_keys: 1 },
    { master_keys: { [USER]: { keys: { a: "b", c: "d" } } } },
    { device_keys: [] },
  ])
    assert.notEqual(deviceSignature({ ...signed, ...strange } as JsonObject, USER, DEVICE), "signed");
});
