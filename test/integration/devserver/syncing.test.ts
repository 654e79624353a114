import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startDevServer, type DevServer } from "../../../devserver/server.ts";
import type { JsonObject } from "../../../src/protocol/json.ts";
import { HttpClient, at, ids, list, timeline } from "./httpClient.ts";

describe("syncing with the development homeserver", () => {
  let server: DevServer;
  let alice: HttpClient;
  let bob: HttpClient;
  let made = 0;

  before(async () => {
    server = await startDevServer({ unstableFeatures: { "org.matrix.msc4222": true } });
  });
  after(() => server.stop());

  /** A room of a new alice and a new bob, both joined. */
  function room(): string {
    made += 1;
    alice = new HttpClient(server, server.createAccount(`alice${made}`));
    bob = new HttpClient(server, server.createAccount(`bob${made}`));
    const roomId = server.createRoom(alice.userId, { invite: [bob.userId] });
    server.join(roomId, bob.userId);
    return roomId;
  }

  function say(roomId: string, count: number): string[] {
    return Array.from({ length: count }, (_, index) =>
      server.append(roomId, { type: "m.room.message", sender: alice.userId, content: { body: String(index) } }),
    );
  }

  test("an initial sync has the last ten events, and the state before them", async () => {
    const roomId = room();
    say(roomId, 12);
    const first = await bob.sync();
    assert.equal(timeline(first, roomId).length, 10);
    assert.equal(at(first, "rooms", "join", roomId, "timeline", "limited"), true);
    const state = list(first, "rooms", "join", roomId, "state", "events").map((event) => event["type"]);
    assert.equal(state[0], "m.room.create");
    assert.equal(state.filter((type) => type === "m.room.member").length, 2);
  });

  test("what a limited timeline leaves out is exactly what /messages holds between prev_batch and since", async () => {
    const roomId = room();
    const since = (await bob.sync())["next_batch"];
    const sent = say(roomId, 37);
    const next = await bob.sync(since);
    assert.equal(at(next, "rooms", "join", roomId, "timeline", "limited"), true);
    const shown = ids(timeline(next, roomId));
    assert.equal(shown.length, 10);

    const missing: string[] = [];
    let from = String(at(next, "rooms", "join", roomId, "timeline", "prev_batch"));
    for (let page = 0; page < 10; page += 1) {
      const reply = await bob.call("GET", `/v3/rooms/${roomId}/messages?dir=b&from=${from}&to=${String(since)}`);
      missing.push(...ids(list(reply, "chunk")));
      if (reply["end"] === undefined) break;
      assert.equal(list(reply, "chunk").length <= 10, true, "the limit is 10 unless asked for");
      from = String(reply["end"]);
    }
    assert.deepEqual([...missing.reverse(), ...shown], sent);
  });

  test("/messages walks forward as well", async () => {
    const roomId = room();
    const since = (await bob.sync())["next_batch"];
    const sent = say(roomId, 5);
    const reply = await bob.call("GET", `/v3/rooms/${roomId}/messages?dir=f&from=${String(since)}&limit=3`);
    assert.deepEqual(ids(list(reply, "chunk")), sent.slice(0, 3));
    const rest = await bob.call("GET", `/v3/rooms/${roomId}/messages?dir=f&from=${String(reply["end"])}&limit=3`);
    assert.deepEqual(ids(list(rest, "chunk")), sent.slice(3));
  });

  test("a timeline that fits is not limited", async () => {
    const roomId = room();
    const since = (await bob.sync())["next_batch"];
    const sent = say(roomId, 10);
    const next = await bob.sync(since);
    assert.equal(at(next, "rooms", "join", roomId, "timeline", "limited"), false);
    assert.deepEqual(ids(timeline(next, roomId)), sent);
  });

  test("a filter's timeline limit counts, up to 100, inline and stored", async () => {
    const roomId = room();
    const since = (await bob.sync())["next_batch"];
    say(roomId, 130);
    const inline = await bob.sync(since, { filter: JSON.stringify({ room: { timeline: { limit: 3 } } }) });
    assert.equal(timeline(inline, roomId).length, 3);
    const high = { room: { timeline: { limit: 1000 } } };
    const stored = await bob.call("POST", `/v3/user/${bob.userId}/filter`, high);
    const capped = await bob.sync(since, { filter: String(stored["filter_id"]) });
    assert.equal(timeline(capped, roomId).length, 100);
  });

  test("the same token gets the same contents again, and an older one works after a newer one", async () => {
    const roomId = room();
    const since = (await bob.sync())["next_batch"];
    const sent = say(roomId, 3);
    const one = await bob.sync(since);
    await bob.sync(one["next_batch"]);
    const again = await bob.sync(since);
    assert.deepEqual(ids(timeline(one, roomId)), sent);
    assert.deepEqual(withoutAge(one), withoutAge(again));
  });

  test("state that changed in a gap comes with the sync, and only that", async () => {
    const roomId = room();
    const since = (await bob.sync())["next_batch"];
    server.append(roomId, { type: "m.room.name", stateKey: "", sender: alice.userId, content: { name: "old" } });
    const name = server.append(roomId, {
      type: "m.room.name",
      stateKey: "",
      sender: alice.userId,
      content: { name: "new" },
    });
    say(roomId, 11);
    const next = await bob.sync(since);
    assert.deepEqual(ids(list(next, "rooms", "join", roomId, "state", "events")), [name]);
  });

  test("with MSC4222 the state is that after the timeline, timeline included", async () => {
    const roomId = room();
    const since = (await bob.sync())["next_batch"];
    const name = server.append(roomId, { type: "m.room.name", stateKey: "", sender: alice.userId, content: {} });
    const asked = { "org.matrix.msc4222.use_state_after": "true" };
    const next = await bob.sync(since, asked);
    assert.deepEqual(
      ids(list(next, "rooms", "join", roomId, "org.matrix.msc4222.state_after", "events")),
      [name],
      "a plain sync has it in the timeline alone",
    );
    assert.equal(at(next, "rooms", "join", roomId, "state"), undefined);
    const whole = await bob.sync(undefined, asked);
    const state = list(whole, "rooms", "join", roomId, "org.matrix.msc4222.state_after", "events");
    assert.equal(
      state.some((event) => event["event_id"] === name),
      true,
    );
  });

  test("an invite is shown once, with stripped state and the invite itself", async () => {
    room();
    const since = (await bob.sync())["next_batch"];
    const roomId = server.createRoom(alice.userId, { name: "new", invite: [bob.userId] });
    const next = await bob.sync(since);
    const state = list(next, "rooms", "invite", roomId, "invite_state", "events");
    assert.equal(at(state.at(-1), "content", "membership"), "invite");
    assert.equal(state.at(-1)?.["sender"], alice.userId);
    assert.deepEqual(Object.keys(state.find((event) => event["type"] === "m.room.name") ?? {}), [
      "type",
      "state_key",
      "content",
      "sender",
    ]);
    assert.equal(at(await bob.sync(next["next_batch"]), "rooms", "invite"), undefined);
    assert.notEqual(at(await bob.sync(), "rooms", "invite", roomId), undefined, "an initial sync shows it again");
  });

  test("a declined invite and a knock each come once, in a section of their own", async () => {
    room();
    const roomId = server.createRoom(alice.userId, { invite: [bob.userId] });
    const open = server.createRoom(alice.userId, {
      initial_state: [{ type: "m.room.join_rules", content: { join_rule: "knock" } }],
    });
    const since = (await bob.sync())["next_batch"];
    await bob.call("POST", `/v3/rooms/${roomId}/leave`, {});
    await bob.call("POST", `/v3/knock/${open}`, { reason: "please" });
    const next = await bob.sync(since);
    assert.equal(at(timeline(next, roomId, "leave").at(-1), "content", "membership"), "leave");
    const state = list(next, "rooms", "knock", open, "knock_state", "events");
    assert.deepEqual(at(state.at(-1), "content"), { membership: "knock", reason: "please" });
    assert.equal((await bob.sync(next["next_batch"]))["rooms"], undefined);
  });

  test("a newly joined room comes with its whole state, some history and limited: true", async () => {
    room();
    const roomId = server.createRoom(alice.userId, { invite: [bob.userId] });
    say(roomId, 8);
    const since = (await bob.sync())["next_batch"];
    await bob.call("POST", `/v3/rooms/${roomId}/join`, {});
    const next = await bob.sync(since);
    assert.equal(timeline(next, roomId).length, 10);
    assert.equal(at(next, "rooms", "join", roomId, "timeline", "limited"), true);
    assert.equal(list(next, "rooms", "join", roomId, "state", "events")[0]?.["type"], "m.room.create");
  });

  test("events in the same sync as a kick come in the left room, up to the kick and no further", async () => {
    const roomId = room();
    const since = (await bob.sync())["next_batch"];
    const said = say(roomId, 2);
    server.remove(roomId, alice.userId, bob.userId, "kick");
    say(roomId, 1);
    const next = await bob.sync(since);
    const events = timeline(next, roomId, "leave");
    assert.deepEqual(ids(events).slice(0, 2), said);
    assert.equal(events.length, 3);
    assert.equal(at(events[2], "content", "membership"), "leave");
    assert.equal(at(next, "rooms", "join"), undefined);
    assert.equal(at(await bob.sync(next["next_batch"]), "rooms", "leave"), undefined, "a left room is shown once");
    const past = await bob.call("GET", `/v3/rooms/${roomId}/messages?dir=b&limit=100`);
    assert.equal(list(past, "chunk")[0]?.["event_id"], events[2]?.["event_id"], "nothing from after the kick");
  });

  test("a room that was joined, spoken in and left between two syncs loses nothing", async () => {
    room();
    const roomId = server.createRoom(alice.userId, { invite: [bob.userId] });
    const since = (await bob.sync())["next_batch"];
    server.join(roomId, bob.userId);
    const [said] = say(roomId, 1);
    server.remove(roomId, alice.userId, bob.userId, "ban");
    const next = await bob.sync(since);
    assert.equal(ids(timeline(next, roomId, "leave")).at(-2), said);
    assert.equal(list(next, "rooms", "leave", roomId, "state", "events").length > 0, true);
  });

  test("a long poll ends with the event that it waited for", async () => {
    const roomId = room();
    const since = String((await bob.sync())["next_batch"]);
    const waiting = bob.sync(since, { timeout: "60000" });
    await server.waitFor(() => server.requests({ userId: bob.userId, outcome: "open" })[0], 60_000, "the poll");
    const [sent] = say(roomId, 1);
    assert.deepEqual(ids(timeline(await waiting, roomId)), [sent]);
  });

  test("a poll without news answers after its timeout with nothing but a token", async () => {
    room();
    const since = (await bob.sync())["next_batch"];
    const next = await bob.sync(since, { timeout: "20" });
    assert.equal(next["rooms"], undefined);
    assert.equal(typeof next["next_batch"], "string");
  });

  test("what a user said under a transaction ID carries it back to the same device alone", async () => {
    const roomId = room();
    const since = (await bob.sync())["next_batch"];
    await bob.send(roomId, "m.room.message", "mine", { body: "x" });
    const own = timeline(await bob.sync(since), roomId)[0];
    assert.equal(at(own, "unsigned", "transaction_id"), "mine");
    assert.equal(at(own, "unsigned", "membership"), "join");
    const other = new HttpClient(server, server.signIn(bob.userId));
    assert.equal(at(timeline(await other.sync(since), roomId)[0], "unsigned", "transaction_id"), undefined);
  });

  test("account data comes when it changes", async () => {
    const roomId = room();
    const since = (await bob.sync())["next_batch"];
    await bob.call("PUT", `/v3/user/${bob.userId}/account_data/org.example.a`, { a: 1 });
    await bob.call("PUT", `/v3/user/${bob.userId}/rooms/${roomId}/account_data/org.example.b`, { b: 2 });
    const next = await bob.sync(since);
    assert.deepEqual(list(next, "account_data", "events"), [{ type: "org.example.a", content: { a: 1 } }]);
    assert.deepEqual(list(next, "rooms", "join", roomId, "account_data", "events"), [
      { type: "org.example.b", content: { b: 2 } },
    ]);
    assert.equal((await bob.sync(next["next_batch"]))["account_data"], undefined);
    assert.deepEqual(await bob.call("GET", `/v3/user/${bob.userId}/account_data/org.example.a`), { a: 1 });
  });

  test("syncing through 10,000 events stays quick", async () => {
    const roomId = room();
    let since = (await bob.sync())["next_batch"];
    const seen: string[] = [];
    const sent: string[] = [];
    const filter = JSON.stringify({ room: { timeline: { limit: 100 } } });
    // Not the time on the wall, in which others use the machine too.
    const before = process.cpuUsage();
    for (let round = 0; round < 100; round += 1) {
      sent.push(...say(roomId, 100));
      const next = await bob.sync(since, { filter });
      since = next["next_batch"];
      seen.push(...ids(timeline(next, roomId)));
    }
    assert.deepEqual(seen, sent);
    const { user, system } = process.cpuUsage(before);
    assert.ok(user + system < 10_000_000, `${user + system} µs`);
  });

  test("a token that the server never gave out is refused", async () => {
    room();
    assert.equal((await bob.request("GET", "/v3/sync?since=nonsense")).status, 400);
  });
});

function withoutAge(sync: JsonObject): unknown {
  return JSON.parse(JSON.stringify(sync, (name, value: unknown) => (name === "age" ? undefined : value)));
}
