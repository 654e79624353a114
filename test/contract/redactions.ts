/** What a redaction leaves, and who may redact. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { at, timeline, type HttpClient } from "../support/httpClient.ts";
import type { Scene } from "./scene.ts";

export function redactionsContract(scene: Scene): void {
  let alice: HttpClient;
  let bob: HttpClient;

  before(async () => {
    [alice, bob] = await scene.users("alice", "bob");
  });

  for (const version of ["10", "11", "12"])
    test(`in room version ${version} a redacted event loses its content and names its redaction`, async () => {
      const roomId = await scene.room(alice, [bob], { room_version: version });
      const target = await bob.send(roomId, "org.example.said", "secret", { body: "gone soon" });
      const since = await alice.now();
      const path = `/v3/rooms/${roomId}/redact/${target}/r`;
      const redaction = String((await bob.call("PUT", path, { reason: "why" }))["event_id"]);
      assert.equal((await bob.call("PUT", path, { reason: "why" }))["event_id"], redaction, "the same transaction");

      const { found } = await alice.syncUntil(since, (sync) => timeline(sync, roomId)[0]);
      assert.deepEqual([found["event_id"], found["type"]], [redaction, "m.room.redaction"]);
      // Both places, for old and new clients, whatever the room version.
      assert.equal(found["redacts"], target);
      assert.deepEqual(found["content"], { reason: "why", redacts: target });

      const read = await alice.call("GET", `/v3/rooms/${roomId}/event/${target}`);
      assert.deepEqual([read["type"], read["sender"], read["content"]], ["org.example.said", bob.userId, {}]);
      assert.equal(at(read, "unsigned", "redacted_because", "event_id"), redaction);
      assert.equal(at(read, "unsigned", "redacted_because", "sender"), bob.userId);
      assert.equal(at(read, "unsigned", "redacted_by"), redaction);
      const again = await alice.sync();
      const shown = timeline(again, roomId).find((event) => event["event_id"] === target);
      assert.deepEqual(shown?.["content"], {});
      assert.equal(at(shown, "unsigned", "redacted_because", "event_id"), redaction);
    });

  test("a redaction keeps of state what the room's rules need", async () => {
    const roomId = await scene.room(alice, [bob], { name: "gone" });
    const idOf = async (type: string): Promise<string> => {
      const whole = (await alice.request("GET", `/v3/rooms/${roomId}/state`)).body["list"];
      const found = Array.isArray(whole) ? whole.find((event) => at(event, "type") === type) : undefined;
      return String(at(found, "event_id"));
    };
    for (const [type, left] of [
      ["m.room.name", {}],
      ["m.room.join_rules", { join_rule: "invite" }],
      ["m.room.history_visibility", { history_visibility: "shared" }],
    ] as const) {
      await alice.call("PUT", `/v3/rooms/${roomId}/redact/${await idOf(type)}/${type}`, {});
      assert.deepEqual(await alice.call("GET", `/v3/rooms/${roomId}/state/${type}`), left);
    }
  });

  test("everybody may redact their own events, and who has the level those of others", async () => {
    const roomId = await scene.room(alice, [bob]);
    const [ofAlice, ofBob] = [await alice.send(roomId, "a.b", "1"), await bob.send(roomId, "a.b", "1")];
    const redact = (who: HttpClient, target: string, txnId: string): Promise<unknown> =>
      who.verdict("PUT", `/v3/rooms/${roomId}/redact/${encodeURIComponent(target)}/${txnId}`, {});
    assert.deepEqual(await redact(bob, ofAlice, "r1"), [403, "M_FORBIDDEN"]);
    assert.deepEqual(await redact(bob, ofBob, "r2"), [200, null]);
    assert.deepEqual(await redact(alice, ofBob, "r3"), [200, null]);
    // The specification has 404 here. Synapse lets the redaction stand: its target may still come.
    assert.deepEqual(await redact(alice, "$unknown", "r4"), [200, null]);
  });
}
