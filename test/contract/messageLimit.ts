/** Synapse's message limit: what it counts, how it refuses, how it is lifted. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { HttpClient } from "../support/httpClient.ts";
import type { Scene } from "./scene.ts";

export function messageLimitContract(scene: Scene): void {
  const send = (who: HttpClient, roomId: string): Promise<[number, string | null]> =>
    who.verdict("PUT", `/v3/rooms/${roomId}/send/org.example.said/${scene.newName("t")}`, {});

  test("the tenth message of a user that has just joined is refused, and the refusal says for how long", async () => {
    const [alice, bob] = [await scene.user("alice"), await scene.user("bob", "limited")];
    const roomId = await scene.room(alice, [bob]);
    const statuses: number[] = [];
    const first = await bob.send(roomId, "a.b", "first");
    for (let index = 0; index < 8; index += 1) statuses.push((await send(bob, roomId))[0]);
    assert.deepEqual(statuses, Array<number>(8).fill(200));
    const startedAt = performance.now();
    const refused = await bob.request("PUT", `/v3/rooms/${roomId}/send/org.example.said/tenth`, {});
    assert.deepEqual([refused.status, refused.body["errcode"]], [429, "M_LIMIT_EXCEEDED"]);
    const waitMs = Number(refused.body["retry_after_ms"]);
    // A token is back after five seconds; what the messages took is gone already.
    assert.ok(Number.isInteger(waitMs) && waitMs > 0 && waitMs <= 5000, String(waitMs));
    assert.equal(refused.headers.get("retry-after"), String(Math.ceil(waitMs / 1000)));
    assert.ok(performance.now() - startedAt >= 450, "the refusal itself comes late");

    assert.equal(await bob.send(roomId, "a.b", "first"), first, "a transaction that is repeated costs nothing");
    // State, redactions and joins share the bucket; to-device messages, key requests, receipts and syncs don't.
    assert.deepEqual(await bob.verdict("PUT", `/v3/rooms/${roomId}/state/a.b`, {}), [429, "M_LIMIT_EXCEEDED"]);
    await bob.call("PUT", `/v3/sendToDevice/a.b/1`, { messages: { [alice.userId]: { "*": {} } } });
    await bob.call("POST", "/v3/keys/query", { device_keys: { [alice.userId]: [] } });
    await bob.call("POST", `/v3/rooms/${roomId}/receipt/m.read/${encodeURIComponent("$unknown")}`, {});
    await bob.sync();
    assert.deepEqual(await send(alice, roomId), [200, null], "others have buckets of their own");

    await scene.homeserver.limitMessages(bob.userId, null);
    assert.deepEqual(await bob.verdict("PUT", `/v3/rooms/${roomId}/send/org.example.said/tenth`, {}), [200, null]);
    for (let index = 0; index < 12; index += 1) assert.deepEqual(await send(bob, roomId), [200, null]);
  });

  test("the bucket leaks: after the wait that the refusal names the message goes through", async () => {
    const [alice, bob] = [await scene.user("alice"), await scene.user("bob", "limited")];
    const roomId = await scene.room(alice, [bob]);
    await scene.homeserver.limitMessages(bob.userId, { burst: 1, perSecond: 1 });
    for (let index = 0; ; index += 1) {
      const reply = await bob.request("PUT", `/v3/rooms/${roomId}/send/a.b/t${index}`, {});
      if (reply.status !== 429) continue;
      const until = performance.now() + Number(reply.body["retry_after_ms"]);
      let again = reply;
      while (again.status === 429) again = await bob.request("PUT", `/v3/rooms/${roomId}/send/a.b/t${index}`, {});
      assert.equal(again.status, 200);
      assert.ok(performance.now() >= until - 1000);
      break;
    }
  });
}
