/** Server-side key backup: versions, which of two keys is kept, and what a client can tell changes by. */
import assert from "node:assert/strict";
import { before, beforeEach, test } from "node:test";
import type { JsonObject } from "../../src/protocol/json.ts";
import type { HttpClient } from "../support/httpClient.ts";
import type { Scene } from "./scene.ts";

const VERSION = "/v3/room_keys/version";
const ROOM = "!room:example.org";
/** Base64, as session IDs are: it needs escaping in a path. */
const SESSION = "a+b/c";
const ALGORITHM = "m.megolm_backup.v1.curve25519-aes-sha2";

export function keyBackupContract(scene: Scene): void {
  let alice: HttpClient;
  let bob: HttpClient;

  before(async () => {
    alice = await scene.user("alice");
  });
  beforeEach(async () => {
    bob = await scene.user("bob");
  });

  const create = async (authData: JsonObject = { public_key: "key" }): Promise<string> => {
    const body = { algorithm: ALGORITHM, auth_data: authData };
    return String((await bob.call("POST", VERSION, body))["version"]);
  };
  const path = (version: string, ...part: string[]): string =>
    `/v3/room_keys/keys${part.map((name) => `/${encodeURIComponent(name)}`).join("")}?version=${version}`;
  const key = (data: string, more: JsonObject = {}): JsonObject => ({
    first_message_index: 5,
    forwarded_count: 1,
    is_verified: false,
    session_data: { ciphertext: data },
    ...more,
  });

  test("a backup is made, read with its count and etag, and the newest is the current one", async () => {
    assert.deepEqual(await bob.verdict("GET", VERSION), [404, "M_NOT_FOUND"]);
    assert.equal(await create({ public_key: "first" }), "1");
    const first = { version: "1", algorithm: ALGORITHM, auth_data: { public_key: "first" }, etag: "0", count: 0 };
    assert.deepEqual(await bob.call("GET", VERSION), first);
    assert.equal(await create({ public_key: "second" }), "2");
    const second = { ...first, version: "2", auth_data: { public_key: "second" } };
    assert.deepEqual(await bob.call("GET", VERSION), second);
    assert.deepEqual(await bob.call("GET", `${VERSION}/1`), first);
    for (const unknown of ["3", "none"])
      assert.deepEqual(await bob.verdict("GET", `${VERSION}/${unknown}`), [404, "M_NOT_FOUND"], unknown);
    assert.deepEqual(await alice.verdict("GET", `${VERSION}/1`), [404, "M_NOT_FOUND"], "of another user");
  });

  test("a backup's signatures can be changed, its algorithm and version not", async () => {
    const version = await create();
    const change = (body: JsonObject, of = version): Promise<[number, string | null]> =>
      bob.verdict("PUT", `${VERSION}/${of}`, body);
    const authData = { public_key: "key", signatures: { [bob.userId]: { "ed25519:A": "signature" } } };
    assert.deepEqual(await change({ algorithm: ALGORITHM, auth_data: authData }), [200, null]);
    assert.deepEqual((await bob.call("GET", VERSION))["auth_data"], authData);
    assert.deepEqual(await change({ algorithm: "other", auth_data: {} }), [400, "M_INVALID_PARAM"]);
    const withVersion = { algorithm: ALGORITHM, auth_data: authData, version };
    assert.deepEqual(await change(withVersion), [200, null]);
    assert.deepEqual(await change({ ...withVersion, version: "9" }), [400, "M_INVALID_PARAM"]);
    assert.deepEqual(await change({ algorithm: ALGORITHM, auth_data: {} }, "9"), [404, "M_NOT_FOUND"]);
    assert.deepEqual((await bob.call("GET", VERSION))["auth_data"], authData);
  });

  test("a deleted backup is gone with its keys, its number is not given again, and the one before is the current one", async () => {
    const [one, two] = [await create(), await create()];
    await bob.call("PUT", path(two, ROOM, SESSION), key("data"));
    assert.deepEqual(await bob.verdict("DELETE", `${VERSION}/${two}`), [200, null]);
    assert.deepEqual(await bob.verdict("DELETE", `${VERSION}/${two}`), [200, null], "again");
    assert.deepEqual(await bob.verdict("DELETE", `${VERSION}/9`), [404, "M_NOT_FOUND"]);
    assert.deepEqual(await bob.verdict("GET", `${VERSION}/${two}`), [404, "M_NOT_FOUND"]);
    assert.deepEqual(await bob.verdict("GET", path(two)), [404, "M_NOT_FOUND"]);
    assert.deepEqual(await bob.verdict("PUT", path(two, ROOM, SESSION), key("data")), [404, "M_NOT_FOUND"]);
    assert.equal((await bob.call("GET", VERSION))["version"], one);
    assert.equal(await create(), "3");
  });

  test("keys are put, read and deleted whole, by room, and one by one; each change is told by the etag and the count", async () => {
    const version = await create();
    const [data, other] = [key("data"), key("other")];
    const put = (body: JsonObject, ...part: string[]): Promise<JsonObject> =>
      bob.call("PUT", path(version, ...part), body);
    const get = (...part: string[]): Promise<JsonObject> => bob.call("GET", path(version, ...part));
    assert.deepEqual(await get(), { rooms: {} });
    assert.deepEqual(await get(ROOM), { sessions: {} });
    assert.deepEqual(await bob.verdict("GET", path(version, ROOM, SESSION)), [404, "M_NOT_FOUND"]);
    assert.deepEqual(await put(data, ROOM, SESSION), { etag: "1", count: 1 });
    assert.deepEqual(await put({ sessions: { two: other, [SESSION]: data } }, ROOM), { etag: "2", count: 2 });
    const elsewhere = { "!else:example.org": { sessions: { three: other } } };
    assert.deepEqual(await put({ rooms: elsewhere }), { etag: "3", count: 3 });
    assert.deepEqual(await put({ rooms: elsewhere }), { etag: "3", count: 3 }, "nothing new");
    const whole = { ...elsewhere, [ROOM]: { sessions: { two: other, [SESSION]: data } } };
    assert.deepEqual(await get(), { rooms: whole });
    assert.deepEqual(await get(ROOM), whole[ROOM]);
    assert.deepEqual(await get(ROOM, SESSION), data);
    const { etag, count } = await bob.call("GET", VERSION);
    assert.deepEqual([etag, count], ["3", 3]);

    const remove = (...part: string[]): Promise<JsonObject> => bob.call("DELETE", path(version, ...part));
    assert.deepEqual(await remove(ROOM, SESSION), { etag: "4", count: 2 });
    assert.deepEqual(await remove(ROOM, SESSION), { etag: "5", count: 2 }, "also when nothing was there");
    assert.deepEqual(await remove(ROOM), { etag: "6", count: 1 });
    assert.deepEqual(await get(), { rooms: elsewhere });
    assert.deepEqual(await remove(), { etag: "7", count: 0 });
    assert.deepEqual(await get(), { rooms: {} });
  });

  test("of two keys for a session the better one is kept: verified, with an earlier index, or through fewer hands", async () => {
    const version = await create();
    const kept = async (old: JsonObject, fresh: JsonObject): Promise<unknown> => {
      await bob.call("DELETE", path(version));
      await bob.call("PUT", path(version, ROOM, SESSION), key("old", old));
      await bob.call("PUT", path(version, ROOM, SESSION), key("new", fresh));
      return (await bob.call("GET", path(version, ROOM, SESSION)))["session_data"];
    };
    const [old, fresh] = [{ ciphertext: "old" }, { ciphertext: "new" }];
    assert.deepEqual(await kept({}, {}), old, "the same");
    assert.deepEqual(await kept({}, { is_verified: true, first_message_index: 9 }), fresh);
    assert.deepEqual(await kept({ is_verified: true }, {}), old);
    assert.deepEqual(await kept({}, { first_message_index: 4 }), fresh);
    assert.deepEqual(await kept({}, { first_message_index: 6 }), old);
    assert.deepEqual(await kept({}, { forwarded_count: 0 }), fresh);
    assert.deepEqual(await kept({}, { forwarded_count: 2 }), old);
    // The specification goes on to the next point only where the one before is equal; for Synapse any one is enough.
    assert.deepEqual(await kept({ is_verified: true }, { first_message_index: 4 }), fresh);
    assert.deepEqual(await kept({}, { first_message_index: 6, forwarded_count: 0 }), fresh);
  });

  test("keys go into the current backup only, and into one that is there", async () => {
    const put = (version: string): ReturnType<HttpClient["request"]> =>
      bob.request("PUT", path(version, ROOM, SESSION), key("data"));
    assert.equal((await put("1")).status, 404, "no backup at all");
    const [one, two] = [await create(), await create()];
    const stale = await put(one);
    assert.deepEqual([stale.status, stale.body["errcode"]], [403, "M_WRONG_ROOM_KEYS_VERSION"]);
    // The specification has the current one here, so that a client knows where to go on. Synapse says what was asked for.
    assert.equal(stale.body["current_version"], one);
    const unknown = await put("9");
    assert.deepEqual([unknown.status, unknown.body["errcode"]], [404, "M_NOT_FOUND"]);
    assert.equal((await put(two)).status, 200);
    assert.deepEqual(await bob.call("GET", path(one)), { rooms: {} }, "an old one can still be read");
    assert.deepEqual(await bob.verdict("GET", path("9")), [404, "M_NOT_FOUND"]);
    assert.deepEqual(await bob.verdict("GET", "/v3/room_keys/keys"), [400, "M_MISSING_PARAM"]);
    const text = key("data", { is_verified: "yes" });
    assert.deepEqual(await bob.verdict("PUT", path(two, ROOM, SESSION), text), [400, "M_INVALID_PARAM"]);
  });

  test("a backup is the account's, not the device's: another device has it, and it stays when a device signs out", async () => {
    const tablet = await scene.device(bob);
    const version = await create();
    await tablet.call("PUT", path(version, ROOM, SESSION), key("data"));
    await tablet.call("POST", "/v3/logout", {});
    assert.deepEqual(await bob.call("GET", path(version, ROOM, SESSION)), key("data"));
  });
}
