/** Reading a room's past: `/messages` and `/event`. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { at, ids, list, timeline, type HttpClient } from "../support/httpClient.ts";
import type { Scene } from "./scene.ts";

export function historyContract(scene: Scene): void {
  let alice: HttpClient;
  let bob: HttpClient;

  before(async () => {
    [alice, bob] = await scene.users("alice", "bob");
  });

  async function say(roomId: string, count: number): Promise<string[]> {
    const sent: string[] = [];
    for (let index = 0; index < count; index += 1)
      sent.push(await alice.send(roomId, "org.example.said", scene.newName("say"), { body: String(index) }));
    return sent;
  }

  test("what a limited timeline leaves out is exactly what /messages holds between prev_batch and since", async () => {
    const roomId = await scene.room(alice, [bob]);
    const since = await bob.now();
    const sent = await say(roomId, 27);
    const next = await bob.sync(since);
    assert.equal(at(next, "rooms", "join", roomId, "timeline", "limited"), true);
    const shown = ids(timeline(next, roomId));
    assert.equal(shown.length, 10);

    const missing: string[] = [];
    let from = String(at(next, "rooms", "join", roomId, "timeline", "prev_batch"));
    for (let page = 0; page < 10; page += 1) {
      const reply = await bob.call("GET", `/v3/rooms/${roomId}/messages?dir=b&from=${from}&to=${since}`);
      missing.push(...ids(list(reply, "chunk")));
      assert.equal(reply["start"], from);
      if (reply["end"] === undefined) break;
      assert.equal(list(reply, "chunk").length <= 10, true, "the limit is 10 unless asked for");
      from = String(reply["end"]);
    }
    assert.deepEqual([...missing.reverse(), ...shown], sent);
  });

  test("/messages walks forward as well, and from either end", async () => {
    const roomId = await scene.room(alice, [bob]);
    const since = await bob.now();
    const sent = await say(roomId, 5);
    const reply = await bob.call("GET", `/v3/rooms/${roomId}/messages?dir=f&from=${since}&limit=3`);
    assert.deepEqual(ids(list(reply, "chunk")), sent.slice(0, 3));
    const rest = await bob.call("GET", `/v3/rooms/${roomId}/messages?dir=f&from=${String(reply["end"])}&limit=3`);
    assert.deepEqual(ids(list(rest, "chunk")), sent.slice(3));
    const newest = await bob.call("GET", `/v3/rooms/${roomId}/messages?dir=b&limit=2`);
    assert.deepEqual(ids(list(newest, "chunk")), sent.slice(3).reverse());
    const [event] = list(newest, "chunk");
    assert.equal(event?.["room_id"], roomId);
    assert.equal(at(event, "unsigned", "membership"), "join");
    const oldest = await bob.call("GET", `/v3/rooms/${roomId}/messages?dir=f&limit=1`);
    assert.equal(list(oldest, "chunk")[0]?.["type"], "m.room.create");
  });

  test("a filter chooses among the events of a page", async () => {
    const roomId = await scene.room(alice, [bob]);
    await say(roomId, 2);
    const wanted = await bob.send(roomId, "org.example.wanted", "1");
    await say(roomId, 2);
    const query = (filter: object): string => `dir=b&filter=${encodeURIComponent(JSON.stringify(filter))}`;
    const page = async (filter: object): Promise<string[]> =>
      ids(list(await bob.call("GET", `/v3/rooms/${roomId}/messages?${query(filter)}`), "chunk"));
    assert.deepEqual(await page({ types: ["org.example.wanted"] }), [wanted]);
    assert.deepEqual(await page({ types: ["org.example.w*"] }), [wanted]);
    assert.deepEqual(await page({ senders: [bob.userId], not_types: ["m.room.member"] }), [wanted]);
  });

  test("a page has an integer for its limit, a token of the server for its start, and a filter that is JSON", async () => {
    const roomId = await scene.room(alice);
    const refused = (query: string): Promise<unknown> =>
      alice.verdict("GET", `/v3/rooms/${roomId}/messages?dir=b&${query}`);
    assert.deepEqual(await refused("limit=many"), [400, "M_INVALID_PARAM"]);
    assert.deepEqual(await refused("limit=-1"), [400, "M_INVALID_PARAM"]);
    assert.deepEqual(await refused("from=nonsense"), [400, "M_UNKNOWN"]);
    assert.deepEqual(await refused("filter=%7B"), [400, "M_NOT_JSON"]);
  });

  test("an event is read by its ID, in its room", async () => {
    const roomId = await scene.room(alice, [bob]);
    const [eventId] = await say(roomId, 1);
    const read = await bob.call("GET", `/v3/rooms/${roomId}/event/${String(eventId)}`);
    assert.deepEqual(
      [read["event_id"], read["room_id"], read["type"], read["sender"], read["content"]],
      [eventId, roomId, "org.example.said", alice.userId, { body: "0" }],
    );
    assert.deepEqual(await bob.verdict("GET", `/v3/rooms/${roomId}/event/$unknown`), [404, "M_NOT_FOUND"]);
    const other = await scene.room(bob);
    assert.deepEqual(await bob.verdict("GET", `/v3/rooms/${other}/event/${String(eventId)}`), [404, "M_NOT_FOUND"]);
    const eve = await scene.user("eve");
    assert.deepEqual(await eve.verdict("GET", `/v3/rooms/${roomId}/event/${String(eventId)}`), [404, "M_NOT_FOUND"]);
  });

  test("history of a room that shows it to members alone starts at the join", async () => {
    const roomId = await scene.room(alice, [], {
      initial_state: [{ type: "m.room.history_visibility", content: { history_visibility: "joined" } }],
    });
    await alice.call("POST", `/v3/rooms/${roomId}/invite`, { user_id: bob.userId });
    const [before] = await say(roomId, 1);
    await bob.call("POST", `/v3/join/${roomId}`, {});
    const [sent] = await say(roomId, 1);
    const page = list(await bob.call("GET", `/v3/rooms/${roomId}/messages?dir=b&limit=100`), "chunk");
    assert.deepEqual(ids(page.filter((event) => event["type"] === "org.example.said")), [sent]);
    assert.deepEqual(await bob.verdict("GET", `/v3/rooms/${roomId}/event/${String(before)}`), [404, "M_NOT_FOUND"]);
  });

  test("what was said before the join says so in its membership", async () => {
    const roomId = await scene.room(alice);
    const [early] = await say(roomId, 1);
    await alice.call("POST", `/v3/rooms/${roomId}/invite`, { user_id: bob.userId });
    const [invited] = await say(roomId, 1);
    await bob.call("POST", `/v3/join/${roomId}`, {});
    const [late] = await say(roomId, 1);
    const page = list(await bob.call("GET", `/v3/rooms/${roomId}/messages?dir=b&limit=100`), "chunk");
    const membership = (eventId: string | undefined): unknown =>
      at(
        page.find((event) => event["event_id"] === eventId),
        "unsigned",
        "membership",
      );
    assert.deepEqual([early, invited, late].map(membership), ["leave", "invite", "join"]);
  });
}
