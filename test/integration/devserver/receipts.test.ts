import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startDevServer, type DevServer } from "../../../devserver/server.ts";
import type { JsonObject } from "../../../src/protocol/json.ts";
import { HttpClient, at, list, type Reply } from "../../support/httpClient.ts";

const FEATURE = "org.matrix.msc4089";
const TYPE = "org.matrix.msc4089.delivery";

describe("delivery receipts on the development homeserver", () => {
  let server: DevServer;
  let alice: HttpClient;
  let bob: HttpClient;
  let roomId: string;
  let made = 0;

  before(async () => {
    server = await startDevServer({ now: () => 1_700_000_000_123 });
  });
  after(() => server.stop());

  /** A new alice and a new bob in a new room. */
  function room(): void {
    made += 1;
    alice = new HttpClient(server, server.createAccount(`alice${made}`));
    bob = new HttpClient(server, server.createAccount(`bob${made}`));
    roomId = server.createRoom(alice.userId, { invite: [bob.userId] });
    server.join(roomId, bob.userId);
  }
  const say = (sender: HttpClient, inRoom = roomId): string =>
    server.append(inRoom, { type: "m.room.message", sender: sender.userId, content: { body: "x" } });
  const post = (who: HttpClient, eventId: string, type = TYPE, inRoom = roomId): Promise<Reply> =>
    who.request("POST", `/v3/rooms/${inRoom}/receipt/${type}/${eventId}`, {});
  const ephemeral = (sync: JsonObject, inRoom = roomId): JsonObject[] =>
    list(sync, "rooms", "join", inRoom, "ephemeral", "events");
  const accepted = (): unknown[] =>
    server
      .receipts()
      .filter((receipt) => receipt.roomId === roomId)
      .map(({ userId, to, eventId, type, posted }) => ({ userId, to, eventId, type, posted }));

  test("receipts come to the event's sender as one m.receipt event, and to nobody else", async () => {
    room();
    const carol = new HttpClient(server, server.createAccount(`carol${made}`));
    server.invite(roomId, alice.userId, carol.userId);
    server.join(roomId, carol.userId);
    const tablet = new HttpClient(server, server.signIn(alice.userId));
    const [one, two] = [say(alice), say(alice)];
    const everyone = [alice, tablet, bob, carol];
    const [since] = await Promise.all(everyone.map(async (who) => (await who.sync())["next_batch"]));
    assert.equal((await post(bob, one)).status, 200);
    await post(carol, one);
    assert.deepEqual((await post(bob, two)).body, {});

    const ts = 1_700_000_000_123;
    const content = {
      [one]: { [TYPE]: { [bob.userId]: { ts }, [carol.userId]: { ts } } },
      [two]: { [TYPE]: { [bob.userId]: { ts } } },
    };
    for (const device of [alice, tablet])
      assert.deepEqual(ephemeral(await device.sync(since)), [{ type: "m.receipt", content }]);
    for (const other of [bob, carol]) assert.equal((await other.sync(since))["rooms"], undefined);
  });

  test("a receipt ends a long poll, and the same token gets it again where a later one does not", async () => {
    room();
    const eventId = say(alice);
    const since = String((await alice.sync())["next_batch"]);
    const waiting = alice.sync(since, { timeout: "60000" });
    await server.waitFor(() => server.requests({ userId: alice.userId, outcome: "open" })[0], 5000, "the poll");
    await post(bob, eventId);
    const first = await waiting;
    assert.notDeepEqual(ephemeral(first), []);
    assert.deepEqual(ephemeral(await alice.sync(since)), ephemeral(first));
    assert.equal((await alice.sync(first["next_batch"]))["rooms"], undefined);
    assert.deepEqual(ephemeral(await alice.sync()), [], "an initial sync has none");
  });

  test("each sync brings what came since the one before", async () => {
    room();
    const events = [say(alice), say(alice), say(alice)];
    let since = (await alice.sync())["next_batch"];
    for (const eventId of events) {
      await post(bob, eventId);
      const next = await alice.sync(since);
      assert.deepEqual(Object.keys(at(ephemeral(next)[0], "content") ?? {}), [eventId]);
      since = next["next_batch"];
    }
  });

  test("the same receipt again is accepted, counted, and told to nobody", async () => {
    room();
    const eventId = say(alice);
    await post(bob, eventId);
    const since = (await alice.sync())["next_batch"];
    for (let time = 0; time < 2; time += 1) assert.equal((await post(bob, eventId)).status, 200);
    assert.equal((await alice.sync(since))["rooms"], undefined);
    assert.deepEqual(accepted(), [{ userId: bob.userId, to: alice.userId, eventId, type: TYPE, posted: 3 }]);
    const index = server.receipts().at(-1)?.index ?? 0;
    assert.equal(server.receipts(index - 1).length, 1);
    assert.equal(server.receipts(index).length, 0);
  });

  test("an unknown event, one of another room and one's own are accepted, and nothing happens", async () => {
    room();
    const elsewhere = server.createRoom(alice.userId);
    const since = (await alice.sync())["next_batch"];
    const eventIds = ["$unknown", say(alice, elsewhere), say(bob)];
    for (const eventId of eventIds) {
      const reply = await post(bob, eventId);
      assert.deepEqual([reply.status, reply.body], [200, {}]);
    }
    assert.deepEqual(accepted(), []);
    assert.deepEqual(ephemeral(await alice.sync(since)), []);
  });

  test("who is not in the room may send no receipt there", async () => {
    room();
    const eventId = say(alice);
    server.remove(roomId, alice.userId, bob.userId);
    const reply = await post(bob, eventId);
    assert.deepEqual([reply.status, reply.body["errcode"]], [403, "M_FORBIDDEN"]);
    assert.deepEqual(accepted(), []);
  });

  test("a filter's types, for ephemeral events, and rooms count", async () => {
    room();
    const eventId = say(alice);
    const since = (await alice.sync())["next_batch"];
    await post(bob, eventId);
    const shown = async (filter: JsonObject): Promise<number> =>
      ephemeral(await alice.sync(since, { filter: JSON.stringify({ room: filter }) })).length;
    assert.equal(await shown({ ephemeral: { types: ["m.receipt"] } }), 1);
    assert.equal(await shown({ rooms: [roomId] }), 1);
    assert.equal(await shown({ ephemeral: { types: [] } }), 0);
    assert.equal(await shown({ ephemeral: { types: ["m.typing"] } }), 0);
    assert.equal(await shown({ ephemeral: { not_types: ["m.receipt"] } }), 0);
    assert.equal(await shown({ not_rooms: [roomId] }), 0);
    assert.equal(await shown({ timeline: { types: [] } }), 1);
  });

  test("who has left gets no more receipts for what was said before", async () => {
    room();
    const eventId = say(bob);
    const since = (await bob.sync())["next_batch"];
    server.leave(roomId, bob.userId);
    await post(alice, eventId);
    assert.equal(at(await bob.sync(since), "rooms", "join"), undefined);
  });

  test("the stable type is refused, unless the server is told to know it", async (t) => {
    room();
    const refused = await post(bob, say(alice), "m.delivery");
    assert.deepEqual([refused.status, refused.body["errcode"]], [400, "M_UNKNOWN"]);

    const newer = await startDevServer({ stableDeliveryType: true });
    t.after(() => newer.stop());
    const [anna, ben] = ["anna", "ben"].map((name) => new HttpClient(newer, newer.createAccount(name)));
    assert(anna !== undefined && ben !== undefined);
    const inRoom = newer.createRoom(anna.userId, { invite: [ben.userId] });
    newer.join(inRoom, ben.userId);
    const eventId = newer.append(inRoom, { type: "a.b", sender: anna.userId, content: {} });
    const since = (await anna.sync())["next_batch"];
    assert.equal((await post(ben, eventId, "m.delivery", inRoom)).status, 200);
    const [event] = ephemeral(await anna.sync(since), inRoom);
    assert.notEqual(at(event, "content", eventId, "m.delivery", ben.userId), undefined);
  });

  test("a server without the feature says so and refuses the types, also when that changes while it runs", async (t) => {
    const older = await startDevServer({ unstableFeatures: { [FEATURE]: false }, stableDeliveryType: true });
    t.after(() => older.stop());
    const ben = new HttpClient(older, older.createAccount("ben"));
    const inRoom = older.createRoom(ben.userId);
    const offered = async (): Promise<unknown> => at(await ben.call("GET", "/versions"), "unstable_features", FEATURE);
    const expectRefusal = async (): Promise<void> => {
      assert.equal(await offered(), false);
      for (const type of [TYPE, "m.delivery"]) {
        const reply = await post(ben, "$event", type, inRoom);
        assert.deepEqual([reply.status, reply.body["errcode"]], [400, "M_UNKNOWN"]);
      }
      assert.equal((await post(ben, "$event", "m.read", inRoom)).status, 200);
    };
    await expectRefusal();
    older.setFeature(FEATURE, true);
    assert.equal(await offered(), true);
    assert.equal((await post(ben, "$event", TYPE, inRoom)).status, 200);
    older.setFeature(FEATURE, false);
    await expectRefusal();
  });

  test("other processes see receipts, and change features, over HTTP", async () => {
    room();
    const after = server.receipts().length;
    const waiting = fetch(`${server.url}/_devserver/receipts?after=${after}&wait=60000`);
    const eventId = say(alice);
    await post(bob, eventId);
    const seen = (await (await waiting).json()) as JsonObject;
    assert.deepEqual(
      list(seen, "receipts").map((receipt) => [receipt["eventId"], receipt["userId"], receipt["posted"]]),
      [[eventId, bob.userId, 1]],
    );
    for (const on of [false, true]) {
      const body = JSON.stringify({ name: FEATURE, on });
      await fetch(`${server.url}/_devserver/setFeature`, { method: "POST", body });
      assert.equal((await post(bob, eventId)).status, on ? 200 : 400);
    }
  });
});
