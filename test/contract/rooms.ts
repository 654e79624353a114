/** Making rooms, their state, members and aliases. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import type { JsonObject } from "../../src/protocol/json.ts";
import { at, list, type HttpClient } from "../support/httpClient.ts";
import type { Scene } from "./scene.ts";

export function roomsContract(scene: Scene): void {
  let alice: HttpClient;
  let bob: HttpClient;

  before(async () => {
    [alice, bob] = await scene.users("alice", "bob");
  });

  const content = (who: HttpClient, roomId: string, type: string): Promise<JsonObject> =>
    who.call("GET", `/v3/rooms/${roomId}/state/${type}`);

  test("a new room has its state in the order that clients rely on", async () => {
    const roomId = await scene.room(alice, [], {
      name: "Bridges",
      topic: "reports",
      initial_state: [{ type: "m.room.encryption", content: { algorithm: "m.megolm.v1.aes-sha2" } }],
    });
    const page = await alice.call("GET", `/v3/rooms/${roomId}/messages?dir=f&limit=100`);
    const types = list(page, "chunk").map((event) => event["type"]);
    assert.deepEqual(types, [
      "m.room.create",
      "m.room.member",
      "m.room.power_levels",
      "m.room.join_rules",
      "m.room.history_visibility",
      "m.room.guest_access",
      "m.room.encryption",
      "m.room.name",
      "m.room.topic",
    ]);
    assert.deepEqual(await content(alice, roomId, "m.room.join_rules"), { join_rule: "invite" });
    assert.deepEqual(await content(alice, roomId, "m.room.history_visibility"), { history_visibility: "shared" });
    const levels = await content(alice, roomId, "m.room.power_levels");
    assert.deepEqual(levels["users"], { [alice.userId]: 100 });
    assert.deepEqual(
      [levels["events_default"], levels["state_default"], levels["users_default"], levels["invite"], levels["redact"]],
      [0, 50, 0, 0, 50],
    );
    assert.equal((await content(alice, roomId, "m.room.topic"))["topic"], "reports");
  });

  test("rooms of versions 10 and 11 are named after the server, a version 12 room after its create event", async () => {
    for (const version of ["10", "11"]) {
      const roomId = await scene.room(alice, [], { room_version: version });
      assert.ok(roomId.endsWith(`:${scene.homeserver.serverName}`), roomId);
      const create = await content(alice, roomId, "m.room.create");
      assert.equal(create["room_version"], version);
      assert.equal(create["creator"], version === "10" ? alice.userId : undefined);
    }
    const roomId = await scene.room(alice, [], { room_version: "12" });
    assert.match(roomId, /^![A-Za-z0-9_-]{43}$/);
    const page = await alice.call("GET", `/v3/rooms/${roomId}/messages?dir=f&limit=1`);
    assert.equal(list(page, "chunk")[0]?.["event_id"], `$${roomId.slice(1)}`);
    assert.deepEqual(await alice.verdict("POST", "/v3/createRoom", { room_version: "99" }), [
      400,
      "M_UNSUPPORTED_ROOM_VERSION",
    ]);
  });

  test("a public room can be joined by anybody, and more than once", async () => {
    const roomId = await scene.room(alice, [], { preset: "public_chat" });
    for (const path of [`/v3/join/${roomId}`, `/v3/rooms/${roomId}/join`, `/v3/join/${roomId}?server_name=a.b&via=a.b`])
      assert.deepEqual(await bob.call("POST", path, {}), { room_id: roomId });
    const { joined_rooms: rooms } = await bob.call("GET", "/v3/joined_rooms");
    assert.ok(Array.isArray(rooms) && rooms.includes(roomId));
  });

  test("state reads back, with and without a state key; what is not there is not found", async () => {
    const roomId = await scene.room(alice, [bob]);
    const put = await alice.call("PUT", `/v3/rooms/${roomId}/state/org.example.s/key`, { a: 1 });
    assert.match(String(put["event_id"]), /^\$/);
    assert.deepEqual(await bob.call("GET", `/v3/rooms/${roomId}/state/org.example.s/key`), { a: 1 });
    await alice.call("PUT", `/v3/rooms/${roomId}/state/org.example.s`, { b: 2 });
    for (const end of ["", "/"])
      assert.deepEqual(await bob.call("GET", `/v3/rooms/${roomId}/state/org.example.s${end}`), { b: 2 });
    assert.deepEqual(await bob.verdict("GET", `/v3/rooms/${roomId}/state/m.room.topic`), [404, "M_NOT_FOUND"]);
    const whole = list((await bob.request("GET", `/v3/rooms/${roomId}/state`)).body, "list");
    const keys = whole.filter((event) => event["type"] === "org.example.s").map((event) => String(event["state_key"]));
    assert.deepEqual(keys.toSorted(), ["", "key"]);
    assert.equal(whole[0]?.["room_id"], roomId);
  });

  test("members are listed by membership", async () => {
    const roomId = await scene.room(alice, [bob]);
    const carol = await scene.user("carol");
    await alice.call("POST", `/v3/rooms/${roomId}/invite`, { user_id: carol.userId });
    const keys = async (query: string): Promise<unknown[]> =>
      list(await bob.call("GET", `/v3/rooms/${roomId}/members${query}`), "chunk")
        .map((event) => String(event["state_key"]))
        .toSorted();
    assert.deepEqual(await keys("?membership=invite"), [carol.userId]);
    assert.deepEqual(await keys("?not_membership=invite"), [alice.userId, bob.userId].toSorted());
    assert.deepEqual(await keys(""), [alice.userId, bob.userId, carol.userId].toSorted());
    const joined = at(await bob.call("GET", `/v3/rooms/${roomId}/joined_members`), "joined") ?? {};
    assert.deepEqual(Object.keys(joined).toSorted(), [alice.userId, bob.userId].toSorted());
    assert.deepEqual(await carol.verdict("GET", `/v3/rooms/${roomId}/joined_members`), [403, "M_FORBIDDEN"]);
  });

  test("the name that a user goes by is in the member events and the list of members", async () => {
    const named = await scene.user("named");
    await named.call("PUT", `/v3/profile/${named.userId}/displayname`, { displayname: "A name" });
    const roomId = await scene.room(alice, [], { preset: "public_chat" });
    await named.call("POST", `/v3/join/${roomId}`, {});
    const member = await alice.call("GET", `/v3/rooms/${roomId}/state/m.room.member/${named.userId}`);
    assert.deepEqual(member, { membership: "join", displayname: "A name" });
    const joined = await alice.call("GET", `/v3/rooms/${roomId}/joined_members`);
    assert.deepEqual(at(joined, "joined", named.userId), { display_name: "A name", avatar_url: null });
  });

  test("an alias leads to its room, for everybody; an unknown one is not found", async () => {
    const name = scene.newName("bridges");
    const alias = `#${name}:${scene.homeserver.serverName}`;
    const roomId = await scene.room(alice, [], { room_alias_name: name, preset: "public_chat" });
    const found = await scene.anyone().call("GET", `/v3/directory/room/${encodeURIComponent(alias)}`);
    assert.deepEqual(found, { room_id: roomId, servers: [scene.homeserver.serverName] });
    assert.deepEqual(await content(alice, roomId, "m.room.canonical_alias"), { alias });
    assert.deepEqual(await bob.call("POST", `/v3/join/${encodeURIComponent(alias)}`, {}), { room_id: roomId });
    const unknown = encodeURIComponent(`#unknown:${scene.homeserver.serverName}`);
    assert.deepEqual(await bob.verdict("GET", `/v3/directory/room/${unknown}`), [404, "M_NOT_FOUND"]);
    assert.deepEqual(await bob.verdict("POST", `/v3/join/${unknown}`, {}), [404, "M_NOT_FOUND"]);
    assert.deepEqual(await bob.verdict("POST", "/v3/join/nonsense", {}), [400, "M_UNKNOWN"]);
    const taken = await alice.verdict("POST", "/v3/createRoom", { room_alias_name: name });
    assert.deepEqual(taken, [400, "M_ROOM_IN_USE"]);
  });

  test("an alias can be given to a room later, read and taken away again", async () => {
    const roomId = await scene.room(alice, [bob]);
    const path = `/v3/directory/room/${encodeURIComponent(`#${scene.newName("later")}:${scene.homeserver.serverName}`)}`;
    assert.deepEqual(await alice.call("PUT", path, { room_id: roomId }), {});
    assert.equal((await bob.call("GET", path))["room_id"], roomId);
    assert.deepEqual(await alice.verdict("PUT", path, { room_id: roomId }), [409, "M_UNKNOWN"]);
    assert.deepEqual(await alice.call("DELETE", path), {});
    assert.deepEqual(await bob.verdict("GET", path), [404, "M_NOT_FOUND"]);
  });
}
