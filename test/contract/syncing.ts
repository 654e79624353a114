/** `/sync`: timelines, state, tokens, waiting. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import type { JsonObject } from "../../src/protocol/json.ts";
import { at, ids, list, timeline, type HttpClient } from "../support/httpClient.ts";
import type { Scene } from "./scene.ts";

const STATE_AFTER = "org.matrix.msc4222.state_after";

export function syncingContract(scene: Scene): void {
  let alice: HttpClient;
  let bob: HttpClient;
  let roomId: string;

  before(async () => {
    [alice, bob] = await scene.users("alice", "bob");
    roomId = await scene.room(alice, [bob]);
  });

  async function say(count: number, inRoom = roomId): Promise<string[]> {
    const sent: string[] = [];
    for (let index = 0; index < count; index += 1)
      sent.push(await alice.send(inRoom, "org.example.said", scene.newName("say"), { body: String(index) }));
    return sent;
  }
  const setState = async (type: string, content: JsonObject, key = ""): Promise<string> =>
    String((await alice.call("PUT", `/v3/rooms/${roomId}/state/${type}/${key}`, content))["event_id"]);
  const stateIds = (sync: JsonObject, name = "state"): string[] =>
    ids(list(sync, "rooms", "join", roomId, name, "events"));

  test("an initial sync has the last ten events, and the state before them", async () => {
    const long = await scene.room(alice, [bob]);
    const sent = await say(12, long);
    const first = await bob.sync();
    assert.deepEqual(ids(timeline(first, long)), sent.slice(2));
    assert.equal(at(first, "rooms", "join", long, "timeline", "limited"), true);
    const state = list(first, "rooms", "join", long, "state", "events");
    const types = state.map((event) => event["type"]);
    for (const type of ["m.room.create", "m.room.power_levels", "m.room.join_rules"])
      assert.equal(types.filter((other) => other === type).length, 1, type);
    assert.equal(types.filter((type) => type === "m.room.member").length, 2);
    assert.equal(state[0]?.["room_id"], undefined);
  });

  test("a room that fits into an initial sync whole is not limited, and has no state beside its timeline", async () => {
    const short = await scene.room(alice);
    const first = await alice.sync();
    assert.equal(at(first, "rooms", "join", short, "timeline", "limited"), false);
    assert.equal(timeline(first, short)[0]?.["type"], "m.room.create");
    assert.deepEqual(list(first, "rooms", "join", short, "state", "events"), []);
  });

  test("a timeline that fits is not limited", async () => {
    const since = await bob.now();
    const sent = await say(10);
    const next = await bob.sync(since);
    assert.equal(at(next, "rooms", "join", roomId, "timeline", "limited"), false);
    assert.deepEqual(ids(timeline(next, roomId)), sent);
    assert.deepEqual(stateIds(next), []);
    const parts = Object.keys(at(next, "rooms", "join", roomId) ?? {});
    const always = ["account_data", "ephemeral", "state", "summary", "timeline", "unread_notifications"];
    assert.deepEqual(parts.toSorted(), always);
    assert.deepEqual(at(next, "rooms", "join", roomId, "summary"), {});
  });

  test("the same token gets the same contents again, and an older one works after a newer one", async () => {
    const since = await bob.now();
    const sent = await say(3);
    const one = await bob.sync(since);
    await bob.sync(one["next_batch"]);
    const again = await bob.sync(since);
    assert.deepEqual(ids(timeline(one, roomId)), sent);
    assert.deepEqual(ids(timeline(again, roomId)), sent);
  });

  test("an initial sync that is repeated is not a stale one", async () => {
    await bob.sync();
    const [sent] = await say(1);
    assert.equal(ids(timeline(await bob.sync(), roomId)).at(-1), sent);
  });

  test("state that changed in a gap comes with the sync, and only that", async () => {
    const since = await bob.now();
    await setState("m.room.name", { name: "old" });
    const name = await setState("m.room.name", { name: "new" });
    await say(11);
    const next = await bob.sync(since);
    assert.equal(at(next, "rooms", "join", roomId, "timeline", "limited"), true);
    assert.deepEqual(stateIds(next), [name]);
  });

  test("state in the timeline is not repeated beside it, and tells what it took the place of", async () => {
    await setState("org.example.s", { step: 1 });
    const since = await bob.now();
    const second = await setState("org.example.s", { step: 2 });
    const next = await bob.sync(since);
    assert.deepEqual(ids(timeline(next, roomId)), [second]);
    assert.deepEqual(stateIds(next), []);
    const [event] = timeline(next, roomId);
    assert.equal(event?.["state_key"], "");
    assert.deepEqual(at(event, "unsigned", "prev_content"), { step: 1 });
    assert.equal(at(event, "unsigned", "prev_sender"), alice.userId);
    assert.equal(typeof at(event, "unsigned", "replaces_state"), "string");
  });

  test("the same state again is no new event", async () => {
    const first = await setState("org.example.same", { a: 1 });
    assert.equal(await setState("org.example.same", { a: 1 }), first);
    assert.notEqual(await setState("org.example.same", { a: 2 }), first);
  });

  test("with MSC4222 the state is that after the timeline, timeline included", async () => {
    const asked = { "org.matrix.msc4222.use_state_after": "true" };
    const since = await bob.now();
    const name = await setState("m.room.name", { name: scene.newName("after") });
    const next = await bob.sync(since, asked);
    assert.deepEqual(ids(timeline(next, roomId)), [name]);
    assert.deepEqual(stateIds(next, STATE_AFTER), [name]);
    assert.equal(at(next, "rooms", "join", roomId, "state"), undefined);
    assert.equal(stateIds(await bob.sync(undefined, asked), STATE_AFTER).includes(name), true);
    await say(1);
    assert.deepEqual(stateIds(await bob.sync(next["next_batch"], asked), STATE_AFTER), []);
  });

  test("a newly joined room comes with its whole state, some history and limited: true", async () => {
    const other = await scene.room(alice, [], { invite: [bob.userId] });
    const room = await scene.room(alice, [], { name: "new" });
    await say(12, room);
    await alice.call("POST", `/v3/rooms/${room}/invite`, { user_id: bob.userId });
    const since = await bob.now();
    await bob.call("POST", `/v3/rooms/${room}/join`, {});
    const next = await bob.sync(since);
    assert.equal(timeline(next, room).length, 10);
    assert.equal(timeline(next, room).at(-1)?.["state_key"], bob.userId);
    assert.equal(at(next, "rooms", "join", room, "timeline", "limited"), true);
    const types = list(next, "rooms", "join", room, "state", "events").map((event) => event["type"]);
    for (const type of ["m.room.create", "m.room.name", "m.room.power_levels"]) assert.ok(types.includes(type), type);
    assert.equal(at(next, "rooms", "join", other), undefined);
  });

  test("a poll without news answers after its timeout with nothing but a token", async () => {
    const quiet = await scene.user("quiet");
    const { next } = await quiet.syncUntil(undefined, () => true);
    const startedAt = performance.now();
    const sync = await quiet.sync(next, { timeout: "50" });
    assert.ok(performance.now() - startedAt >= 40);
    const always = ["device_one_time_keys_count", "device_unused_fallback_key_types", "next_batch"];
    assert.deepEqual(Object.keys(sync).toSorted(), always);
    assert.equal(typeof sync["next_batch"], "string");
  });

  test("an initial sync of somebody in no room is answered at once, whatever the timeout", async () => {
    const lonely = await scene.user("lonely");
    const startedAt = performance.now();
    const sync = await lonely.sync(undefined, { timeout: "60000" });
    assert.ok(performance.now() - startedAt < 30_000);
    assert.equal(at(sync, "rooms", "join"), undefined);
  });

  test("a long poll ends with the event that it waited for", async () => {
    const since = await bob.now();
    const waiting = bob.sync(since, { timeout: "60000" });
    const [sent] = await say(1);
    assert.deepEqual(ids(timeline(await waiting, roomId)), [sent]);
  });

  test("account data comes when it changes, to every device of the user", async () => {
    const tablet = await scene.device(bob);
    const [since, ofTablet] = [await bob.now(), await tablet.now()];
    await bob.call("PUT", `/v3/user/${bob.userId}/account_data/org.example.a`, { a: 1 });
    await bob.call("PUT", `/v3/user/${bob.userId}/rooms/${roomId}/account_data/org.example.b`, { b: 2 });
    const next = await bob.sync(since);
    assert.deepEqual(list(next, "account_data", "events"), [{ type: "org.example.a", content: { a: 1 } }]);
    assert.deepEqual(list(next, "rooms", "join", roomId, "account_data", "events"), [
      { type: "org.example.b", content: { b: 2 } },
    ]);
    assert.equal((await bob.sync(next["next_batch"]))["account_data"], undefined);
    assert.equal(list(await tablet.sync(ofTablet), "account_data", "events").length, 1);
  });

  test("account data that is emptied is there, and empty; an initial sync has all, and a filter chooses", async () => {
    const user = await scene.user("keeper");
    const path = `/v3/user/${user.userId}/account_data`;
    await user.call("PUT", `${path}/org.example.a`, { a: 1 });
    await user.call("PUT", `${path}/org.example.b`, { b: 1 });
    const since = await user.now();
    // How a client takes secrets back: account data can't be removed.
    await user.call("PUT", `${path}/org.example.a`, {});
    assert.deepEqual(await user.call("GET", `${path}/org.example.a`), {});
    const emptied = { type: "org.example.a", content: {} };
    assert.deepEqual(list(await user.sync(since), "account_data", "events"), [emptied]);
    const own = (sync: JsonObject): JsonObject[] =>
      list(sync, "account_data", "events").filter(({ type }) => String(type).startsWith("org.example."));
    const all = own(await user.sync()).toSorted((a, b) => String(a["type"]).localeCompare(String(b["type"])));
    assert.deepEqual(all, [emptied, { type: "org.example.b", content: { b: 1 } }]);
    const filter = JSON.stringify({ account_data: { types: ["org.example.b"] } });
    assert.deepEqual(own(await user.sync(undefined, { filter })), [{ type: "org.example.b", content: { b: 1 } }]);
  });

  test("a token that the server never gave out is refused", async () => {
    assert.deepEqual(await bob.verdict("GET", "/v3/sync?since=nonsense"), [400, "M_UNKNOWN"]);
  });
}
