import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startDevServer, type DevServer } from "../../../devserver/server.ts";
import type { JsonObject } from "../../../src/protocol/json.ts";
import { HttpClient, at, list, timeline } from "./httpClient.ts";

/** What "Stripped state" of the client-server API names, besides the members. */
const STRIPPED = [
  "m.room.avatar",
  "m.room.canonical_alias",
  "m.room.create",
  "m.room.encryption",
  "m.room.join_rules",
  "m.room.name",
  "m.room.topic",
];

describe("invitations on the development homeserver", () => {
  let server: DevServer;
  let alice: HttpClient;
  let bob: HttpClient;

  before(async () => {
    server = await startDevServer();
    alice = new HttpClient(server, server.createAccount("alice"));
    bob = new HttpClient(server, server.createAccount("bob"));
  });
  after(() => server.stop());

  const invited = (body: JsonObject = {}): string => server.createRoom(alice.userId, { ...body, invite: [bob.userId] });
  const inviteState = async (roomId: string): Promise<JsonObject[]> =>
    list(await bob.sync(), "rooms", "invite", roomId, "invite_state", "events");
  const typesOf = (events: readonly JsonObject[]): unknown[] =>
    events
      .map((event) => String(event["type"]))
      .filter((type) => type !== "m.room.member")
      .toSorted();

  test("an invitation shows the state that describes the room, and who invited whom", async () => {
    const roomId = invited({
      name: "Bridges",
      topic: "reports",
      room_alias_name: "bridges",
      initial_state: [
        { type: "m.room.avatar", content: { url: "mxc://localhost/a" } },
        { type: "m.room.encryption", content: { algorithm: "m.megolm.v1.aes-sha2" } },
        { type: "org.example.private", content: {} },
      ],
    });
    const events = await inviteState(roomId);
    assert.deepEqual(typesOf(events), STRIPPED);
    for (const event of events.slice(0, -1))
      assert.deepEqual(Object.keys(event).toSorted(), ["content", "sender", "state_key", "type"]);
    const found = (type: string): unknown => at(events.find((event) => event["type"] === type) ?? {}, "content");
    assert.deepEqual(found("m.room.join_rules"), { join_rule: "invite" });
    assert.deepEqual(found("m.room.topic"), { topic: "reports" });
    const members = events.filter((event) => event["type"] === "m.room.member");
    assert.deepEqual(
      members.map((event) => [event["state_key"], event["sender"], at(event, "content", "membership")]),
      [
        [alice.userId, alice.userId, "join"],
        [bob.userId, alice.userId, "invite"],
      ],
    );
  });

  test("an invitation shows nothing that the room does not have", async () => {
    assert.deepEqual(typesOf(await inviteState(invited())), ["m.room.create", "m.room.join_rules"]);
  });

  test("the join rules can be withheld from an invitation, as a careless server does", async () => {
    const roomId = server.createRoom(alice.userId, { name: "n" });
    server.hide(roomId, bob.userId, "m.room.join_rules");
    server.invite(roomId, alice.userId, bob.userId);
    assert.deepEqual(typesOf(await inviteState(roomId)), ["m.room.create", "m.room.name"]);
    server.unhide(roomId, bob.userId, "m.room.join_rules");
    assert.deepEqual(typesOf(await inviteState(roomId)), ["m.room.create", "m.room.join_rules", "m.room.name"]);
  });

  test("an invitee who leaves rejects the invitation, and the inviter sees why", async () => {
    const roomId = invited();
    const [ofAlice, ofBob] = [(await alice.sync())["next_batch"], (await bob.sync())["next_batch"]];
    await bob.call("POST", `/v3/rooms/${roomId}/leave`, { reason: "not on the list" });
    assert.equal(server.membership(roomId, bob.userId), "leave");
    const [event] = timeline(await alice.sync(ofAlice), roomId);
    assert.deepEqual([event?.["type"], event?.["state_key"]], ["m.room.member", bob.userId]);
    assert.deepEqual(event?.["content"], { membership: "leave", reason: "not on the list" });
    assert.notEqual(at(await bob.sync(ofBob), "rooms", "leave", roomId), undefined);
    assert.equal((await bob.request("POST", `/v3/join/${roomId}`, {})).status, 403, "the invitation is used up");
    assert.deepEqual(await inviteState(roomId), []);
  });

  test("the joined members of a room are listed for a member, the invited not among them", async () => {
    const roomId = invited();
    const path = `/v3/rooms/${roomId}/joined_members`;
    assert.deepEqual(Object.keys(at(await alice.call("GET", path), "joined") ?? {}), [alice.userId]);
    assert.equal((await bob.request("GET", path)).status, 403);
    await bob.call("POST", `/v3/join/${roomId}`, {});
    assert.deepEqual(Object.keys(at(await bob.call("GET", path), "joined") ?? {}), [alice.userId, bob.userId]);
  });
});
