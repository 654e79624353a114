import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startDevServer, type DevServer } from "../../../devserver/server.ts";
import { HttpClient, at, ids, list, timeline } from "./httpClient.ts";

describe("rooms of the development homeserver", () => {
  let server: DevServer;
  let alice: HttpClient;
  let bob: HttpClient;

  before(async () => {
    server = await startDevServer({ serverName: "dev.example" });
    alice = new HttpClient(server, server.createAccount("alice"));
    bob = new HttpClient(server, server.createAccount("bob"));
  });
  after(() => server.stop());

  async function roomOfBoth(body = {}): Promise<string> {
    const reply = await alice.call("POST", "/v3/createRoom", { ...body, invite: [bob.userId] });
    const roomId = String(reply["room_id"]);
    await bob.call("POST", `/v3/join/${roomId}`, {});
    return roomId;
  }

  test("a transaction ID sends once per device and room, whatever the event type", async () => {
    const roomId = await roomOfBoth();
    const first = await alice.send(roomId, "m.room.message", "t1", { body: "one" });
    assert.equal(await alice.send(roomId, "m.room.message", "t1", { body: "two" }), first);
    assert.equal(await alice.send(roomId, "org.example.other", "t1"), first);
    const redaction = await alice.call("PUT", `/v3/rooms/${roomId}/redact/${first}/t1`, {});
    assert.equal(redaction["event_id"], first, "a redaction shares the transaction IDs");

    const otherDevice = new HttpClient(server, server.signIn(alice.userId));
    assert.notEqual(await otherDevice.send(roomId, "m.room.message", "t1"), first);
    assert.notEqual(await alice.send(await roomOfBoth(), "m.room.message", "t1"), first);
    assert.notEqual(await bob.send(roomId, "m.room.message", "t1"), first);
    const accepted = server.eventsIn(roomId).filter((event) => event.txnId === "t1");
    assert.equal(accepted.length, 3);
  });

  test("a further access token of the same device shares its transaction IDs, until they are forgotten", async () => {
    const roomId = await roomOfBoth();
    const first = await alice.send(roomId, "m.room.message", "same");
    const again = new HttpClient(server, server.signIn(alice.userId, alice.deviceId));
    assert.equal(await again.send(roomId, "m.room.message", "same"), first);
    server.forgetTransactions();
    assert.notEqual(await again.send(roomId, "m.room.message", "same"), first);
  });

  test("two sends of one transaction at once make one event", async () => {
    const roomId = await roomOfBoth();
    const both = await Promise.all([alice.send(roomId, "a.b", "race"), alice.send(roomId, "a.b", "race")]);
    assert.equal(both[0], both[1]);
  });

  test("a version 12 room has an ID without a server part, and its creator needs no power level", async () => {
    const roomId = await roomOfBoth({ room_version: "12" });
    assert.match(roomId, /^![A-Za-z0-9_-]{43}$/);
    const create = server.eventsIn(roomId)[0];
    assert.equal(create?.eventId, `$${roomId.slice(1)}`);
    assert.deepEqual(server.state(roomId, "m.room.power_levels")["users"], {});
    await alice.call("PUT", `/v3/rooms/${roomId}/state/m.room.name`, { name: "by the creator" });
    assert.equal((await bob.request("PUT", `/v3/rooms/${roomId}/state/m.room.name`, { name: "no" })).status, 403);
    await alice.send(roomId, "m.room.message", "v12");

    const older = await roomOfBoth({ power_level_content_override: { users: { [alice.userId]: 0 } } });
    const path = `/v3/rooms/${older}/state/m.room.name`;
    assert.equal((await alice.request("PUT", path, {})).status, 403, "before version 12 a creator is like others");
  });

  test("rooms of versions 10 and 11 are named after the server; an unknown version is refused", async () => {
    for (const version of ["10", "11"]) {
      const roomId = await roomOfBoth({ room_version: version });
      assert.match(roomId, /^!.+:dev\.example$/);
      assert.equal(server.state(roomId, "m.room.create")["room_version"], version);
    }
    const refused = await alice.request("POST", "/v3/createRoom", { room_version: "99" });
    assert.equal(refused.body["errcode"], "M_UNSUPPORTED_ROOM_VERSION");
  });

  test("a member may send any event but no state; an outsider nothing", async () => {
    const roomId = await roomOfBoth();
    const eve = new HttpClient(server, server.createAccount("eve"));
    await bob.send(roomId, "org.example.custom", "c1");
    assert.equal((await bob.request("PUT", `/v3/rooms/${roomId}/state/org.example.s/key`, {})).status, 403);
    assert.equal((await eve.request("PUT", `/v3/rooms/${roomId}/send/m.room.message/1`, {})).status, 403);
    assert.equal((await eve.request("GET", `/v3/rooms/${roomId}/messages?dir=b`)).status, 403);
    assert.equal((await eve.request("POST", `/v3/join/${roomId}`, {})).body["errcode"], "M_FORBIDDEN");
  });

  test("state reads back, with and without a state key", async () => {
    const roomId = await roomOfBoth({ initial_state: [{ type: "m.room.encryption", content: { algorithm: "x" } }] });
    await alice.call("PUT", `/v3/rooms/${roomId}/state/org.example.s/key`, { a: 1 });
    assert.deepEqual(await bob.call("GET", `/v3/rooms/${roomId}/state/org.example.s/key`), { a: 1 });
    assert.deepEqual(await bob.call("GET", `/v3/rooms/${roomId}/state/m.room.encryption/`), { algorithm: "x" });
    const missing = await bob.request("GET", `/v3/rooms/${roomId}/state/m.room.topic`);
    assert.deepEqual([missing.status, missing.body["errcode"]], [404, "M_NOT_FOUND"]);
  });

  test("the servers that a join goes through are in the log of requests", async () => {
    const roomId = server.createRoom(alice.userId, { preset: "public_chat" });
    await bob.call("POST", `/v3/join/${roomId}?server_name=one.example&server_name=two.example&via=one.example`, {});
    const [logged] = server.requests({ method: "POST", path: /\/join\//, userId: bob.userId }).slice(-1);
    assert.deepEqual(logged?.query, { server_name: ["one.example", "two.example"], via: ["one.example"] });
    assert.equal(logged?.status, 200);
  });

  test("kick, ban, unban, leave and forget do what they say", async () => {
    const roomId = await roomOfBoth();
    assert.equal((await bob.request("POST", `/v3/rooms/${roomId}/kick`, { user_id: alice.userId })).status, 403);
    await alice.call("POST", `/v3/rooms/${roomId}/ban`, { user_id: bob.userId, reason: "r" });
    assert.equal((await bob.request("POST", `/v3/join/${roomId}`, {})).status, 403);
    await alice.call("POST", `/v3/rooms/${roomId}/unban`, { user_id: bob.userId });
    await alice.call("POST", `/v3/rooms/${roomId}/invite`, { user_id: bob.userId });
    await bob.call("POST", `/v3/join/${roomId}`, {});
    assert.deepEqual(list(await alice.call("GET", `/v3/rooms/${roomId}/members?membership=join`), "chunk").length, 2);
    await bob.call("POST", `/v3/rooms/${roomId}/leave`, {});
    assert.equal(server.membership(roomId, bob.userId), "leave");
    await bob.call("POST", `/v3/rooms/${roomId}/forget`, {});
    assert.equal((await bob.request("GET", `/v3/rooms/${roomId}/messages?dir=b`)).status, 403);
    const joined = await bob.call("GET", "/v3/joined_rooms");
    assert.equal((joined["joined_rooms"] as string[]).includes(roomId), false);
  });

  test("members are listed by membership", async () => {
    const roomId = await roomOfBoth();
    await alice.call("POST", `/v3/rooms/${roomId}/invite`, { user_id: "@carol:dev.example" });
    const keys = async (query: string): Promise<unknown[]> =>
      list(await bob.call("GET", `/v3/rooms/${roomId}/members${query}`), "chunk").map((event) => event["state_key"]);
    assert.deepEqual(await keys("?membership=invite"), ["@carol:dev.example"]);
    assert.deepEqual(await keys("?not_membership=invite"), [alice.userId, bob.userId]);
    const joined = await bob.call("GET", `/v3/rooms/${roomId}/joined_members`);
    assert.deepEqual(Object.keys(at(joined, "joined") ?? {}), [alice.userId, bob.userId]);
  });

  test("relations are found by parent, relation and type, newest first, page by page, without redacted ones", async () => {
    const roomId = await roomOfBoth();
    const parent = await alice.send(roomId, "m.room.message", "parent");
    const relation = { "m.relates_to": { rel_type: "m.reference", event_id: parent } };
    const sent: string[] = [];
    for (let index = 0; index < 7; index += 1) sent.push(await bob.send(roomId, "a.reply", `r${index}`, relation));
    const other = await bob.send(roomId, "b.reply", "other", relation);
    await bob.call("PUT", `/v3/rooms/${roomId}/redact/${String(sent[0])}/gone`, {});
    const base = `/v1/rooms/${roomId}/relations/${parent}`;

    const first = await alice.call("GET", `${base}/m.reference/a.reply`);
    assert.deepEqual(ids(list(first, "chunk")), sent.slice(2).reverse(), "five at a time");
    const rest = await alice.call("GET", `${base}/m.reference/a.reply?from=${String(first["next_batch"])}`);
    assert.deepEqual(ids(list(rest, "chunk")), sent.slice(1, 2));
    assert.equal(rest["next_batch"], undefined);
    assert.equal(ids(list(await alice.call("GET", `${base}?limit=50`), "chunk"))[0], other);
    assert.deepEqual(list(await alice.call("GET", `${base}/m.annotation`), "chunk"), []);
  });

  test("a redacted event loses its content, keeps its place and names its redaction", async () => {
    for (const version of ["10", "12"]) {
      const roomId = await roomOfBoth({ room_version: version });
      const target = await bob.send(roomId, "m.room.message", "secret", { body: "gone soon" });
      const redaction = String(
        (await bob.call("PUT", `/v3/rooms/${roomId}/redact/${target}/r`, { reason: "why" }))["event_id"],
      );
      const read = await alice.call("GET", `/v3/rooms/${roomId}/event/${target}`);
      assert.deepEqual(read["content"], {});
      assert.equal(at(read, "unsigned", "redacted_because", "event_id"), redaction);
      const event = await alice.call("GET", `/v3/rooms/${roomId}/event/${redaction}`);
      assert.equal(event["redacts"], target);
      assert.equal(at(event, "content", "redacts"), target);
      assert.equal(server.eventsIn(roomId).find((logged) => logged.eventId === target)?.content["body"], "gone soon");
    }
  });

  test("content that no room version allows is refused", async () => {
    const roomId = await roomOfBoth();
    const path = `/v3/rooms/${roomId}/send/m.room.message`;
    assert.equal((await alice.request("PUT", `${path}/f1`, { number: 1.5 })).body["errcode"], "M_BAD_JSON");
    assert.equal((await alice.request("PUT", `${path}/f2`, [])).body["errcode"], "M_BAD_JSON");
    assert.equal((await alice.request("PUT", `${path}/f3`, "{broken")).body["errcode"], "M_NOT_JSON");
    const large = await alice.request("PUT", `${path}/f4`, { body: "x".repeat(70_000) });
    assert.deepEqual([large.status, large.body["errcode"]], [413, "M_TOO_LARGE"]);
  });

  test("a read receipt is taken, an unknown receipt type is refused as Synapse does", async () => {
    const roomId = await roomOfBoth();
    const eventId = await alice.send(roomId, "m.room.message", "read-me");
    assert.equal((await bob.request("POST", `/v3/rooms/${roomId}/receipt/m.read/${eventId}`, {})).status, 200);
    const unknown = await bob.request("POST", `/v3/rooms/${roomId}/receipt/org.example.unknown/${eventId}`, {});
    assert.deepEqual([unknown.status, unknown.body["errcode"]], [400, "M_UNKNOWN"]);
  });

  test("history of a room that shows it to members alone starts at the join", async () => {
    const roomId = server.createRoom(alice.userId, {
      invite: [bob.userId],
      initial_state: [{ type: "m.room.history_visibility", content: { history_visibility: "joined" } }],
    });
    await alice.send(roomId, "m.room.message", "before");
    server.join(roomId, bob.userId);
    const sent = await alice.send(roomId, "m.room.message", "after");
    const shown = timeline(await bob.sync(), roomId).filter((event) => event["type"] === "m.room.message");
    assert.deepEqual(ids(shown), [sent]);
  });
});
