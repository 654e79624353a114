/** What the engine makes of a sync's encryption part, and which keys it uploads for it. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { CollectStrategy, HistoryVisibility } from "@matrix-org/matrix-sdk-crypto-wasm";
import type { CryptoChanges, CryptoEngine } from "../../../src/crypto/cryptoEngine.ts";
import { encryptionSettings, readRotation, readVisibility } from "../../../src/crypto/roomSettings.ts";
import type { JsonObject } from "../../../src/protocol/json.ts";
import { keyServer, loneEngine, noChanges } from "../../support/loneEngine.ts";

/** An engine whose uploads the test sees one by one. */
async function uploading(
  t: TestContext,
): Promise<{ engine: CryptoEngine; fatal: Error[]; next: () => Promise<JsonObject> }> {
  const uploads: JsonObject[] = [];
  let wake = (): void => undefined;
  const homeserver = keyServer((_, endpoint, body) => {
    if (!endpoint.endsWith("/keys/upload")) return { device_keys: {} };
    uploads.push(body);
    wake();
    return { one_time_key_counts: { signed_curve25519: 50 } };
  });
  const next = async (): Promise<JsonObject> => {
    for (;;) {
      const upload = uploads.shift();
      if (upload !== undefined) return upload;
      await new Promise<void>((resolve) => (wake = resolve));
    }
  };
  const { engine, fatal } = await loneEngine(t, { homeserver });
  await engine.start();
  return { engine, fatal, next };
}

const receive = (engine: CryptoEngine, changes: Partial<CryptoChanges>): Promise<void> =>
  engine.receive({ ...noChanges, ...changes }, () => Promise.resolve());

const sizeOf = (keys: unknown): number => Object.keys((keys ?? {}) as object).length;

test("the start uploads the device's keys and one-time keys", async (t) => {
  const { engine, next } = await uploading(t);
  const upload = await next();
  const device = upload["device_keys"] as JsonObject;
  assert.deepEqual((device["keys"] as JsonObject)["ed25519:BOT"], engine.identity.ed25519);
  assert.deepEqual((device["keys"] as JsonObject)["curve25519:BOT"], engine.identity.curve25519);
  assert.equal(sizeOf(upload["one_time_keys"]), 50);
});

/** What a fresh device uploads after a sync with these counts. */
async function uploadAfter(
  t: TestContext,
  changes: Partial<CryptoChanges>,
): Promise<{ oneTime: number; fallback: number }> {
  const { engine, next } = await uploading(t);
  await next();
  await receive(engine, changes);
  const upload = await next();
  return { oneTime: sizeOf(upload["one_time_keys"]), fallback: sizeOf(upload["fallback_keys"]) };
}

test("a count that is missing means that no one-time key is left, and a count that is there is taken as it is", async (t) => {
  const some = { oneTimeKeyCounts: { signed_curve25519: 20 } };
  const none = { oneTimeKeyCounts: { curve25519: 7 } };
  assert.equal((await uploadAfter(t, some)).oneTime, 30);
  assert.equal((await uploadAfter(t, none)).oneTime, 50);
});

test("an empty list of unused fallback keys brings a new one; no list at all brings none", async (t) => {
  const oneTimeKeyCounts = { signed_curve25519: 49 };
  const silent = { oneTimeKeyCounts, unusedFallbackKeyTypes: undefined };
  const used = { oneTimeKeyCounts, unusedFallbackKeyTypes: [] };
  assert.deepEqual(await uploadAfter(t, silent), { oneTime: 1, fallback: 0 });
  assert.deepEqual(await uploadAfter(t, used), { oneTime: 1, fallback: 1 });
});

test("broken to-device messages and user IDs are passed over, and the sync is committed", async (t) => {
  const { engine, fatal } = await uploading(t);
  const toDevice: JsonObject[] = [
    {},
    { type: 5 },
    { type: "m.room.encrypted", sender: "nobody", content: {} },
    {
      type: "m.room.encrypted",
      sender: "@a:b.example",
      content: { algorithm: "m.olm.v1.curve25519-aes-sha2", ciphertext: 1 },
    },
    {
      type: "m.room_key",
      sender: "@a:b.example",
      content: { algorithm: "m.megolm.v1.aes-sha2", room_id: "!r", session_id: "s", session_key: "k" },
    },
    { type: "x.unknown", sender: "@a:b.example", content: { any: [null] } },
  ];
  const users = ["@ok:example.org", "", "nobody", "@:"];
  const told = await engine.receive(
    { ...noChanges, toDevice, changedUsers: users, leftUsers: users },
    ({ newSessions }) => Promise.resolve(newSessions),
  );
  assert.deepEqual(told, [], "a room key that was not encrypted is none");
  assert.deepEqual(fatal, []);
});

test("the result of the commit is the result of the reception, and its failure is fatal", async (t) => {
  const { engine, fatal } = await uploading(t);
  assert.equal(await engine.receive(noChanges, () => Promise.resolve("kept")), "kept");
  const failure = new Error("not kept");
  await assert.rejects(
    engine.receive(noChanges, () => Promise.reject(failure)),
    failure,
  );
  assert.deepEqual(fatal, [failure]);
  await assert.rejects(
    engine.receive(noChanges, () => Promise.resolve()),
    failure,
  );
});

test("rotation is read in milliseconds and handed over in microseconds, with the specification's defaults", () => {
  assert.deepEqual(readRotation({}), { periodMs: 604_800_000, messages: 100 });
  assert.deepEqual(readRotation({ rotation_period_ms: "1", rotation_period_msgs: 0 }), {
    periodMs: 604_800_000,
    messages: 100,
  });
  const rotation = readRotation({ rotation_period_ms: 3_600_000, rotation_period_msgs: 7 });
  const settings = encryptionSettings(rotation, "joined", CollectStrategy.allDevices());
  assert.equal(settings.rotationPeriod, 3_600_000_000n);
  assert.equal(settings.rotationPeriodMessages, 7n);
  assert.equal(settings.historyVisibility, HistoryVisibility.Joined);
});

test("a history visibility that nobody knows counts as shared", () => {
  const read = ["invited", "joined", "shared", "world_readable", "", "else"].map(readVisibility);
  const { Invited, Joined, Shared, WorldReadable } = HistoryVisibility;
  assert.deepEqual(read, [Invited, Joined, Shared, WorldReadable, Shared, Shared]);
});
