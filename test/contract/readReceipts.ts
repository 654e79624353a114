/** Receipts that every server knows, and how it refuses others: the ground that delivery receipts (MSC4089) are gated on. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import type { HttpClient } from "../support/httpClient.ts";
import type { Scene } from "./scene.ts";

export function readReceiptsContract(scene: Scene): void {
  let alice: HttpClient;
  let bob: HttpClient;
  let roomId: string;
  let eventId: string;

  before(async () => {
    [alice, bob] = await scene.users("alice", "bob");
    roomId = await scene.room(alice, [bob]);
    eventId = await alice.send(roomId, "org.example.said", "read-me");
  });

  const post = (type: string, event: string, who = bob): Promise<unknown> =>
    who.verdict("POST", `/v3/rooms/${roomId}/receipt/${type}/${encodeURIComponent(event)}`, {});

  test("the receipt types of the specification are taken, also twice", async () => {
    for (const type of ["m.read", "m.read.private", "m.fully_read", "m.read"])
      assert.deepEqual(await post(type, eventId), [200, null], type);
  });

  test("an unknown receipt type is refused, whatever the event", async () => {
    for (const event of [eventId, "$unknown"])
      assert.deepEqual(await post("org.example.unknown", event), [400, "M_UNKNOWN"]);
  });

  test("a receipt for an event that the server does not know is taken", async () => {
    assert.deepEqual(await post("m.read", "$unknown"), [200, null]);
    assert.deepEqual(await post("m.read", "no-event-id"), [400, "M_UNKNOWN"]);
  });

  test("read markers are taken, unknown ones passed over", async () => {
    const path = `/v3/rooms/${roomId}/read_markers`;
    assert.deepEqual(await bob.call("POST", path, { "m.fully_read": eventId, "m.read": eventId }), {});
    assert.deepEqual(await bob.call("POST", path, { "org.example.unknown": eventId }), {});
  });

  test("a body is an object", async () => {
    const path = `/v3/rooms/${roomId}/receipt/m.read/${eventId}`;
    assert.deepEqual(await bob.verdict("POST", path), [400, "M_NOT_JSON"]);
    assert.deepEqual(await bob.verdict("POST", path, []), [400, "M_BAD_JSON"]);
  });
}
