/** Device keys, one-time keys and fallback keys: upload, query, claim, counts. */
import assert from "node:assert/strict";
import { before, beforeEach, test } from "node:test";
import type { JsonObject, JsonValue } from "../../src/protocol/json.ts";
import { at, type HttpClient } from "../support/httpClient.ts";
import { deviceKeys, oneTimeKeys, uploadKeys } from "./keyMaterial.ts";
import type { Scene } from "./scene.ts";

const COUNT = "device_one_time_keys_count";
const UNUSED = "device_unused_fallback_key_types";

export function keysContract(scene: Scene): void {
  let alice: HttpClient;
  let bob: HttpClient;

  before(async () => {
    alice = await scene.user("alice");
  });
  beforeEach(async () => {
    bob = await scene.user("bob");
  });

  const upload = (body: JsonObject): Promise<[number, string | null]> => bob.verdict("POST", "/v3/keys/upload", body);
  const claim = async (): Promise<JsonValue | undefined> => {
    const wanted = { [bob.userId]: { [bob.deviceId]: "signed_curve25519" } };
    const reply = await alice.call("POST", "/v3/keys/claim", { one_time_keys: wanted });
    assert.deepEqual(reply["failures"], {});
    return at(reply, "one_time_keys", bob.userId, bob.deviceId);
  };

  test("one-time keys are counted, claimed once each, and then the fallback key is given again and again", async () => {
    const empty = await bob.sync();
    assert.deepEqual(at(empty, COUNT), { signed_curve25519: 0 });
    assert.deepEqual(at(empty, UNUSED), []);
    assert.equal(await claim(), undefined);
    await uploadKeys(bob, ["A", "B"], ["F"]);
    const full = await bob.sync();
    assert.deepEqual(at(full, COUNT), { signed_curve25519: 2 });
    assert.deepEqual(at(full, UNUSED), ["signed_curve25519"]);

    const claimed = [await claim(), await claim()].flatMap((keys) => Object.keys(keys ?? {}));
    assert.deepEqual(claimed.toSorted(), ["signed_curve25519:A", "signed_curve25519:B"]);
    const used = await bob.sync();
    assert.deepEqual([at(used, COUNT), at(used, UNUSED)], [{ signed_curve25519: 0 }, ["signed_curve25519"]]);
    for (let time = 0; time < 2; time += 1) assert.deepEqual(await claim(), oneTimeKeys(bob, ["F"], true));
    assert.deepEqual(at(await bob.sync(), UNUSED), []);
    await uploadKeys(bob, [], ["G"]);
    assert.deepEqual(at(await bob.sync(), UNUSED), ["signed_curve25519"]);
    assert.deepEqual(await claim(), oneTimeKeys(bob, ["G"], true));
  });

  test("the counts come with every sync of the device, and are the device's own", async () => {
    await uploadKeys(bob, ["A"]);
    const since = await bob.now();
    const tablet = await scene.device(bob);
    assert.deepEqual(at(await bob.sync(since), COUNT), { signed_curve25519: 1 });
    assert.deepEqual(at(await tablet.sync(), COUNT), { signed_curve25519: 0 });
  });

  test("a one-time key ID may come again with the same key, not with another", async () => {
    const body = { one_time_keys: oneTimeKeys(bob, ["A"]) };
    const counts = { one_time_key_counts: { signed_curve25519: 1 } };
    assert.deepEqual(await bob.call("POST", "/v3/keys/upload", body), counts);
    assert.deepEqual(await bob.call("POST", "/v3/keys/upload", body), counts);
    const resigned = { "signed_curve25519:A": { key: "A", signatures: { [bob.userId]: { "ed25519:B": "other" } } } };
    assert.deepEqual(await bob.call("POST", "/v3/keys/upload", { one_time_keys: resigned }), counts);
    const other = { "signed_curve25519:A": { key: "other", signatures: {} } };
    // With a further key that would be new: it is not taken either.
    const refused = await bob.request("POST", "/v3/keys/upload", {
      one_time_keys: { ...oneTimeKeys(bob, ["NEW"]), ...other },
    });
    assert.deepEqual([refused.status, refused.body["errcode"]], [400, "M_UNKNOWN"]);
    assert.match(String(refused.body["error"]), /^One time key signed_curve25519:A already exists\. Old key: /);
    assert.deepEqual(await bob.call("POST", "/v3/keys/upload", {}), counts);
    assert.deepEqual(await claim(), oneTimeKeys(bob, ["A"]), "as it came first");
    // The server remembers no key that has been claimed.
    assert.deepEqual(await bob.call("POST", "/v3/keys/upload", { one_time_keys: other }), counts);
  });

  test("a device uploads its own keys only, in their shape", async () => {
    const own = deviceKeys(bob);
    assert.deepEqual(await upload({ device_keys: { ...own, device_id: "OTHER" } }), [400, "M_BAD_JSON"]);
    assert.deepEqual(await upload({ device_keys: { ...own, user_id: alice.userId } }), [400, "M_BAD_JSON"]);
    assert.deepEqual(await upload({ device_keys: "text" }), [400, "M_BAD_JSON"]);
    assert.deepEqual(await upload({ device_keys: null }), [400, "M_INVALID_PARAM"]);
    assert.deepEqual(await upload({ device_keys: { user_id: bob.userId, device_id: bob.deviceId } }), [
      400,
      "M_BAD_JSON",
    ]);
    assert.deepEqual(await upload({ one_time_keys: { "no-algorithm": { key: "A" } } }), [400, "M_BAD_JSON"]);
    assert.deepEqual(await upload({ device_keys: own }), [200, null]);
    // Of old a device could name itself in the path.
    assert.deepEqual(await bob.verdict("POST", `/v3/keys/upload/${bob.deviceId}`, {}), [404, "M_UNRECOGNIZED"]);
  });

  test("a key query names every asked user, and the devices that have keys, with their names", async () => {
    await uploadKeys(bob);
    const tablet = await scene.device(bob);
    const query = (devices: JsonObject): Promise<JsonObject> =>
      alice.call("POST", "/v3/keys/query", { device_keys: devices });
    const reply = await query({ [bob.userId]: [], [alice.userId]: [] });
    const found = at(reply, "device_keys", bob.userId, bob.deviceId);
    assert.deepEqual(found, { ...deviceKeys(bob), unsigned: at(found, "unsigned") ?? null });
    assert.deepEqual(at(reply, "device_keys", alice.userId), {});
    assert.deepEqual(reply["failures"], {});
    await bob.call("PUT", `/v3/devices/${bob.deviceId}`, { display_name: "phone" });
    await uploadKeys(tablet);
    const named = await query({ [bob.userId]: [bob.deviceId] });
    assert.deepEqual(Object.keys(at(named, "device_keys", bob.userId) ?? {}), [bob.deviceId]);
    assert.deepEqual(Object.keys(at(await query({ [bob.userId]: [] }), "device_keys", bob.userId) ?? {}).length, 2);
    const nobody = `@nobody:${scene.homeserver.serverName}`;
    assert.deepEqual(at(await query({ [nobody]: [] }), "device_keys", nobody), {});
  });

  test("a device that signs out takes its keys along", async () => {
    const tablet = await scene.device(bob);
    await uploadKeys(tablet, ["A"]);
    await tablet.call("POST", "/v3/logout", {});
    const reply = await alice.call("POST", "/v3/keys/query", { device_keys: { [bob.userId]: [] } });
    assert.deepEqual(at(reply, "device_keys", bob.userId), {});
    const wanted = { [bob.userId]: { [tablet.deviceId]: "signed_curve25519" } };
    const claimed = await alice.call("POST", "/v3/keys/claim", { one_time_keys: wanted });
    assert.deepEqual(claimed["one_time_keys"], {});
  });

  test("a query and a claim need an object to go by", async () => {
    assert.deepEqual(await alice.verdict("POST", "/v3/keys/query", { device_keys: [] }), [400, "M_BAD_JSON"]);
    assert.deepEqual(await alice.verdict("POST", "/v3/keys/query", { device_keys: { [bob.userId]: "x" } }), [
      400,
      "M_BAD_JSON",
    ]);
  });
}
