/** Versions, capabilities, signing in and out, devices, account data. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import type { JsonObject } from "../../src/protocol/json.ts";
import { at, list, type HttpClient } from "../support/httpClient.ts";
import { uploadKeys } from "./keyMaterial.ts";
import { PASSWORD, type Scene } from "./scene.ts";

export function accountsContract(scene: Scene): void {
  let alice: HttpClient;
  let bob: HttpClient;

  before(async () => {
    [alice, bob] = await scene.users("alice", "bob");
  });

  const login = (user: string, more: JsonObject = {}): JsonObject => ({
    type: "m.login.password",
    identifier: { type: "m.id.user", user },
    password: PASSWORD,
    ...more,
  });

  test("/versions needs no token, but takes none that is not good; it tells specification versions and features", async () => {
    const reply = await scene.anyone().call("GET", "/versions");
    const versions = reply["versions"];
    assert.ok(Array.isArray(versions) && versions.includes("v1.11"), JSON.stringify(versions));
    assert.equal(at(reply, "unstable_features", "uk.tcpip.msc4133.stable"), true);
    for (const [name, value] of Object.entries(at(reply, "unstable_features") ?? {}))
      assert.equal(typeof value, "boolean", name);
    assert.deepEqual(await scene.anyone("unknown").verdict("GET", "/versions"), [401, "M_UNKNOWN_TOKEN"]);
  });

  test("each answer has the server's time of day", async () => {
    const { headers } = await alice.request("GET", "/v3/account/whoami");
    assert.ok(Math.abs(Date.parse(headers.get("date") ?? "") - Date.now()) < 60_000, String(headers.get("date")));
  });

  test("the capabilities tell room versions and whether profile fields may be set", async () => {
    const { capabilities } = await alice.call("GET", "/v3/capabilities");
    assert.equal(at(capabilities, "m.room_versions", "default"), "11");
    for (const version of ["10", "11", "12"])
      assert.equal(at(capabilities, "m.room_versions", "available", version), "stable", version);
    assert.deepEqual(at(capabilities, "m.profile_fields"), { enabled: true });
  });

  test("a password signs in, by localpart or user ID, and whoami tells who and with which device", async () => {
    const flows = list(await scene.anyone().call("GET", "/v3/login"), "flows");
    assert.ok(flows.some((flow) => flow["type"] === "m.login.password"));
    const localpart = alice.userId.slice(1, alice.userId.indexOf(":"));
    for (const user of [alice.userId, localpart]) {
      const reply = await scene.anyone().call("POST", "/v3/login", login(user, { device_id: `phone_${user.length}` }));
      assert.equal(reply["user_id"], alice.userId);
      assert.equal(reply["device_id"], `phone_${user.length}`);
      assert.equal(reply["home_server"], scene.homeserver.serverName);
      assert.equal(reply["refresh_token"], undefined, "none unless it is asked for");
      const phone = scene.anyone(String(reply["access_token"]));
      assert.deepEqual(await phone.call("GET", "/v3/account/whoami"), {
        user_id: alice.userId,
        is_guest: false,
        device_id: `phone_${user.length}`,
      });
    }
  });

  test("a wrong password and an unknown user are refused alike, an unknown flow by another code", async () => {
    const anyone = scene.anyone();
    const refused = (body: JsonObject): Promise<unknown> => anyone.verdict("POST", "/v3/login", body);
    assert.deepEqual(await refused(login(bob.userId, { password: "wrong" })), [403, "M_FORBIDDEN"]);
    assert.deepEqual(await refused(login("nobody-at-all")), [403, "M_FORBIDDEN"]);
    assert.deepEqual(await refused(login(bob.userId, { type: "org.example.unknown" })), [400, "M_UNKNOWN"]);
    assert.deepEqual(await refused({}), [400, "M_UNKNOWN"]);
    assert.deepEqual(await refused({ type: "m.login.password", password: "x" }), [400, "M_INVALID_PARAM"]);
  });

  test("signing a device in again gives it a further access token, and all go with the device", async () => {
    const first = await scene.device(bob, "tablet");
    const second = await scene.device(bob, "tablet");
    // The specification has the older token refused ("Relationship between access tokens and devices"); Synapse lets it live.
    for (const client of [first, second])
      assert.equal((await client.call("GET", "/v3/account/whoami"))["device_id"], "tablet");
    await first.call("POST", "/v3/logout", {});
    assert.deepEqual(await second.verdict("GET", "/v3/account/whoami"), [401, "M_UNKNOWN_TOKEN"]);
    await bob.call("GET", "/v3/account/whoami");
  });

  test("a user's devices are listed with their names, and can be renamed", async () => {
    const user = await scene.user("owner");
    const body = login(user.userId, { device_id: "named", initial_device_display_name: "First name" });
    await scene.anyone().call("POST", "/v3/login", body);
    const ids = list(await user.call("GET", "/v3/devices"), "devices").map((device) => String(device["device_id"]));
    assert.deepEqual(ids.toSorted(), [user.deviceId, "named"].toSorted());
    const named = await user.call("GET", "/v3/devices/named");
    assert.equal(named["display_name"], "First name");
    const parts = ["device_id", "display_name", "last_seen_ip", "last_seen_ts", "user_id"];
    assert.deepEqual(Object.keys(named).toSorted(), parts);
    await user.call("PUT", "/v3/devices/named", { display_name: "Other name" });
    assert.equal((await user.call("GET", "/v3/devices/named"))["display_name"], "Other name");
    assert.deepEqual(await user.verdict("GET", "/v3/devices/unknown"), [404, "M_NOT_FOUND"]);
    assert.deepEqual(await user.verdict("PUT", "/v3/devices/unknown", { display_name: "x" }), [404, "M_NOT_FOUND"]);
  });

  test("signing out takes the token and the device with it, and leaves the others", async () => {
    const user = await scene.user("leaver");
    const laptop = await scene.device(user, "laptop");
    assert.deepEqual(await laptop.call("POST", "/v3/logout", {}), {});
    const refused = await laptop.request("GET", "/v3/account/whoami");
    assert.deepEqual([refused.status, refused.body["errcode"]], [401, "M_UNKNOWN_TOKEN"]);
    assert.equal(refused.body["soft_logout"], false);
    const ids = list(await user.call("GET", "/v3/devices"), "devices").map((device) => device["device_id"]);
    assert.deepEqual(ids, [user.deviceId]);
    const tablet = await scene.device(user);
    assert.deepEqual(await user.call("POST", "/v3/logout/all", {}), {});
    for (const client of [user, tablet])
      assert.deepEqual(await client.verdict("GET", "/v3/account/whoami"), [401, "M_UNKNOWN_TOKEN"]);
  });

  test("a device is removed with the password: its token, its keys and its messages go, and others hear of it", async () => {
    const user = await scene.user("remover");
    await scene.room(alice, [user]);
    const [tablet, laptop] = [await scene.device(user, "tablet"), await scene.device(user, "laptop")];
    await uploadKeys(tablet, ["A"]);
    const since = await alice.now();
    const path = "/v3/devices/tablet";
    const asked = await user.request("DELETE", path, {});
    assert.deepEqual([asked.status, asked.body["flows"]], [401, [{ stages: ["m.login.password"] }]]);
    assert.equal((await user.request("DELETE", path)).status, 401, "also without a body");
    const auth = { ...login(user.userId), session: asked.body["session"] ?? null };
    assert.deepEqual(
      await user.verdict("DELETE", "/v3/devices/laptop", { auth }),
      [403, "M_UNKNOWN"],
      "another device",
    );
    assert.equal((await user.request("DELETE", path, { auth: { ...auth, password: "wrong" } })).status, 401);
    await tablet.call("GET", "/v3/account/whoami");
    assert.deepEqual(await user.call("DELETE", path, { auth }), {});
    assert.deepEqual(await tablet.verdict("GET", "/v3/account/whoami"), [401, "M_UNKNOWN_TOKEN"]);
    assert.deepEqual(await user.verdict("GET", path), [404, "M_NOT_FOUND"]);
    await alice.syncUntil(since, (sync) => {
      const changed = at(sync, "device_lists", "changed");
      return Array.isArray(changed) && changed.includes(user.userId);
    });
    const found = await alice.call("POST", "/v3/keys/query", { device_keys: { [user.userId]: [] } });
    assert.deepEqual(at(found, "device_keys", user.userId), {});
    assert.deepEqual(await user.call("DELETE", path, { auth: login(user.userId) }), {}, "one that is gone");
    const both = { devices: ["laptop", "unknown"] };
    assert.equal((await user.request("POST", "/v3/delete_devices", both)).status, 401);
    await user.call("POST", "/v3/delete_devices", { ...both, auth: login(user.userId) });
    assert.deepEqual(await laptop.verdict("GET", "/v3/account/whoami"), [401, "M_UNKNOWN_TOKEN"]);
    await user.call("GET", "/v3/account/whoami");
  });

  test("who has made no key backup has none", async () => {
    assert.deepEqual(await alice.verdict("GET", "/v3/room_keys/version"), [404, "M_NOT_FOUND"]);
  });

  test("account data of the account and of a room reads back, and is nobody else's", async () => {
    const roomId = await scene.room(alice);
    const own = `/v3/user/${alice.userId}`;
    for (const path of [`${own}/account_data/org.example.a`, `${own}/rooms/${roomId}/account_data/org.example.a`]) {
      assert.deepEqual(await alice.verdict("GET", path), [404, "M_NOT_FOUND"]);
      assert.deepEqual(await alice.call("PUT", path, { a: 1 }), {});
      assert.deepEqual(await alice.call("GET", path), { a: 1 });
      assert.deepEqual(await alice.verdict("PUT", path, "[]"), [400, "M_BAD_JSON"]);
      assert.deepEqual(await alice.verdict("PUT", path, "{"), [400, "M_NOT_JSON"]);
      assert.deepEqual(await alice.call("GET", path), { a: 1 });
      assert.deepEqual(await bob.verdict("GET", path), [403, "M_FORBIDDEN"]);
      assert.deepEqual(await bob.verdict("PUT", path, {}), [403, "M_FORBIDDEN"]);
    }
  });
}
