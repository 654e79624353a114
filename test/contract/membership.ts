/** Leaving, being removed, coming back: what a sync shows of it. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { at, ids, list, timeline, type HttpClient } from "../support/httpClient.ts";
import type { Scene } from "./scene.ts";

export function membershipContract(scene: Scene): void {
  let alice: HttpClient;
  let bob: HttpClient;

  before(async () => {
    [alice, bob] = await scene.users("alice", "bob");
  });

  const say = (roomId: string): Promise<string> => alice.send(roomId, "org.example.said", scene.newName("say"));
  const remove = (roomId: string, how: string, reason?: string): Promise<unknown> =>
    alice.call("POST", `/v3/rooms/${roomId}/${how}`, {
      user_id: bob.userId,
      ...(reason === undefined ? {} : { reason }),
    });

  for (const how of ["kick", "ban"])
    test(`events in the same sync as a ${how} come in the left room, up to the ${how} and no further`, async () => {
      const roomId = await scene.room(alice, [bob]);
      const since = await bob.now();
      const said = [await say(roomId), await say(roomId)];
      await remove(roomId, how, "enough");
      await say(roomId);
      const next = await bob.sync(since);
      const events = timeline(next, roomId, "leave");
      assert.deepEqual(ids(events).slice(0, 2), said);
      assert.equal(events.length, 3);
      assert.equal(at(events[2], "content", "membership"), how === "kick" ? "leave" : "ban");
      assert.equal(at(events[2], "content", "reason"), "enough");
      assert.equal(events[2]?.["sender"], alice.userId);
      assert.equal(at(next, "rooms", "join", roomId), undefined);
      assert.equal(at(await bob.sync(next["next_batch"]), "rooms", "leave"), undefined, "a left room is shown once");
      const past = await bob.request("GET", `/v3/rooms/${roomId}/messages?dir=b&limit=100`);
      // Who is banned reads nothing any more, not even what was there before.
      if (how === "ban") assert.deepEqual([past.status, past.body["errcode"]], [403, "M_FORBIDDEN"]);
      else assert.equal(list(past.body, "chunk")[0]?.["event_id"], events[2]?.["event_id"], "nothing from after it");
      assert.deepEqual(await bob.verdict("PUT", `/v3/rooms/${roomId}/send/a.b/late`, {}), [403, "M_FORBIDDEN"]);
    });

  test("a user who leaves sees the room once more, as left", async () => {
    const roomId = await scene.room(alice, [bob]);
    const since = await bob.now();
    assert.deepEqual(await bob.call("POST", `/v3/rooms/${roomId}/leave`, { reason: "bye" }), {});
    const next = await bob.sync(since);
    const last = timeline(next, roomId, "leave").at(-1);
    assert.deepEqual([at(last, "content", "membership"), at(last, "content", "reason")], ["leave", "bye"]);
    assert.deepEqual(await bob.verdict("POST", `/v3/rooms/${roomId}/leave`, {}), [403, "M_FORBIDDEN"], "a second time");
    assert.equal((await bob.sync(next["next_batch"]))["rooms"], undefined);
  });

  test("a room that was joined, spoken in and left between two syncs loses nothing", async () => {
    const roomId = await scene.room(alice, [], { invite: [bob.userId] });
    const since = await bob.now();
    await bob.call("POST", `/v3/join/${roomId}`, {});
    const said = await say(roomId);
    await remove(roomId, "ban");
    const next = await bob.sync(since);
    assert.equal(ids(timeline(next, roomId, "leave")).at(-2), said);
    assert.equal(at(timeline(next, roomId, "leave").at(-1), "content", "membership"), "ban");
  });

  test("a user who comes back between two syncs gets the room as a newly joined one", async () => {
    const roomId = await scene.room(alice, [bob], { name: "again" });
    const since = await bob.now();
    await remove(roomId, "kick");
    const between = await say(roomId);
    await alice.call("POST", `/v3/rooms/${roomId}/invite`, { user_id: bob.userId });
    await bob.call("POST", `/v3/join/${roomId}`, {});
    const after = await say(roomId);
    const next = await bob.sync(since);
    const shown = ids(timeline(next, roomId));
    assert.equal(shown.at(-1), after);
    assert.ok(shown.includes(between), "the history is shared");
    assert.equal(at(next, "rooms", "join", roomId, "timeline", "limited"), true);
    assert.equal(at(next, "rooms", "leave"), undefined);
  });

  test("a forgotten room shows nothing any more; one that the user is in can't be forgotten", async () => {
    const roomId = await scene.room(alice, [bob]);
    assert.deepEqual(await bob.verdict("POST", `/v3/rooms/${roomId}/forget`, {}), [400, "M_UNKNOWN"]);
    await bob.call("POST", `/v3/rooms/${roomId}/leave`, {});
    await bob.call("GET", `/v3/rooms/${roomId}/messages?dir=b`);
    assert.deepEqual(await bob.call("POST", `/v3/rooms/${roomId}/forget`, {}), {});
    assert.deepEqual(await bob.verdict("GET", `/v3/rooms/${roomId}/messages?dir=b`), [403, "M_FORBIDDEN"]);
    const { joined_rooms: rooms } = await bob.call("GET", "/v3/joined_rooms");
    assert.ok(Array.isArray(rooms) && !rooms.includes(roomId));
  });

  test("membership is state, and setting that state is another way to change it", async () => {
    const roomId = await scene.room(alice);
    const path = `/v3/rooms/${roomId}/state/m.room.member/${bob.userId}`;
    await alice.call("PUT", path, { membership: "invite" });
    await bob.call("PUT", path, { membership: "join" });
    assert.equal((await alice.call("GET", path))["membership"], "join");
    assert.deepEqual(await bob.verdict("PUT", path, { membership: "nonsense" }), [400, "M_UNKNOWN"]);
    await alice.call("PUT", path, { membership: "leave", reason: "out" });
    assert.deepEqual(await bob.verdict("POST", `/v3/join/${roomId}`, {}), [403, "M_FORBIDDEN"]);
  });
}
