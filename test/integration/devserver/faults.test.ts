import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import type { JsonObject } from "../../../src/protocol/json.ts";
import { startDevServer, type DevServer } from "../../../devserver/server.ts";
import { HttpClient, at, ids, list, timeline } from "../../support/httpClient.ts";

describe("faults that a test plans on the development homeserver", () => {
  let server: DevServer;
  let alice: HttpClient;
  let bob: HttpClient;
  let roomId: string;
  let sent = 0;

  before(async () => {
    server = await startDevServer();
    alice = new HttpClient(server, server.createAccount("alice"));
    bob = new HttpClient(server, server.createAccount("bob"));
    roomId = server.createRoom(alice.userId, { invite: [bob.userId] });
    server.join(roomId, bob.userId);
  });
  after(() => server.stop());
  afterEach(() => server.clearFaults());

  const put = (txnId = `f${(sent += 1)}`): ReturnType<HttpClient["request"]> =>
    alice.request("PUT", `/v3/rooms/${roomId}/send/m.room.message/${txnId}`, { msgtype: "m.text", body: "x" });
  const accepted = (txnId: string): number => server.eventsIn(roomId).filter((event) => event.txnId === txnId).length;

  test("a connection dropped before the effect leaves nothing behind", async () => {
    server.fault({ path: /\/send\//, action: { kind: "dropBefore" } });
    await assert.rejects(put("before"));
    assert.equal(accepted("before"), 0);
    assert.equal((await put("before")).status, 200, "a fault meets one request unless told otherwise");
    assert.equal(server.requests({ path: /before$/, outcome: "dropped" }).length, 1);
  });

  test("a connection dropped after the effect has sent the event, and the repetition gets its ID", async () => {
    server.fault({ path: /\/send\//, action: { kind: "dropAfter" } });
    await assert.rejects(put("after"));
    assert.equal(accepted("after"), 1);
    const again = await put("after");
    assert.equal(again.body["event_id"], server.eventsIn(roomId).find((event) => event.txnId === "after")?.eventId);
    assert.equal(accepted("after"), 1);
  });

  test("an answer can be put in the place of the effect, or after it", async () => {
    server.fault({ action: { kind: "answer", status: 502, body: "<html>", headers: { "Content-Type": "text/html" } } });
    const response = await fetch(`${server.url}/_matrix/client/versions`);
    assert.deepEqual([response.status, await response.text()], [502, "<html>"]);
    server.fault({ action: { kind: "answer", status: 504, body: { errcode: "M_UNKNOWN" }, afterEffect: true } });
    assert.equal((await put("gateway")).status, 504);
    assert.equal(accepted("gateway"), 1);
  });

  test("a planned 429 has the shape of Synapse's", async () => {
    server.fault({ action: { kind: "rateLimited", retryAfterMs: 1500 } });
    const refused = await put("limited");
    assert.equal(refused.status, 429);
    assert.equal(refused.body["errcode"], "M_LIMIT_EXCEEDED");
    assert.equal(refused.body["retry_after_ms"], 1500);
    assert.equal(refused.headers.get("retry-after"), "2");
    assert.equal(accepted("limited"), 0);
  });

  test("a truncated answer ends too early, or is half of the JSON with the right length", async () => {
    server.fault({ path: "/sync$", action: { kind: "truncate", how: "connection" } });
    await assert.rejects(bob.sync(), (error: Error) => error.name === "TypeError", "the body ends before its length");
    server.fault({ path: "/sync$", action: { kind: "truncate", how: "json" } });
    await assert.rejects(bob.sync(), SyntaxError);
    assert.equal(typeof (await bob.sync())["next_batch"], "string");
  });

  test("a request that hangs has no effect until it is released", async () => {
    const fault = server.fault({ path: /\/send\//, action: { kind: "hang" } });
    const hanging = put("hang");
    await server.waitFor(() => fault.hits === 1, 60_000, "the fault to meet the request");
    assert.equal(accepted("hang"), 0);
    fault.release();
    assert.equal((await hanging).status, 200);
    assert.equal(accepted("hang"), 1);
  });

  test("a request that hangs after its effect has sent the event; one that is given up before never does", async () => {
    server.fault({ path: /\/send\//, action: { kind: "hang", after: true } });
    const late = put("hang-after");
    await server.waitFor(() => accepted("hang-after") === 1, 60_000, "the effect");
    server.clearFaults();
    assert.equal((await late).status, 200);

    server.fault({ path: /\/send\//, action: { kind: "hang" } });
    const leaving = new AbortController();
    const left = alice.request("PUT", `/v3/rooms/${roomId}/send/org.example.said/left`, {}, leaving.signal);
    const path = /\/left$/;
    await server.waitFor(() => server.requests({ path, outcome: "open" })[0], 60_000, "the request");
    leaving.abort();
    await assert.rejects(left);
    await server.waitFor(() => server.requests({ path, outcome: "aborted" })[0], 60_000, "the server to notice");
    server.clearFaults();
    await put();
    assert.equal(accepted("left"), 0);
  });

  test("a delay makes the answer late", async () => {
    server.fault({ path: /\/send\//, action: { kind: "delay", ms: 40 } });
    const startedAt = performance.now();
    assert.equal((await put("delayed")).status, 200);
    assert.ok(performance.now() - startedAt >= 39);
  });

  test("a fault meets the requests of its user, device, method and path, after those it lets through", async () => {
    const fault = server.fault({
      method: "PUT",
      path: /m\.room\.message/,
      userId: alice.userId,
      deviceId: alice.deviceId,
      skip: 1,
      times: 2,
      action: { kind: "answer", status: 503 },
    });
    await bob.send(roomId, "m.room.message", "b1", { msgtype: "m.text", body: "x" });
    await alice.send(roomId, "org.example.other", "o1");
    const statuses = [];
    for (let time = 0; time < 4; time += 1) statuses.push((await put()).status);
    assert.deepEqual(statuses, [200, 503, 503, 200]);
    assert.equal(fault.hits, 2);
  });

  test("anything at all can be injected into a room, and comes out of /sync exactly so", async () => {
    const since = (await bob.sync())["next_batch"];
    const odd = [
      { type: 7 },
      { event_id: "$mine", type: "m.room.message", sender: alice.userId, content: "text", origin_server_ts: "now" },
      null,
      { type: "m.room.message", content: { body: "x".repeat(200_000) }, event_id: "$large" },
    ];
    for (const event of odd) server.inject(roomId, event);
    const next = await bob.sync(since);
    assert.deepEqual(at(next, "rooms", "join", roomId, "timeline", "events"), odd);
  });

  test("a copied ciphertext comes under a new event ID", async () => {
    const since = (await bob.sync())["next_batch"];
    const original = await alice.send(roomId, "m.room.encrypted", "cipher", { ciphertext: "abc", session_id: "s" });
    const copy = server.replay(roomId, original);
    const events = timeline(await bob.sync(since), roomId);
    assert.deepEqual(ids(events), [original, copy]);
    assert.deepEqual(events[0]?.["content"], events[1]?.["content"]);
    assert.equal(events[1]?.["sender"], alice.userId);
  });

  test("the encryption state can be withheld from one user alone", async () => {
    const secret = server.createRoom(alice.userId, {
      invite: [bob.userId],
      initial_state: [{ type: "m.room.encryption", content: { algorithm: "m.megolm.v1.aes-sha2" } }],
    });
    server.join(secret, bob.userId);
    const seen = async (who: HttpClient): Promise<boolean> => {
      const sync = await who.sync();
      const events = [...timeline(sync, secret), ...list(sync, "rooms", "join", secret, "state", "events")];
      const read = await who.request("GET", `/v3/rooms/${secret}/state/m.room.encryption`);
      const found = events.some((event) => event["type"] === "m.room.encryption");
      assert.equal(read.status, found ? 200 : 404, "sync and /state agree");
      return found;
    };
    assert.equal(await seen(bob), true);
    server.hide(secret, bob.userId, "m.room.encryption");
    assert.equal(await seen(bob), false);
    assert.equal(await seen(alice), true);
    server.unhide(secret, bob.userId, "m.room.encryption");
    assert.equal(await seen(bob), true);
  });

  test("a test's own words can be the next answer to /sync, even to one that waits", async () => {
    const since = String((await bob.sync())["next_batch"]);
    const waiting = bob.sync(since, { timeout: "60000" });
    await server.waitFor(() => server.requests({ userId: bob.userId, outcome: "open" })[0], 60_000, "the poll");
    server.answerNextSync(bob.userId, '{"next_batch":"odd","rooms":[]}');
    assert.deepEqual(await waiting, { next_batch: "odd", rooms: [] });
    assert.equal(typeof (await bob.sync(since))["next_batch"], "string");
  });

  test("Synapse's message limit: the bucket runs out, and the refusal says for how long", async () => {
    let now = 0;
    const strict = await startDevServer({ rateLimit: { burst: 3, perSecond: 0.5, delayMs: 0 }, now: () => now });
    try {
      const user = new HttpClient(strict, strict.createAccount("user"));
      const room = strict.createRoom(user.userId);
      const send = (txnId: string): ReturnType<HttpClient["request"]> =>
        user.request("PUT", `/v3/rooms/${room}/send/org.example.said/${txnId}`, {});
      for (const txnId of ["1", "2", "3"]) assert.equal((await send(txnId)).status, 200);
      const refused = await send("4");
      assert.deepEqual(
        [refused.status, refused.body["errcode"], refused.body["retry_after_ms"], refused.headers.get("retry-after")],
        [429, "M_LIMIT_EXCEEDED", 2000, "2"],
      );
      assert.equal((await send("1")).status, 200, "a repetition costs nothing");
      now += 2000;
      assert.equal((await send("4")).status, 200);
      strict.setRateLimit(user.userId, null);
      assert.equal((await send("5")).status, 200, "an exempted user has no limit");
    } finally {
      await strict.stop();
    }
  });

  test("a paused server refuses connections, and goes on with the same state and address", async () => {
    const since = String((await bob.sync())["next_batch"]);
    const waiting = bob.sync(since, { timeout: "60000" });
    await server.waitFor(() => server.requests({ userId: bob.userId, outcome: "open" })[0], 60_000, "the poll");
    const url = server.url;
    await server.pause();
    await assert.rejects(waiting);
    await assert.rejects(put());
    await server.resume();
    assert.equal(server.url, url);
    const eventId = (await put()).body["event_id"];
    assert.deepEqual(ids(timeline(await bob.sync(since), roomId)), [eventId]);
  });

  test("cutting the connections ends a long poll at once", async () => {
    const waiting = bob.sync(String((await bob.sync())["next_batch"]), { timeout: "60000" });
    await server.waitFor(() => server.requests({ userId: bob.userId, outcome: "open" })[0], 60_000, "the poll");
    server.cutConnections();
    await assert.rejects(waiting);
  });

  describe("over HTTP, for other processes", () => {
    async function admin(name: string, body?: JsonObject): Promise<JsonObject> {
      const response = await fetch(`${server.url}/_devserver/${name}`, {
        method: body === undefined ? "GET" : "POST",
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      assert.equal(response.status, 200, name);
      return (await response.json()) as JsonObject;
    }

    test("faults are planned, counted, released and removed", async () => {
      const rule = { path: "/send/", times: -1, action: { kind: "answer", status: 500 } };
      const { id } = await admin("faults", rule);
      for (let time = 0; time < 2; time += 1) assert.equal((await put()).status, 500);
      assert.equal((await admin(`faults/${String(id)}`))["hits"], 2);
      await admin("faults/remove", { id: id ?? null });
      assert.equal((await put()).status, 200);

      const hang = await admin("faults", { path: "/send/", action: { kind: "hang" } });
      const hanging = put("http-hang");
      await server.waitFor(() => server.requests({ path: /http-hang/, outcome: "open" })[0], 60_000, "the request");
      await admin("faults/release", { id: hang["id"] ?? null });
      assert.equal((await hanging).status, 200);
    });

    test("events and requests are read, from where one was, and waited for", async () => {
      const all = list(await admin("events"), "events");
      const waiting = admin(`events?roomId=${roomId}&after=${all.length}&wait=60000`);
      const eventId = (await put("seen")).body["event_id"];
      assert.deepEqual(
        list(await waiting, "events").map((event) => [event["eventId"], event["txnId"]]),
        [[eventId, "seen"]],
      );
      const requests = list(await admin(`requests?path=seen&userId=${alice.userId}`), "requests");
      assert.deepEqual(
        requests.map((request) => [request["method"], request["status"], request["deviceId"]]),
        [["PUT", 200, alice.deviceId]],
      );
    });

    test("the other controls are there too", async () => {
      const since = (await bob.sync())["next_batch"];
      await admin("inject", { roomId, event: { type: "odd" } });
      const cipher = await alice.send(roomId, "m.room.encrypted", "over-http", { ciphertext: "c" });
      const { eventId } = await admin("replay", { roomId, eventId: cipher });
      assert.deepEqual(
        timeline(await bob.sync(since), roomId).map((event) => event["event_id"]),
        [undefined, cipher, eventId],
      );
      await admin("holdToDevice", { userId: bob.userId, deviceId: bob.deviceId });
      await admin("releaseToDevice", { userId: bob.userId, deviceId: bob.deviceId, reversed: true });
      const made = await admin("accounts", { localpart: "made", password: "pw" });
      await admin("revokeToken", { accessToken: String(made["accessToken"]), soft: true });
      await admin("answerNextSync", { userId: bob.userId, text: '{"said":true}' });
      assert.deepEqual(await bob.sync(), { said: true });
      await admin("hide", { roomId, userId: bob.userId, type: "m.room.create" });
      assert.equal((await bob.request("GET", `/v3/rooms/${roomId}/state/m.room.create`)).status, 404);
      await admin("unhide", { roomId, userId: bob.userId, type: "m.room.create" });
    });
  });
});
