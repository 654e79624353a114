/** To-device messages: order, repetition, when they go. */
import assert from "node:assert/strict";
import { before, beforeEach, test } from "node:test";
import type { JsonObject } from "../../src/protocol/json.ts";
import { at, list, type HttpClient } from "../support/httpClient.ts";
import type { Scene } from "./scene.ts";

export function toDeviceContract(scene: Scene): void {
  let alice: HttpClient;
  let bob: HttpClient;

  before(async () => {
    alice = await scene.user("alice");
  });
  beforeEach(async () => {
    bob = await scene.user("bob");
  });

  const send = (
    value: string | number,
    device = bob.deviceId,
    txnId = scene.newName("t"),
    type = "a.b",
  ): Promise<unknown> =>
    alice.call("PUT", `/v3/sendToDevice/${type}/${txnId}`, { messages: { [bob.userId]: { [device]: { value } } } });
  const values = (sync: JsonObject): unknown[] =>
    list(sync, "to_device", "events").map((event) => at(event, "content", "value"));

  test("a message comes with every sync until a later token acknowledges it", async () => {
    const since = await bob.now();
    await send("one");
    const first = await bob.sync(since);
    assert.deepEqual(list(first, "to_device", "events"), [
      { type: "a.b", sender: alice.userId, content: { value: "one" } },
    ]);
    assert.deepEqual(values(await bob.sync(since)), ["one"], "not acknowledged: it comes again");
    await send("two");
    assert.deepEqual(values(await bob.sync(since)), ["one", "two"], "in the order in which they were sent");
    assert.deepEqual(values(await bob.sync(first["next_batch"])), ["two"]);
    assert.deepEqual(values(await bob.sync(since)), ["two"], "acknowledged: it is gone, for an older token too");
  });

  test("a message that waits comes with an initial sync, and again until it is acknowledged", async () => {
    await send("early");
    const first = await bob.sync();
    assert.deepEqual(values(first), ["early"]);
    assert.deepEqual(values(await bob.sync()), ["early"]);
    assert.deepEqual(values(await bob.sync(first["next_batch"])), []);
    assert.deepEqual(values(await bob.sync()), []);
  });

  test("a repeated transaction delivers once; another type and another device have transactions of their own", async () => {
    const tablet = await scene.device(alice);
    const since = await bob.now();
    await send("one", bob.deviceId, "same");
    await send("two", bob.deviceId, "same");
    await send("three", bob.deviceId, "same", "org.example.other");
    const messages = { [bob.userId]: { [bob.deviceId]: { value: "four" } } };
    await tablet.call("PUT", "/v3/sendToDevice/a.b/same", { messages });
    assert.deepEqual(values(await bob.sync(since)), ["one", "three", "four"]);
  });

  test("a message to * reaches every device of the user, and one to an unknown device or user nobody", async () => {
    const tablet = await scene.device(bob);
    await send("all", "*");
    await send("nobody", "UNKNOWN");
    await alice.call("PUT", `/v3/sendToDevice/a.b/${scene.newName("t")}`, {
      messages: { [`@nobody:${scene.homeserver.serverName}`]: { X: {} } },
    });
    assert.deepEqual(values(await bob.sync()), ["all"]);
    assert.deepEqual(values(await tablet.sync()), ["all"]);
  });

  test("a message ends a long poll", async () => {
    const since = await bob.now();
    const waiting = bob.sync(since, { timeout: "60000" });
    await send("wake");
    assert.deepEqual(values(await waiting), ["wake"]);
  });

  test("more than a hundred messages come in several syncs, in order, and none is lost", async () => {
    const since = await bob.now();
    for (let index = 0; index < 107; index += 1) await send(index);
    const first = await bob.sync(since);
    assert.equal(values(first).length, 100);
    const second = await bob.sync(first["next_batch"], { timeout: "60000" });
    assert.deepEqual(
      [...values(first), ...values(second)],
      Array.from({ length: 107 }, (_, index) => index),
    );
    assert.deepEqual(values(await bob.sync(second["next_batch"])), []);
  });

  test("a device that signs out has nothing left to get", async () => {
    const tablet = await scene.device(bob, "tablet");
    await send("lost", "tablet");
    await tablet.call("POST", "/v3/logout", {});
    assert.deepEqual(values(await (await scene.device(bob, "tablet")).sync()), []);
  });
}
