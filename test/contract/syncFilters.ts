/** Filters: kept by the server or inline, and what a sync makes of them. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import type { JsonObject } from "../../src/protocol/json.ts";
import { at, ids, list, timeline, type HttpClient } from "../support/httpClient.ts";
import type { Scene } from "./scene.ts";

export function syncFiltersContract(scene: Scene): void {
  let alice: HttpClient;
  let bob: HttpClient;
  let roomId: string;
  let since: string;
  let sent: string[];

  before(async () => {
    [alice, bob] = await scene.users("alice", "bob");
    roomId = await scene.room(alice, [bob]);
    since = await bob.now();
    sent = [];
    for (let index = 0; index < 110; index += 1) sent.push(await alice.send(roomId, "org.example.said", `m${index}`));
  });

  const filtered = (filter: JsonObject, from: string | undefined = since): Promise<JsonObject> =>
    bob.sync(from, { filter: JSON.stringify(filter) });

  test("a filter's timeline limit counts, up to 100, inline and stored", async () => {
    const inline = await filtered({ room: { timeline: { limit: 3 } } });
    assert.deepEqual(ids(timeline(inline, roomId)), sent.slice(-3));
    const high = { room: { timeline: { limit: 1000 } } };
    const { filter_id: id } = await bob.call("POST", `/v3/user/${bob.userId}/filter`, high);
    const capped = await bob.sync(since, { filter: String(id) });
    assert.deepEqual(ids(timeline(capped, roomId)), sent.slice(-100));
    assert.equal(at(capped, "rooms", "join", roomId, "timeline", "limited"), true);
  });

  test("a stored filter reads back, and is its user's", async () => {
    const filter = { room: { timeline: { limit: 7, types: ["m.room.message"] } } };
    const { filter_id: id } = await bob.call("POST", `/v3/user/${bob.userId}/filter`, filter);
    assert.match(String(id), /^[^{]/);
    assert.deepEqual(await bob.call("GET", `/v3/user/${bob.userId}/filter/${String(id)}`), filter);
    assert.deepEqual(await alice.verdict("GET", `/v3/user/${bob.userId}/filter/${String(id)}`), [403, "M_FORBIDDEN"]);
    assert.deepEqual(await alice.verdict("POST", `/v3/user/${bob.userId}/filter`, {}), [403, "M_FORBIDDEN"]);
    assert.deepEqual(await bob.verdict("GET", `/v3/user/${bob.userId}/filter/9999`), [404, "M_NOT_FOUND"]);
  });

  test("an unknown filter, and one that is no JSON, are refused", async () => {
    const refused = (filter: string): Promise<unknown> =>
      bob.verdict("GET", `/v3/sync?filter=${encodeURIComponent(filter)}`);
    assert.deepEqual(await refused("9999"), [400, "M_INVALID_PARAM"]);
    assert.deepEqual(await refused("nonsense"), [400, "M_INVALID_PARAM"]);
    // Synapse 1.160 fails with a 500 for JSON of another shape.
    assert.deepEqual(await refused("{broken"), [400, "M_NOT_JSON"]);
  });

  test("types and senders choose events for the timeline, with wildcards, and say nothing of the rest", async () => {
    const from = await bob.now();
    const one = await alice.send(roomId, "org.example.one", "f1");
    const two = await bob.send(roomId, "org.example.two", "f2");
    const plain = await alice.send(roomId, "com.example.plain", "f3");
    const shown = async (filter: JsonObject): Promise<string[]> =>
      ids(timeline(await filtered({ room: { timeline: filter } }, from), roomId));
    assert.deepEqual(await shown({ types: ["org.example.*"] }), [one, two]);
    // The specification lets a * stand for any part of a type ("Filtering"); Synapse takes it at the end alone.
    assert.deepEqual(await shown({ types: ["*.one", "org.*.one"] }), []);
    assert.deepEqual(await shown({ not_types: ["com.example.plain"] }), [one, two]);
    assert.deepEqual(await shown({ types: ["org.example.*"], not_types: ["org.example.t*"] }), [one]);
    assert.deepEqual(await shown({ senders: [alice.userId] }), [one, plain]);
    assert.deepEqual(await shown({ not_senders: [alice.userId] }), [two]);
    assert.deepEqual(await shown({ types: [] }), []);
  });

  test("rooms, state, account data and presence can each be left out", async () => {
    const from = await bob.now();
    await alice.call("PUT", `/v3/rooms/${roomId}/state/m.room.name`, { name: scene.newName("name") });
    for (let index = 0; index < 2; index += 1) await alice.send(roomId, "org.example.said", `g${index}`);
    await bob.call("PUT", `/v3/user/${bob.userId}/account_data/org.example.a`, { a: 1 });
    assert.equal((await filtered({ room: { not_rooms: [roomId] } }, from))["rooms"], undefined);
    assert.equal((await filtered({ room: { rooms: [] } }, from))["rooms"], undefined);
    assert.equal(timeline(await filtered({ room: { rooms: [roomId] } }, from), roomId).length, 3);
    const state = async (filter: JsonObject): Promise<unknown[]> => {
      const room = { timeline: { limit: 1 }, state: filter };
      return list(await filtered({ room }, from), "rooms", "join", roomId, "state", "events").map(
        (event) => event["type"],
      );
    };
    assert.deepEqual(await state({}), ["m.room.name"]);
    assert.deepEqual(await state({ types: ["m.room.topic"] }), []);
    assert.deepEqual(await state({ not_types: ["*"] }), []);
    assert.equal((await filtered({ account_data: { types: [] } }, from))["account_data"], undefined);
    assert.equal(list(await filtered({}, from), "account_data", "events").length, 1);
    assert.equal((await filtered({ presence: { types: [] } }))["presence"], undefined);
  });

  test("rooms that were left come in an initial sync only if they are asked for", async () => {
    const left = await scene.room(alice, [bob]);
    await bob.call("POST", `/v3/rooms/${left}/leave`, {});
    assert.equal(at(await bob.sync(), "rooms", "leave", left), undefined);
    const whole = await bob.sync(undefined, { filter: JSON.stringify({ room: { include_leave: true } }) });
    assert.notEqual(at(whole, "rooms", "leave", left), undefined);
  });
}
