import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { startDevServer, type DevServer } from "../../../devserver/server.ts";
import { uploadKeys } from "../../contract/keyMaterial.ts";
import { HttpClient, at, ids, list, timeline } from "../../support/httpClient.ts";

describe("what a test may do to the development homeserver and see of it", () => {
  let server: DevServer;
  let alice: HttpClient;
  let bob: HttpClient;
  let made = 0;

  before(async () => {
    server = await startDevServer();
  });
  after(() => server.stop());
  beforeEach(() => {
    made += 1;
    alice = new HttpClient(server, server.createAccount(`alice${made}`));
    bob = new HttpClient(server, server.createAccount(`bob${made}`));
  });

  const toBob = (txnId: string, value: string): Promise<unknown> =>
    alice.call("PUT", `/v3/sendToDevice/org.example.key/${txnId}`, {
      messages: { [bob.userId]: { [bob.deviceId]: { value } } },
    });
  const values = (sync: Parameters<typeof list>[0]): unknown[] =>
    list(sync, "to_device", "events").map((event) => at(event, "content", "value"));

  test("a user whose server does not answer is a failure, or lets the query hang until the test says otherwise", async () => {
    const far = server.createAccount(`@far${made}:far.example`);
    server.setKeyQueries(far.userId, "fails");
    const query = { device_keys: { [far.userId]: [], [bob.userId]: [] } };
    const failed = await alice.call("POST", "/v3/keys/query", query);
    assert.notEqual(at(failed, "failures", "far.example"), undefined);
    assert.deepEqual(Object.keys(at(failed, "device_keys") ?? {}), [bob.userId]);

    server.setKeyQueries(far.userId, "hangs");
    const hanging = alice.call("POST", "/v3/keys/query", query);
    await server.waitFor(
      () => server.requests({ userId: alice.userId, path: /keys\/query/, outcome: "open" })[0],
      60_000,
      "the query to hang",
    );
    server.setKeyQueries(far.userId, "answers");
    assert.deepEqual(at(await hanging, "failures"), {});
  });

  test("a test sees uploaded keys and to-device messages until they are gone", async () => {
    await uploadKeys(bob);
    assert.notEqual(server.deviceKeys(bob.userId, bob.deviceId), null);
    const since = await bob.now();
    await toBob("1", "one");
    assert.equal(server.pendingToDevice(bob.userId, bob.deviceId).length, 1);
    const { next_batch: next } = await bob.sync(since);
    await bob.sync(next);
    assert.deepEqual(server.pendingToDevice(bob.userId, bob.deviceId), []);
    await bob.call("POST", "/v3/logout", {});
    assert.equal(server.deviceKeys(bob.userId, bob.deviceId), null);
  });

  test("held to-device messages come late, and in the order that the test gives them", async () => {
    const since = await bob.now();
    server.holdToDevice(bob.userId, bob.deviceId);
    await toBob("h1", "one");
    await toBob("h2", "two");
    assert.equal(server.heldToDevice(bob.userId, bob.deviceId).length, 2);
    const next = await bob.sync(since);
    assert.deepEqual(values(next), []);
    server.releaseToDevice(bob.userId, bob.deviceId, (held) => held.toReversed());
    await toBob("h3", "three");
    assert.deepEqual(values(await bob.sync(next["next_batch"])), ["two", "one", "three"]);
  });

  test("the join rules can be withheld from an invitation, as a careless server does", async () => {
    const roomId = server.createRoom(alice.userId, { name: "n" });
    const shown = async (): Promise<unknown[]> =>
      list(await bob.sync(), "rooms", "invite", roomId, "invite_state", "events").map((event) => event["type"]);
    server.hide(roomId, bob.userId, "m.room.join_rules");
    server.invite(roomId, alice.userId, bob.userId);
    assert.equal((await shown()).includes("m.room.name"), true);
    assert.equal((await shown()).includes("m.room.join_rules"), false);
    server.unhide(roomId, bob.userId, "m.room.join_rules");
    assert.equal((await shown()).includes("m.room.join_rules"), true);
  });

  test("transactions are remembered until the test has them forgotten", async () => {
    const roomId = server.createRoom(alice.userId);
    const first = await alice.send(roomId, "a.b", "same");
    const again = new HttpClient(server, server.signIn(alice.userId, alice.deviceId));
    assert.equal(await again.send(roomId, "a.b", "same"), first, "a further token of the same device");
    server.forgetTransactions();
    assert.notEqual(await again.send(roomId, "a.b", "same"), first);
  });

  test("the servers that a join goes through are in the log of requests", async () => {
    const roomId = server.createRoom(alice.userId, { preset: "public_chat" });
    await bob.call("POST", `/v3/join/${roomId}?server_name=one.example&server_name=two.example&via=one.example`, {});
    const [logged] = server.requests({ method: "POST", path: /\/join\//, userId: bob.userId }).slice(-1);
    assert.deepEqual(logged?.query, { server_name: ["one.example", "two.example"], via: ["one.example"] });
    assert.equal(logged?.status, 200);
  });

  test("the log of events keeps what a redaction takes from the room", async () => {
    const roomId = server.createRoom(alice.userId);
    const target = await alice.send(roomId, "a.b", "secret", { body: "gone soon" });
    await alice.call("PUT", `/v3/rooms/${roomId}/redact/${target}/r`, {});
    assert.deepEqual((await alice.call("GET", `/v3/rooms/${roomId}/event/${target}`))["content"], {});
    assert.equal(server.eventsIn(roomId).find((logged) => logged.eventId === target)?.content["body"], "gone soon");
  });

  test("the date of each answer is the server's clock, off by what a test asks for", async () => {
    const off = async (): Promise<number> => {
      const { headers } = await alice.request("GET", "/v3/account/whoami");
      return Date.parse(headers.get("date") ?? "") - Date.now();
    };
    assert.ok(Math.abs(await off()) < 60_000);
    server.shiftDate(-3_600_000);
    assert.ok(Math.abs((await off()) + 3_600_000) < 60_000);
    server.shiftDate(0);
  });

  test("syncing through 10,000 events stays quick", async () => {
    const roomId = server.createRoom(alice.userId, { invite: [bob.userId] });
    server.join(roomId, bob.userId);
    let since = await bob.now();
    const seen: string[] = [];
    const sent: string[] = [];
    const filter = JSON.stringify({ room: { timeline: { limit: 100 } } });
    // Not the time on the wall, in which others use the machine too.
    const before = process.cpuUsage();
    for (let round = 0; round < 100; round += 1) {
      for (let index = 0; index < 100; index += 1)
        sent.push(server.append(roomId, { type: "a.b", sender: alice.userId, content: { body: String(index) } }));
      const next = await bob.sync(since, { filter });
      since = String(next["next_batch"]);
      seen.push(...ids(timeline(next, roomId)));
    }
    assert.deepEqual(seen, sent);
    const { user, system } = process.cpuUsage(before);
    assert.ok(user + system < 10_000_000, `${user + system} µs`);
  });
});
