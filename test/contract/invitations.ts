/** Invitations: what they show, and how they end. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import type { JsonObject } from "../../src/protocol/json.ts";
import { at, list, timeline, type HttpClient } from "../support/httpClient.ts";
import type { Scene } from "./scene.ts";

export function invitationsContract(scene: Scene): void {
  let alice: HttpClient;
  let bob: HttpClient;

  before(async () => {
    [alice, bob] = await scene.users("alice", "bob");
  });

  const invited = (body: JsonObject = {}): Promise<string> => scene.room(alice, [], { ...body, invite: [bob.userId] });
  const stateIn = (sync: JsonObject, roomId: string): JsonObject[] =>
    list(sync, "rooms", "invite", roomId, "invite_state", "events");
  const typesOf = (events: readonly JsonObject[]): string[] =>
    events
      .map((event) => String(event["type"]))
      .filter((type) => type !== "m.room.member")
      .toSorted();

  test("an invitation shows the state that describes the room, and who invited whom", async () => {
    const since = await bob.now();
    const roomId = await invited({
      name: "Bridges",
      topic: "reports",
      room_alias_name: scene.newName("described"),
      initial_state: [
        { type: "m.room.avatar", content: { url: "mxc://localhost/a" } },
        { type: "m.room.encryption", content: { algorithm: "m.megolm.v1.aes-sha2" } },
        { type: "org.example.private", content: {} },
      ],
    });
    const { sync } = await bob.syncUntil(since, (found) => at(found, "rooms", "invite", roomId));
    const events = stateIn(sync, roomId);
    // "Stripped state" of the client-server API.
    assert.deepEqual(typesOf(events), [
      "m.room.avatar",
      "m.room.canonical_alias",
      "m.room.create",
      "m.room.encryption",
      "m.room.join_rules",
      "m.room.name",
      "m.room.topic",
    ]);
    for (const event of events.slice(0, -1))
      assert.deepEqual(Object.keys(event).toSorted(), ["content", "sender", "state_key", "type"]);
    const found = (type: string): unknown => at(events.find((event) => event["type"] === type) ?? {}, "content");
    assert.deepEqual(found("m.room.join_rules"), { join_rule: "invite" });
    assert.equal(
      at(
        events.find((event) => event["type"] === "m.room.topic"),
        "content",
        "topic",
      ),
      "reports",
    );
    const members = events.filter((event) => event["type"] === "m.room.member");
    assert.deepEqual(
      members.map((event) => [event["state_key"], event["sender"], at(event, "content", "membership")]),
      [
        [alice.userId, alice.userId, "join"],
        [bob.userId, alice.userId, "invite"],
      ],
    );
    assert.equal(events.at(-1)?.["state_key"], bob.userId, "the invitation itself comes last");
    assert.match(String(events.at(-1)?.["event_id"]), /^\$/, "as a whole event");
  });

  test("an invitation comes once, shows nothing that the room does not have, and again in an initial sync", async () => {
    const since = await bob.now();
    const roomId = await invited();
    const { sync, next } = await bob.syncUntil(since, (found) => at(found, "rooms", "invite", roomId));
    assert.deepEqual(typesOf(stateIn(sync, roomId)), ["m.room.create", "m.room.join_rules"]);
    assert.equal(at(sync, "rooms", "join"), undefined);
    assert.equal(at(await bob.sync(next), "rooms", "invite"), undefined);
    assert.notEqual(at(await bob.sync(), "rooms", "invite", roomId), undefined);
  });

  test("an invitation for a conversation of two says so, and carries its reason", async () => {
    const since = await bob.now();
    const roomId = await invited({ is_direct: true, preset: "trusted_private_chat" });
    const direct = await bob.syncUntil(since, (found) => at(found, "rooms", "invite", roomId));
    assert.equal(at(stateIn(direct.sync, roomId).at(-1), "content", "is_direct"), true);
    const other = await scene.room(alice);
    await alice.call("POST", `/v3/rooms/${other}/invite`, { user_id: bob.userId, reason: "because" });
    const reasoned = await bob.syncUntil(direct.next, (found) => at(found, "rooms", "invite", other));
    assert.equal(at(stateIn(reasoned.sync, other).at(-1), "content", "reason"), "because");
    assert.equal(at(stateIn(reasoned.sync, other).at(-1), "content", "is_direct"), undefined);
  });

  test("an invitee who leaves rejects the invitation, and the inviter sees why", async () => {
    const roomId = await invited();
    const [ofAlice, ofBob] = [await alice.now(), await bob.now()];
    assert.deepEqual(await bob.call("POST", `/v3/rooms/${roomId}/leave`, { reason: "not on the list" }), {});
    const { found: event } = await alice.syncUntil(ofAlice, (sync) => timeline(sync, roomId)[0]);
    assert.deepEqual([event["type"], event["state_key"], event["sender"]], ["m.room.member", bob.userId, bob.userId]);
    assert.deepEqual(
      [at(event, "content", "membership"), at(event, "content", "reason")],
      ["leave", "not on the list"],
    );
    const { sync } = await bob.syncUntil(ofBob, (found) => at(found, "rooms", "leave", roomId));
    assert.equal(at(timeline(sync, roomId, "leave").at(-1), "content", "membership"), "leave");
    assert.deepEqual(await bob.verdict("POST", `/v3/join/${roomId}`, {}), [403, "M_FORBIDDEN"], "it is used up");
    assert.equal(at(await bob.sync(), "rooms", "invite", roomId), undefined);
  });

  test("an invitation that is taken back comes as a room that was left", async () => {
    const roomId = await invited();
    const since = await bob.now();
    await alice.call("POST", `/v3/rooms/${roomId}/kick`, { user_id: bob.userId });
    const { sync } = await bob.syncUntil(since, (found) => at(found, "rooms", "leave", roomId));
    assert.equal(timeline(sync, roomId, "leave").at(-1)?.["sender"], alice.userId);
    assert.deepEqual(await bob.verdict("POST", `/v3/join/${roomId}`, {}), [403, "M_FORBIDDEN"]);
  });

  test("who is in the room or banned from it can't be invited", async () => {
    const roomId = await scene.room(alice, [bob]);
    const invite = (): Promise<unknown> => alice.verdict("POST", `/v3/rooms/${roomId}/invite`, { user_id: bob.userId });
    assert.deepEqual(await invite(), [403, "M_FORBIDDEN"]);
    await alice.call("POST", `/v3/rooms/${roomId}/ban`, { user_id: bob.userId });
    assert.deepEqual(await invite(), [403, "M_BAD_STATE"]);
  });

  test("a knock comes once, in a section of its own", async () => {
    const roomId = await scene.room(alice, [], {
      initial_state: [{ type: "m.room.join_rules", content: { join_rule: "knock" } }],
    });
    const since = await bob.now();
    assert.deepEqual(await bob.call("POST", `/v3/knock/${roomId}`, { reason: "please" }), { room_id: roomId });
    const { sync, next } = await bob.syncUntil(since, (found) => at(found, "rooms", "knock", roomId));
    const own = list(sync, "rooms", "knock", roomId, "knock_state", "events").at(-1);
    assert.deepEqual([at(own, "content", "membership"), at(own, "content", "reason")], ["knock", "please"]);
    assert.equal((await bob.sync(next))["rooms"], undefined);
    assert.deepEqual(await bob.verdict("POST", `/v3/knock/${await scene.room(alice)}`, {}), [403, "M_FORBIDDEN"]);
  });
}
