import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startDevServer, type DevServer } from "../../../devserver/server.ts";
import type { JsonValue } from "../../../src/protocol/json.ts";
import { HttpClient, at, type Reply } from "./httpClient.ts";

const UNSTABLE = "/unstable/uk.tcpip.msc4133";

describe("profiles on the development homeserver", () => {
  let server: DevServer;
  let alice: HttpClient;
  let bob: HttpClient;
  let made = 0;

  before(async () => {
    server = await startDevServer();
  });
  after(() => server.stop());

  function users(): void {
    made += 1;
    alice = new HttpClient(server, server.createAccount(`alice${made}`));
    bob = new HttpClient(server, server.createAccount(`bob${made}`));
  }
  const path = (key: string, prefix = "/v3", who = alice): string =>
    `${prefix}/profile/${encodeURIComponent(who.userId)}/${encodeURIComponent(key)}`;
  const put = (key: string, value: JsonValue, prefix?: string): Promise<Reply> =>
    alice.request("PUT", path(key, prefix), { [key]: value });
  const codeOf = ({ status, body }: Reply): unknown[] => [status, body["errcode"]];

  test("a field is written, read by others, replaced and deleted, under both prefixes", async () => {
    users();
    const whole = `/profile/${alice.userId}`;
    for (const prefix of ["/v3", UNSTABLE]) {
      const key = "m.client_capability.phone-1_a";
      assert.deepEqual((await put(key, { events: [{ type: "a.b" }] }, prefix)).body, {});
      assert.deepEqual(await bob.call("GET", path(key, "/v3")), { [key]: { events: [{ type: "a.b" }] } });
      await put(key, ["now", "a", "list"], prefix);
      assert.deepEqual(await bob.call("GET", path(key, UNSTABLE)), { [key]: ["now", "a", "list"] });
      assert.deepEqual(await bob.call("GET", `${prefix}${whole}`), { [key]: ["now", "a", "list"] });
      assert.equal((await alice.request("DELETE", path(key, prefix))).status, 200);
      assert.deepEqual(codeOf(await bob.request("GET", path(key, prefix))), [404, "M_NOT_FOUND"]);
      assert.equal((await alice.request("DELETE", path(key, prefix))).status, 200, "it is gone already");
      assert.deepEqual(await bob.call("GET", `${prefix}${whole}`), {});
    }
    assert.deepEqual(codeOf(await bob.request("GET", "/v3/profile/@nobody:localhost/a")), [404, "M_NOT_FOUND"]);
  });

  test("a name outside the grammar is refused, and one that is too long by its own code", async () => {
    users();
    for (const key of ["m.client_capability.DEVICE", "1st", "_a", "a b", "ä", "a/b", "", "Aa"]) {
      assert.deepEqual(codeOf(await put(key, "x")), [400, "M_INVALID_PARAM"], key);
      assert.deepEqual(codeOf(await put(key, "x", UNSTABLE)), [400, "M_INVALID_PARAM"], key);
    }
    assert.equal((await put("a".repeat(255), "x")).status, 200);
    assert.deepEqual(codeOf(await put("a".repeat(256), "x")), [400, "M_KEY_TOO_LARGE"]);
    for (const method of ["GET", "DELETE"])
      assert.deepEqual(codeOf(await alice.request(method, path("UPPER"))), [400, "M_INVALID_PARAM"]);
  });

  test("a body without the field, with more than it, or with null in it is refused", async () => {
    users();
    const refused = async (body: JsonValue): Promise<unknown> =>
      codeOf(await alice.request("PUT", path("org.example.a"), body));
    assert.deepEqual(await refused({}), [400, "M_MISSING_PARAM"]);
    assert.deepEqual(await refused({ "org.example.b": 1 }), [400, "M_MISSING_PARAM"]);
    assert.deepEqual(await refused({ "org.example.a": 1, "org.example.b": 1 }), [400, "M_BAD_JSON"]);
    assert.deepEqual(await refused([]), [400, "M_BAD_JSON"]);
    assert.deepEqual(await refused("{"), [400, "M_NOT_JSON"]);
    assert.deepEqual(await refused({ "org.example.a": null }), [400, "M_INVALID_PARAM"]);
    assert.deepEqual(await bob.call("GET", `/v3/profile/${alice.userId}`), {});
  });

  test("the whole profile has 65,536 bytes at most, and a change that is too large changes nothing", async () => {
    users();
    await put("displayname", "Älice");
    await put("org.example.a", "");
    const bytes = Buffer.byteLength(JSON.stringify(await alice.call("GET", `/v3/profile/${alice.userId}`)));
    const room = 65_536 - bytes;
    assert.deepEqual(codeOf(await put("org.example.a", "x".repeat(room + 1))), [400, "M_PROFILE_TOO_LARGE"]);
    assert.equal(at(await alice.call("GET", path("org.example.a")), "org.example.a"), "");
    assert.equal((await put("org.example.a", "x".repeat(room))).status, 200);
    assert.deepEqual(codeOf(await put("org.example.b", 1)), [400, "M_PROFILE_TOO_LARGE"]);
    assert.deepEqual(codeOf(await put("displayname", "Älice!")), [400, "M_PROFILE_TOO_LARGE"]);
    assert.equal((await put("org.example.a", "shorter")).status, 200, "a field's old value does not count");
  });

  test("a profile is its user's to change, and needs a token to be changed but none to be read", async () => {
    users();
    await put("org.example.a", 1);
    for (const method of ["PUT", "DELETE"]) {
      const body = method === "PUT" ? { "org.example.a": 2 } : undefined;
      assert.deepEqual(codeOf(await bob.request(method, path("org.example.a"), body)), [403, "M_FORBIDDEN"]);
      const bare = await fetch(`${server.url}/_matrix/client${path("org.example.a")}`, { method });
      assert.equal(bare.status, 401);
    }
    const read = await fetch(`${server.url}/_matrix/client${path("org.example.a")}`);
    assert.deepEqual(await read.json(), { "org.example.a": 1 });
  });

  test("a display name and an avatar are fields of text that were there before the others", async () => {
    users();
    for (const key of ["displayname", "avatar_url"]) {
      assert.deepEqual(codeOf(await put(key, 1)), [400, "M_BAD_JSON"]);
      assert.equal((await put(key, "text")).status, 200);
    }
    assert.deepEqual(await bob.call("GET", `/v3/profile/${alice.userId}`), { displayname: "text", avatar_url: "text" });
  });

  test("a server without the feature knows no such routes, and display names all the same", async (t) => {
    const older = await startDevServer({
      unstableFeatures: { "uk.tcpip.msc4133": false, "uk.tcpip.msc4133.stable": false },
    });
    t.after(() => older.stop());
    const anna = new HttpClient(older, older.createAccount("anna"));
    for (const method of ["GET", "PUT", "DELETE"]) {
      const body = method === "PUT" ? { a: 1 } : undefined;
      for (const where of [path("a", "/v3", anna), path("a", UNSTABLE, anna), path("displayname", UNSTABLE, anna)])
        assert.deepEqual(codeOf(await anna.request(method, where, body)), [404, "M_UNRECOGNIZED"], where);
    }
    const whole = `/profile/${anna.userId}`;
    assert.deepEqual(codeOf(await anna.request("GET", `${UNSTABLE}${whole}`)), [404, "M_UNRECOGNIZED"]);
    await anna.call("PUT", path("displayname", "/v3", anna), { displayname: "Anna" });
    assert.deepEqual(await anna.call("GET", `/v3${whole}`), { displayname: "Anna" });
    assert.equal(at(await anna.call("GET", "/v3/capabilities"), "capabilities", "m.profile_fields"), undefined);
  });

  test("the capability says whether fields may be written, and the server holds to it", async (t) => {
    users();
    const { capabilities } = await alice.call("GET", "/v3/capabilities");
    assert.deepEqual(at(capabilities, "m.profile_fields"), { enabled: true });
    assert.equal(at(capabilities, "m.room_versions", "default"), "10");

    const strict = await startDevServer({ profileFieldsEnabled: false });
    t.after(() => strict.stop());
    const anna = new HttpClient(strict, strict.createAccount("anna"));
    const answered = await anna.call("GET", "/v3/capabilities");
    assert.deepEqual(at(answered, "capabilities", "m.profile_fields"), { enabled: false });
    for (const method of ["PUT", "DELETE"]) {
      const body = method === "PUT" ? { a: 1 } : undefined;
      assert.deepEqual(codeOf(await anna.request(method, path("a", "/v3", anna), body)), [403, "M_FORBIDDEN"]);
    }
    await anna.call("PUT", path("displayname", "/v3", anna), { displayname: "Anna" });
    assert.deepEqual(codeOf(await anna.request("GET", path("a", "/v3", anna))), [404, "M_NOT_FOUND"]);
  });
});
