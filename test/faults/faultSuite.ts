/**
 * What the bot promises when the way to its homeserver is bad: lost replies, limits, refusals, late keys, an absence. One suite for
 * every homeserver (test/integration/faults.test.ts, test/synapse/faults.test.ts), behind the same proxy.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startFaultScene, type FaultScene, type Homeserver } from "./faultScene.ts";

/** Requests that send a room event, as the bot. */
const SENDS = /\/rooms\/.*\/send\//;
const SYNC = /\/sync$/;

/** Each has one answer, a success. */
async function assertAnsweredOnce({ alice }: FaultScene, eventIds: readonly string[]): Promise<void> {
  for (const eventId of eventIds) assert.equal((await alice.waitForResponse(eventId)).status, "success");
  assert.deepEqual(
    eventIds.map((eventId) => alice.responsesTo(eventId).length),
    eventIds.map(() => 1),
  );
}

/** Declares the tests. @param start called once, before the first of them */
export function describeFaults(start: () => Promise<Homeserver>): void {
  let homeserver: Homeserver;
  before(async () => {
    homeserver = await start();
  });
  after(() => homeserver.stop());

  test("an answer whose reply is lost is repeated under the same transaction ID, and arrives once", async (t) => {
    const scene = await startFaultScene(t, homeserver);
    const { proxy, room, ask } = scene;
    const roomId = await room({ encrypted: true });
    proxy.fault({ path: SENDS, times: 2, action: { kind: "dropAfter" } });
    const eventId = await ask(roomId);
    await scene.alice.waitForResponse(eventId);
    const sends = await proxy.waitFor(() => {
      const found = proxy.requests(SENDS);
      return found.length === 3 && found[2]?.status === 200 && found;
    }, "the third attempt");
    assert.equal(new Set(sends.map(({ path }) => path)).size, 1);
    await assertAnsweredOnce(scene, [eventId, await ask(roomId)]);
  });

  test("a key share whose reply is lost is repeated under the same transaction ID, and the answer can be read", async (t) => {
    const scene = await startFaultScene(t, homeserver);
    const roomId = await scene.room({ encrypted: true });
    scene.proxy.fault({ path: /\/sendToDevice\//, action: { kind: "dropAfter" } });
    await assertAnsweredOnce(scene, [await scene.ask(roomId)]);
    const [first, second] = scene.proxy.requests(/\/sendToDevice\//);
    assert.equal(first?.outcome, "dropped");
    assert.equal(second?.path, first.path);
  });

  test("keys whose upload's reply is lost are uploaded again, and requests are decrypted with them", async (t) => {
    const scene = await startFaultScene(t, homeserver, (proxy) => {
      proxy.fault({ path: /\/keys\/upload/, times: 2, action: { kind: "dropAfter" } });
    });
    await assertAnsweredOnce(scene, [await scene.ask(await scene.room({ encrypted: true }))]);
  });

  test("a sync whose reply is lost or cut is asked for again, and nothing in it is lost", async (t) => {
    const scene = await startFaultScene(t, homeserver);
    const { proxy, alice, room, ask } = scene;
    const roomId = await room({ encrypted: true });
    for (const action of [
      { kind: "dropAfter" },
      { kind: "truncate", how: "connection" },
      { kind: "truncate", how: "json" },
    ] as const) {
      const fault = proxy.fault({ path: SYNC, action });
      // Ends the poll that waits now; the fault meets the one that waits for the request.
      await alice.send(roomId, "org.example.noise", {});
      await proxy.waitFor(() => fault.hits === 1, "the next sync");
      await assertAnsweredOnce(scene, [await ask(roomId)]);
    }
  });

  test("an answer that the server limits waits as long as it says, and then arrives", async (t) => {
    const scene = await startFaultScene(t, homeserver);
    const roomId = await scene.room();
    scene.proxy.fault({ path: SENDS, action: { kind: "rateLimited", retryAfterMs: 1_500 } });
    await assertAnsweredOnce(scene, [await scene.ask(roomId)]);
    const [first, second] = scene.proxy.requests(SENDS);
    assert(first?.endedAt && second);
    assert(second.startedAt - first.endedAt >= 1_450, "not before the server's time");
  });

  test("a join that the server limits is tried again when it says so", async (t) => {
    const scene = await startFaultScene(t, homeserver);
    const joins = /\/join/;
    scene.proxy.fault({ path: joins, action: { kind: "rateLimited", retryAfterMs: 1_500 } });
    await assertAnsweredOnce(scene, [await scene.ask(await scene.room())]);
    const [first, second] = scene.proxy.requests(joins);
    assert(first?.endedAt && second && second.startedAt - first.endedAt >= 1_450);
  });

  for (const [what, status, body] of [
    ["a redirect", 302, {}],
    ["a 404 without an errcode", 404, "<html>no such page</html>"],
    ["a 502", 502, "<html>bad gateway</html>"],
  ] as const) {
    test(`an answer that meets ${what} of a proxy is sent again`, async (t) => {
      const scene = await startFaultScene(t, homeserver);
      const roomId = await scene.room();
      scene.proxy.fault({ path: SENDS, action: { kind: "answer", status, body } });
      await assertAnsweredOnce(scene, [await scene.ask(roomId)]);
      assert.equal(scene.proxy.requests(SENDS)[0]?.status, status);
    });
  }

  test("an answer refused for good is dropped with a reason, and the next one goes out", async (t) => {
    const scene = await startFaultScene(t, homeserver);
    const { proxy, bot, room, ask } = scene;
    const roomId = await room();
    const body = { errcode: "M_FORBIDDEN", error: "no" };
    proxy.fault({ path: SENDS, action: { kind: "answer", status: 403, body } });
    const refused = await ask(roomId);
    const dropped = await bot.line((line) => line.msg === "answer dropped", "the answer was dropped");
    assert.deepEqual([dropped["eventId"], dropped["reason"]], [refused, "refused"]);
    await assertAnsweredOnce(scene, [await ask(roomId)]);
  });

  test("no attempt starts after the end of the lifetime less the margin, and one in flight is aborted at the end", async (t) => {
    // All but the margin is for the bot to start its attempt in.
    const lifetimeMs = 6_000;
    const { proxy, alice, bot, room, ask } = await startFaultScene(t, homeserver);
    const roomId = await room();
    proxy.fault({ path: SENDS, times: Infinity, action: { kind: "hang" } });
    const eventId = await ask(roomId, { lifetime: lifetimeMs });
    const dropped = await bot.line(
      (line) => line.msg === "answer dropped" && line["eventId"] === eventId,
      "the answer was dropped",
    );
    assert.equal(dropped["reason"], "expired");
    const [attempt, ...more] = proxy.requests(SENDS);
    assert(attempt);
    assert.deepEqual(more, [], "a doubtful attempt is not repeated past the margin");
    const sentAt = Number((await alice.seen(eventId)).wire["origin_server_ts"]);
    const aborted = await proxy.waitFor(() => attempt.endedAt ?? undefined, "the abort");
    assert.equal(attempt.outcome, "aborted");
    // A busy machine may be late, but by itself the client would have given up after half a minute.
    const tookMs = aborted - sentAt;
    assert(tookMs >= lifetimeMs - 100 && tookMs < lifetimeMs + 10_000, `aborted ${tookMs} ms after the request`);
  });

  test("a request whose key the homeserver delivers late waits for it, and is answered when it comes", async (t) => {
    const scene = await startFaultScene(t, homeserver);
    const { proxy, bot, room, ask } = scene;
    const roomId = await room({ encrypted: true });
    proxy.holdToDevice();
    const eventId = await ask(roomId);
    const parked = await bot.line((line) => line["eventId"] === eventId, "it was parked");
    assert.equal(parked["reason"], "no_session");
    await proxy.waitFor(() => proxy.heldToDevice > 0, "the key");
    proxy.releaseToDevice();
    await assertAnsweredOnce(scene, [eventId]);
  });

  test("a late key in a sync whose reply is lost comes with the next one", async (t) => {
    const scene = await startFaultScene(t, homeserver);
    const { proxy, bot, alice, room, ask } = scene;
    const roomId = await room({ encrypted: true });
    proxy.holdToDevice();
    const eventId = await ask(roomId);
    await bot.line((line) => line["eventId"] === eventId, "it was parked");
    await proxy.waitFor(() => proxy.heldToDevice > 0, "the key");
    const fault = proxy.fault({ path: SYNC, action: { kind: "dropAfter" } });
    await alice.sendWire(roomId, "org.example.noise", {});
    await proxy.waitFor(() => fault.hits === 1, "the next sync");
    proxy.releaseToDevice();
    await assertAnsweredOnce(scene, [eventId]);
  });

  test("keys that come late, in reverse order and twice, lose no request and answer none twice", async (t) => {
    const scene = await startFaultScene(t, homeserver);
    const { proxy, room, ask } = scene;
    // A key for each event.
    const rotating = { encrypted: true, encryption: { rotation_period_msgs: 1 } };
    const rooms = [await room(rotating), await room(rotating)];
    proxy.holdToDevice();
    const asked: string[] = [];
    for (let count = 0; count < 3; count += 1) {
      for (const roomId of rooms) asked.push(await ask(roomId));
    }
    await proxy.waitFor(() => proxy.heldToDevice >= asked.length, "a key for each request");
    proxy.releaseToDevice((held) => [...held.toReversed(), ...held]);
    await assertAnsweredOnce(scene, asked);
  });

  test("a homeserver that is away for a while is caught up with, and the bot says so", async (t) => {
    const scene = await startFaultScene(t, homeserver);
    const { proxy, bot, room, ask } = scene;
    const roomId = await room({ encrypted: true });
    await assertAnsweredOnce(scene, [await ask(roomId)]);
    await proxy.pause();
    const asked = [await ask(roomId), await ask(roomId), await ask(roomId)];
    await bot.line((line) => line.msg === "the sync failed; trying again", "it said so");
    await proxy.resume();
    await assertAnsweredOnce(scene, asked);
  });

  test("connections that are cut again and again lose no request and answer none twice", async (t) => {
    const scene = await startFaultScene(t, homeserver);
    const { proxy, room, ask } = scene;
    const roomId = await room({ encrypted: true });
    const asked: string[] = [];
    for (let count = 0; count < 10; count += 1) {
      asked.push(await ask(roomId));
      proxy.cutConnections();
    }
    await assertAnsweredOnce(scene, asked);
  });
}
