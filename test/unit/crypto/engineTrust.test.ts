/** A sender's device that its owner has cross-signed is told from one that is not. Real keys; only the wire is short-circuited. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  DeviceId as LibraryDeviceId,
  EncryptionSettings,
  OlmMachine,
  RequestType,
  RoomId as LibraryRoomId,
  UserId as LibraryUserId,
  initAsync,
} from "@matrix-org/matrix-sdk-crypto-wasm";
import type { RoomId, UserId } from "../../../src/protocol/ids.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "../../../src/protocol/json.ts";
import { asEvent } from "../../support/cryptoPeer.ts";
import { keyServer, loneEngine, noChanges } from "../../support/loneEngine.ts";

const ROOM = "!room:example.org" as RoomId;
const ALICE = "@alice:example.org";

await initAsync();

function parse(text: string): JsonObject {
  return JSON.parse(text) as JsonObject;
}

function object(value: JsonValue | undefined): JsonObject {
  assert.ok(isJsonObject(value));
  return value;
}

for (const [signed, level] of [
  [true, "cross_signed"],
  [false, "unsigned_device"],
] as const) {
  test(`a device that its owner has ${signed ? "" : "not "}signed is reported as ${level}`, async (t) => {
    const alice = await OlmMachine.initialize(new LibraryUserId(ALICE), new LibraryDeviceId("ALICE"));
    t.after(() => alice.close());
    const known: Record<string, JsonObject> = {
      device_keys: {},
      master_keys: {},
      self_signing_keys: {},
      user_signing_keys: {},
    };
    const oneTime: JsonObject[] = [];
    for (const request of await alice.outgoingRequests())
      if (request.type === RequestType.KeysUpload && request.id !== undefined) {
        const device = object(parse(request.body)["device_keys"]);
        known["device_keys"] = { [ALICE]: { ALICE: device } };
        const counts = { one_time_key_counts: { signed_curve25519: 50 } };
        await alice.markRequestAsSent(request.id, RequestType.KeysUpload, JSON.stringify(counts));
      }
    if (signed) {
      const { uploadSigningKeysRequest, uploadSignaturesRequest } = await alice.bootstrapCrossSigning(true);
      const signing = parse(uploadSigningKeysRequest.body);
      for (const kind of ["master", "self_signing", "user_signing"])
        known[`${kind}_keys`] = { [ALICE]: object(signing[`${kind}_key`]) };
      // The upload carries the owner's signature alone; a server adds it to the device's own.
      const deviceOf = (keys: JsonValue | undefined): JsonObject => object(object(object(keys)[ALICE])["ALICE"]);
      const own = deviceOf(known["device_keys"]);
      const added = deviceOf(parse(uploadSignaturesRequest.body));
      const signatures = {
        ...object(object(own["signatures"])[ALICE]),
        ...object(object(added["signatures"])[ALICE]),
      };
      known["device_keys"] = { [ALICE]: { ALICE: { ...own, signatures: { [ALICE]: signatures } } } };
    }

    const homeserver = keyServer((_, endpoint, body) => {
      if (endpoint.endsWith("/keys/upload")) {
        const keys = Object.entries(object(body["one_time_keys"] ?? {}));
        if (keys[0] !== undefined) oneTime.push({ [keys[0][0]]: keys[0][1] });
        if (isJsonObject(body["device_keys"])) ownDevice = body["device_keys"];
        return { one_time_key_counts: { signed_curve25519: 50 } };
      }
      return endpoint.endsWith("/keys/query") ? known : {};
    });
    let ownDevice: JsonObject = {};
    const { engine } = await loneEngine(t, { homeserver });
    await engine.start();

    const bot = engine.identity.userId;
    await alice.updateTrackedUsers([new LibraryUserId(bot)]);
    const own = { ...known, device_keys: { ...known["device_keys"], [bot]: { BOT: ownDevice } } };
    for (const request of await alice.outgoingRequests())
      if (request.type === RequestType.KeysQuery && request.id !== undefined)
        await alice.markRequestAsSent(request.id, RequestType.KeysQuery, JSON.stringify(own));
    const claim = await alice.getMissingSessions([new LibraryUserId(bot)]);
    assert.ok(claim !== null);
    const claimed = JSON.stringify({ one_time_keys: { [bot]: { BOT: oneTime[0] } }, failures: {} });
    await alice.markRequestAsSent(claim.id, RequestType.KeysClaim, claimed);

    const send = async (n: number): Promise<JsonObject> => {
      const settings = new EncryptionSettings();
      settings.rotationPeriodMessages = 1n;
      const shares = await alice.shareRoomKey(new LibraryRoomId(ROOM), [new LibraryUserId(bot)], settings);
      for (const share of shares) {
        const content = object(object(object(parse(share.body)["messages"])[bot])["BOT"]);
        const toDevice = [{ type: share.event_type, sender: ALICE, content }];
        await engine.receive({ ...noChanges, toDevice }, () => Promise.resolve());
        await alice.markRequestAsSent(share.id, RequestType.ToDevice, "{}");
      }
      return parse(await alice.encryptRoomEvent(new LibraryRoomId(ROOM), "x.a", JSON.stringify({ n })));
    };
    const first = asEvent(ROOM, ALICE as UserId, await send(1), "$first");
    const early = await engine.decrypt(first);
    assert.ok(early.kind === "decrypted");
    // To answer, the engine asks for the devices.
    const target = { roomId: ROOM, settings: {}, historyVisibility: "shared", recipients: [ALICE as UserId] };
    await engine.encrypt(target, "x.a", {}, AbortSignal.timeout(60_000));
    const second = await engine.decrypt(asEvent(ROOM, ALICE as UserId, await send(2), "$second"));
    assert.ok(second.kind === "decrypted");
    assert.deepEqual(second.trust, { deviceId: "ALICE", level });
  });
}
