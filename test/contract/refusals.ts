/** The codes by which a client tells refusals apart (client-server API, "Standard error response"). */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import type { HttpClient } from "../support/httpClient.ts";
import type { Scene } from "./scene.ts";

export function refusalsContract(scene: Scene): void {
  let alice: HttpClient;
  let roomId: string;

  before(async () => {
    alice = await scene.user("alice");
    roomId = await scene.room(alice);
  });

  test("a request without a token is refused by another code than one with an unknown token", async () => {
    for (const [method, path] of [
      ["GET", "/v3/account/whoami"],
      ["GET", "/v3/sync"],
      ["POST", "/v3/keys/upload"],
      ["PUT", `/v3/rooms/${roomId}/send/m.room.message/1`],
    ] as const) {
      const body = method === "GET" ? undefined : {};
      assert.deepEqual(await scene.anyone().verdict(method, path, body), [401, "M_MISSING_TOKEN"], path);
      const unknown = await scene.anyone("syt_unknown").request(method, path, body);
      assert.deepEqual([unknown.status, unknown.body["errcode"]], [401, "M_UNKNOWN_TOKEN"], path);
      assert.equal(unknown.body["soft_logout"], false, path);
    }
  });

  test("every refusal is JSON with a code and words", async () => {
    const reply = await alice.request("GET", "/v3/nothing/here");
    assert.equal(reply.headers.get("content-type"), "application/json");
    assert.equal(typeof reply.body["error"], "string");
  });

  test("an unknown path and a known path with another method are told apart", async () => {
    assert.deepEqual(await alice.verdict("GET", "/v3/nothing/here"), [404, "M_UNRECOGNIZED"]);
    assert.deepEqual(await scene.anyone().verdict("GET", "/v3/nothing/here"), [404, "M_UNRECOGNIZED"]);
    assert.deepEqual(await alice.verdict("DELETE", "/v3/login"), [405, "M_UNRECOGNIZED"]);
    assert.deepEqual(await alice.verdict("POST", "/v3/sync", {}), [405, "M_UNRECOGNIZED"]);
  });

  test("a body that is no JSON, and JSON that is no object, have codes of their own", async () => {
    for (const [method, path] of [
      ["PUT", `/v3/rooms/${roomId}/send/m.room.message/broken`],
      ["PUT", `/v3/rooms/${roomId}/state/org.example.s`],
      ["POST", "/v3/keys/upload"],
      ["POST", "/v3/keys/query"],
      ["PUT", "/v3/sendToDevice/org.example.a/broken"],
      ["POST", `/v3/user/${alice.userId}/filter`],
    ] as const) {
      assert.deepEqual(await alice.verdict(method, path, "{broken"), [400, "M_NOT_JSON"], path);
      assert.deepEqual(await alice.verdict(method, path, []), [400, "M_BAD_JSON"], path);
    }
    assert.deepEqual(await scene.anyone().verdict("POST", "/v3/login", "{"), [400, "M_NOT_JSON"]);
    // Left out where something is needed: not JSON either.
    assert.deepEqual(await alice.verdict("PUT", `/v3/rooms/${roomId}/send/a.b/none`), [400, "M_NOT_JSON"]);
  });

  test("a missing property has a code of its own", async () => {
    assert.deepEqual(await alice.verdict("PUT", "/v3/sendToDevice/org.example.a/none", {}), [400, "M_MISSING_PARAM"]);
    assert.deepEqual(await alice.verdict("POST", `/v3/rooms/${roomId}/invite`, {}), [400, "M_MISSING_PARAM"]);
    assert.deepEqual(await alice.verdict("GET", "/v3/keys/changes"), [400, "M_MISSING_PARAM"]);
  });

  test("a room that the server does not know is refused like one that the user is not in", async () => {
    const [nowhere, bob] = [`!nowhere:${scene.homeserver.serverName}`, await scene.user("bob")];
    for (const room of [nowhere, roomId]) {
      assert.deepEqual(await bob.verdict("PUT", `/v3/rooms/${room}/send/a.b/1`, {}), [403, "M_FORBIDDEN"], room);
      assert.deepEqual(await bob.verdict("PUT", `/v3/rooms/${room}/state/a.b`, {}), [403, "M_FORBIDDEN"], room);
      assert.deepEqual(await bob.verdict("GET", `/v3/rooms/${room}/state/m.room.name`), [403, "M_FORBIDDEN"], room);
      assert.deepEqual(await bob.verdict("GET", `/v3/rooms/${room}/joined_members`), [403, "M_FORBIDDEN"], room);
      assert.deepEqual(await bob.verdict("GET", `/v3/rooms/${room}/members`), [403, "M_FORBIDDEN"], room);
      assert.deepEqual(await bob.verdict("GET", `/v3/rooms/${room}/messages?dir=b`), [403, "M_FORBIDDEN"], room);
      assert.deepEqual(
        await bob.verdict("POST", `/v3/rooms/${room}/invite`, { user_id: alice.userId }),
        [403, "M_FORBIDDEN"],
        room,
      );
    }
    assert.deepEqual(await bob.verdict("POST", `/v3/join/${roomId}`, {}), [403, "M_FORBIDDEN"]);
    assert.deepEqual(await bob.verdict("POST", `/v3/rooms/${roomId}/leave`, {}), [403, "M_FORBIDDEN"]);
    assert.deepEqual(await bob.verdict("POST", `/v3/join/${nowhere}`, {}), [404, "M_UNKNOWN"]);
    assert.deepEqual(await bob.verdict("POST", `/v3/rooms/${nowhere}/leave`, {}), [404, "M_UNKNOWN"]);
  });
}
