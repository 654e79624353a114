/** Profiles and their fields (MSC4133): grammar, sizes, whose they are. */
import assert from "node:assert/strict";
import { before, beforeEach, test } from "node:test";
import type { JsonValue } from "../../src/protocol/json.ts";
import { at, type HttpClient } from "../support/httpClient.ts";
import type { Scene } from "./scene.ts";

const UNSTABLE = "/unstable/uk.tcpip.msc4133";

export function profilesContract(scene: Scene): void {
  let alice: HttpClient;
  let bob: HttpClient;

  before(async () => {
    bob = await scene.user("bob");
  });
  beforeEach(async () => {
    alice = await scene.user("alice");
    // Registering gives an account its localpart for a name; an empty name is none.
    await alice.call("PUT", path("displayname"), { displayname: "" });
  });

  const path = (key: string, prefix = "/v3"): string =>
    `${prefix}/profile/${encodeURIComponent(alice.userId)}/${encodeURIComponent(key)}`;
  const put = (key: string, value: JsonValue, prefix?: string): Promise<[number, string | null]> =>
    alice.verdict("PUT", path(key, prefix), { [key]: value });

  test("a field is written, read by others, replaced and deleted, under both prefixes", async () => {
    for (const prefix of ["/v3", UNSTABLE]) {
      const key = "m.client_capability.phone-1_a";
      assert.deepEqual(await alice.call("PUT", path(key, prefix), { [key]: { events: [{ type: "a.b" }] } }), {});
      assert.deepEqual(await bob.call("GET", path(key, "/v3")), { [key]: { events: [{ type: "a.b" }] } });
      await put(key, ["now", "a", "list"], prefix);
      assert.deepEqual(await bob.call("GET", path(key, UNSTABLE)), { [key]: ["now", "a", "list"] });
      assert.deepEqual(await bob.call("GET", `/v3/profile/${alice.userId}`), { [key]: ["now", "a", "list"] });
      assert.deepEqual(await alice.call("DELETE", path(key, prefix)), {});
      assert.deepEqual(await bob.verdict("GET", path(key, prefix)), [404, "M_NOT_FOUND"]);
      assert.deepEqual(await alice.call("DELETE", path(key, prefix)), {}, "it is gone already");
      // The specification has an empty object here.
      assert.deepEqual(await bob.verdict("GET", `/v3/profile/${alice.userId}`), [404, "M_NOT_FOUND"]);
    }
  });

  test("who does not exist has no profile", async () => {
    const nobody = `/v3/profile/@nobody:${scene.homeserver.serverName}`;
    assert.deepEqual(await bob.verdict("GET", nobody), [404, "M_UNKNOWN"]);
    // Not asked: a custom field, for which Synapse 1.160 fails with a 500.
    assert.deepEqual(await bob.verdict("GET", `${nobody}/displayname`), [404, "M_NOT_FOUND"]);
  });

  test("a name outside the grammar is refused, and one that is too long by its own code", async () => {
    for (const key of ["m.client_capability.DEVICE", "1st", "_a", "a b", "ä", "a/b", "Aa", ""]) {
      assert.deepEqual(await put(key, "x"), [400, "M_INVALID_PARAM"], key);
      assert.deepEqual(await put(key, "x", UNSTABLE), [400, "M_INVALID_PARAM"], key);
    }
    assert.deepEqual(await put("a".repeat(255), "x"), [200, null]);
    assert.deepEqual(await put("a".repeat(256), "x"), [400, "M_KEY_TOO_LARGE"]);
    for (const method of ["GET", "DELETE"])
      assert.deepEqual(await alice.verdict(method, path("UPPER")), [400, "M_INVALID_PARAM"]);
  });

  test("a body needs the field, as JSON", async () => {
    const refused = (body: JsonValue): Promise<unknown> => alice.verdict("PUT", path("org.example.a"), body);
    assert.deepEqual(await refused({}), [400, "M_MISSING_PARAM"]);
    assert.deepEqual(await refused({ "org.example.b": 1 }), [400, "M_MISSING_PARAM"]);
    assert.deepEqual(await refused([]), [400, "M_BAD_JSON"]);
    assert.deepEqual(await refused("{"), [400, "M_NOT_JSON"]);
    assert.deepEqual(await refused({ "org.example.a": null, more: 1 }), [200, null], "whatever else is there");
    assert.deepEqual(await bob.call("GET", path("org.example.a")), { "org.example.a": null });
    await alice.call("DELETE", path("org.example.a"));
    assert.deepEqual(await bob.verdict("GET", `/v3/profile/${alice.userId}`), [404, "M_NOT_FOUND"]);
  });

  test("the whole profile has 65,536 bytes at most, and a change that is too large changes nothing", async () => {
    await put("displayname", "Älice");
    await put("org.example.a", "");
    const bytes = Buffer.byteLength(JSON.stringify(await alice.call("GET", `/v3/profile/${alice.userId}`)));
    const room = 65_536 - bytes;
    assert.deepEqual(await put("org.example.a", "x".repeat(room + 1)), [400, "M_PROFILE_TOO_LARGE"]);
    assert.equal(at(await alice.call("GET", path("org.example.a")), "org.example.a"), "");
    assert.deepEqual(await put("org.example.a", "x".repeat(room)), [200, null]);
    assert.deepEqual(await put("org.example.b", 1), [400, "M_PROFILE_TOO_LARGE"]);
    assert.deepEqual(await put("org.example.a", "shorter"), [200, null], "a field's old value does not count");
  });

  test("a profile is its user's to change, and needs a token to be changed but none to be read", async () => {
    await put("org.example.a", 1);
    // The specification has 403 for all of them.
    assert.deepEqual(await bob.verdict("PUT", path("org.example.a"), { "org.example.a": 2 }), [403, "M_FORBIDDEN"]);
    assert.deepEqual(await bob.verdict("DELETE", path("org.example.a")), [400, "M_FORBIDDEN"]);
    assert.deepEqual(await bob.verdict("PUT", path("displayname"), { displayname: "x" }), [400, "M_FORBIDDEN"]);
    for (const method of ["PUT", "DELETE"]) {
      const body = method === "PUT" ? { "org.example.a": 2 } : undefined;
      assert.deepEqual(await scene.anyone().verdict(method, path("org.example.a"), body), [401, "M_MISSING_TOKEN"]);
    }
    assert.deepEqual(await scene.anyone().call("GET", path("org.example.a")), { "org.example.a": 1 });
  });

  test("a display name and an avatar are text, and not too long", async () => {
    assert.deepEqual(await put("displayname", "x".repeat(256)), [200, null]);
    assert.deepEqual(await put("displayname", "x".repeat(257)), [400, "M_UNKNOWN"]);
    assert.deepEqual(await put("avatar_url", `mxc://a.b/${"x".repeat(991)}`), [400, "M_UNKNOWN"]);
    for (const key of ["displayname", "avatar_url"]) {
      assert.deepEqual(await put(key, 1), [400, "M_INVALID_PARAM"]);
      assert.deepEqual(await put(key, "mxc://a.b/c"), [200, null]);
      assert.deepEqual(await bob.call("GET", path(key)), { [key]: "mxc://a.b/c" });
    }
    const whole = await bob.call("GET", `/v3/profile/${alice.userId}`);
    assert.deepEqual(whole, { displayname: "mxc://a.b/c", avatar_url: "mxc://a.b/c" });
    for (const key of ["displayname", "avatar_url"])
      assert.equal((await alice.request("DELETE", path(key))).status, 200);
    assert.deepEqual(await bob.verdict("GET", `/v3/profile/${alice.userId}`), [404, "M_NOT_FOUND"]);
  });
}
