/** Sending events: transactions, what the server adds, what it refuses. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import type { JsonObject } from "../../src/protocol/json.ts";
import { at, ids, timeline, type HttpClient } from "../support/httpClient.ts";
import type { Scene } from "./scene.ts";

export function sendingContract(scene: Scene): void {
  let alice: HttpClient;
  let bob: HttpClient;
  let roomId: string;

  before(async () => {
    [alice, bob] = await scene.users("alice", "bob");
    roomId = await scene.room(alice, [bob]);
  });

  test("a transaction ID sends once per device and room, whatever the event type", async () => {
    const since = await bob.now();
    const first = await alice.send(roomId, "org.example.said", "t1", { body: "one" });
    assert.equal(await alice.send(roomId, "org.example.said", "t1", { body: "two" }), first);
    // The specification counts a transaction by its path (v1.7, "Transaction identifiers"); Synapse goes by the room.
    assert.equal(await alice.send(roomId, "org.example.other", "t1"), first);
    const redaction = await alice.call("PUT", `/v3/rooms/${roomId}/redact/${first}/t1`, {});
    assert.equal(redaction["event_id"], first, "a redaction shares the transaction IDs");

    const tablet = await scene.device(alice);
    const others = [
      await tablet.send(roomId, "org.example.said", "t1"),
      await bob.send(roomId, "org.example.said", "t1"),
      await alice.send(await scene.room(alice), "org.example.said", "t1"),
    ];
    assert.equal(new Set([first, ...others]).size, 4);
    const { found } = await bob.syncUntil(
      since,
      (sync) => timeline(sync, roomId).length >= 3 && timeline(sync, roomId),
    );
    assert.deepEqual(ids(found), [first, ...others.slice(0, 2)]);
    assert.deepEqual(found[0]?.["content"], { body: "one" });
  });

  test("two sends of one transaction at once make one event", async () => {
    const both = await Promise.all([alice.send(roomId, "a.b", "race"), alice.send(roomId, "a.b", "race")]);
    assert.equal(both[0], both[1]);
  });

  test("what a device said carries its transaction ID back to it, and to nobody else", async () => {
    const tablet = await scene.device(alice);
    const [ofAlice, ofTablet, ofBob] = await Promise.all([alice.now(), tablet.now(), bob.now()]);
    const before = Date.now();
    const eventId = await alice.send(roomId, "org.example.said", "mine/ä", { body: "x" });
    const own = await alice.syncUntil(ofAlice, (sync) => timeline(sync, roomId)[0]);
    assert.equal(at(own.found, "unsigned", "transaction_id"), "mine/ä");
    for (const [who, since] of [[tablet, ofTablet] as const, [bob, ofBob] as const]) {
      const { found } = await who.syncUntil(since, (sync) => timeline(sync, roomId)[0]);
      assert.deepEqual(
        [found["event_id"], found["type"], found["sender"], found["content"], found["room_id"], found["state_key"]],
        [eventId, "org.example.said", alice.userId, { body: "x" }, undefined, undefined],
      );
      assert.equal(at(found, "unsigned", "transaction_id"), undefined);
      assert.equal(at(found, "unsigned", "membership"), "join");
      const [age, sentAt] = [Number(at(found, "unsigned", "age")), Number(found["origin_server_ts"])];
      assert.ok(age >= 0 && age <= Date.now() - before + 1000, String(age));
      assert.ok(Math.abs(sentAt - before) < 60_000, String(sentAt));
    }
    const read = await alice.call("GET", `/v3/rooms/${roomId}/event/${eventId}`);
    assert.equal(at(read, "unsigned", "transaction_id"), "mine/ä");
  });

  test("content that no room version allows is refused, and may be sent again in a better shape", async () => {
    const path = `/v3/rooms/${roomId}/send/org.example.said`;
    assert.deepEqual(await alice.verdict("PUT", `${path}/f1`, { number: 1.5 }), [400, "M_BAD_JSON"]);
    assert.deepEqual(await alice.verdict("PUT", `${path}/f1`, { number: 2 ** 53 }), [400, "M_BAD_JSON"]);
    assert.deepEqual(await alice.verdict("PUT", `${path}/f1`, { deep: [{ number: -(2 ** 53) }] }), [400, "M_BAD_JSON"]);
    assert.deepEqual(await alice.verdict("PUT", `${path}/f1`, { number: 2 ** 53 - 1 }), [200, null]);
  });

  test("a message needs a kind and a body as text, other events nothing", async () => {
    const send = (type: string, content: JsonObject): Promise<unknown> =>
      alice.verdict("PUT", `/v3/rooms/${roomId}/send/${type}/${scene.newName("t")}`, content);
    assert.deepEqual(await send("m.room.message", { body: "x" }), [400, "M_UNKNOWN"]);
    assert.deepEqual(await send("m.room.message", { msgtype: "m.text" }), [400, "M_UNKNOWN"]);
    assert.deepEqual(await send("m.room.message", { msgtype: "m.text", body: 7 }), [400, "M_UNKNOWN"]);
    assert.deepEqual(await send("m.room.message", { msgtype: "org.example.any", body: "" }), [200, null]);
    assert.deepEqual(await send("m.room.encrypted", {}), [200, null]);
    assert.deepEqual(await send("m.reaction", {}), [200, null]);
  });

  test("an event has 65,536 bytes at most", async () => {
    const send = (type: string, txnId: string, bytes: number): Promise<unknown> =>
      alice.verdict("PUT", `/v3/rooms/${roomId}/send/${type}/${txnId}`, { body: "x".repeat(bytes) });
    assert.deepEqual(await send("org.example.said", "large", 65_536), [413, "M_TOO_LARGE"]);
    assert.deepEqual(await send("org.example.said", "larger", 70_000), [413, "M_TOO_LARGE"]);
    assert.deepEqual(await send("org.example.said", "full", 64_000), [200, null]);
    // A type and a state key have 255 bytes at most.
    assert.deepEqual(await send(`a.${"b".repeat(253)}`, "type", 1), [200, null]);
    assert.deepEqual(await send(`a.${"b".repeat(254)}`, "longer", 1), [413, "M_TOO_LARGE"]);
    const state = (key: string): string => `/v3/rooms/${roomId}/state/a.b/${key}`;
    assert.deepEqual(await alice.verdict("PUT", state("k".repeat(255)), {}), [200, null]);
    assert.deepEqual(await alice.verdict("PUT", state("k".repeat(256)), {}), [413, "M_TOO_LARGE"]);
    // A body has two of them and a little more at most (Synapse: 200 KiB), whatever is in it.
    assert.deepEqual(await send("org.example.said", "huge", 500_000), [413, "M_TOO_LARGE"]);
  });

  test("a message that is sent ends the long poll of whoever is in the room", async () => {
    const since = await bob.now();
    const waiting = bob.sync(since, { timeout: "60000" });
    const eventId = await alice.send(roomId, "org.example.said", "poll");
    assert.deepEqual(ids(timeline(await waiting, roomId)), [eventId]);
  });
}
