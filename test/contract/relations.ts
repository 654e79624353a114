/** `/relations`: how a bot finds its own answer after a doubt. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { ids, list, type HttpClient } from "../support/httpClient.ts";
import type { Scene } from "./scene.ts";

export function relationsContract(scene: Scene): void {
  let alice: HttpClient;
  let bob: HttpClient;

  before(async () => {
    [alice, bob] = await scene.users("alice", "bob");
  });

  test("relations are found by parent, relation and type, newest first, page by page, without redacted ones", async () => {
    const roomId = await scene.room(alice, [bob]);
    const parent = await alice.send(roomId, "org.example.said", "parent");
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
    assert.deepEqual(ids(list(await alice.call("GET", `${base}?limit=1`), "chunk")), [other]);
    assert.deepEqual(ids(list(await alice.call("GET", `${base}/m.reference?limit=50`), "chunk")), [
      other,
      ...sent.slice(1).reverse(),
    ]);
    const forward = await alice.call("GET", `${base}/m.reference/a.reply?dir=f&limit=2`);
    assert.deepEqual(ids(list(forward, "chunk")), sent.slice(1, 3));
    assert.deepEqual(list(await alice.call("GET", `${base}/m.annotation`), "chunk"), []);
    assert.deepEqual(list(first, "chunk")[0]?.["room_id"], roomId);
  });

  test("a relation to an event that the room does not have is refused, and the same reaction twice", async () => {
    const [roomId, other] = [await scene.room(alice), await scene.room(alice)];
    const [parent, elsewhere] = [await alice.send(roomId, "a.b", "parent"), await alice.send(other, "a.b", "parent")];
    const relate = (eventId: string, relation: object = { rel_type: "m.reference" }): Promise<unknown> =>
      alice.verdict("PUT", `/v3/rooms/${roomId}/send/m.reaction/${scene.newName("t")}`, {
        "m.relates_to": { ...relation, event_id: eventId },
      });
    assert.deepEqual(await relate("$unknown"), [400, "M_UNKNOWN"]);
    assert.deepEqual(await relate(elsewhere), [400, "M_UNKNOWN"]);
    assert.deepEqual(await relate(parent), [200, null]);
    assert.deepEqual(await relate(parent), [200, null]);
    assert.deepEqual(await relate(parent, { rel_type: "m.annotation", key: "👍" }), [200, null]);
    assert.deepEqual(await relate(parent, { rel_type: "m.annotation", key: "👍" }), [400, "M_DUPLICATE_ANNOTATION"]);
  });

  test("the parent must be there, and its room readable", async () => {
    const roomId = await scene.room(alice);
    const parent = await alice.send(roomId, "org.example.said", "parent");
    assert.deepEqual(await bob.verdict("GET", `/v1/rooms/${roomId}/relations/${parent}`), [403, "M_FORBIDDEN"]);
    assert.deepEqual(await alice.verdict("GET", `/v1/rooms/${roomId}/relations/$unknown`), [404, "M_UNKNOWN"]);
    assert.deepEqual(list(await alice.call("GET", `/v1/rooms/${roomId}/relations/${parent}`), "chunk"), []);
  });
}
