import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { startDevServer, type DevServer } from "../../../devserver/server.ts";
import { HttpClient, at, list } from "./httpClient.ts";

const UNUSED = "device_unused_fallback_key_types";

describe("keys and to-device messages of the development homeserver", () => {
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

  async function upload(client: HttpClient, oneTime: string[] = [], fallback: string[] = []): Promise<void> {
    const keys = (names: string[]): Record<string, { key: string }> =>
      Object.fromEntries(names.map((name) => [`signed_curve25519:${name}`, { key: name }]));
    await client.call("POST", "/v3/keys/upload", {
      device_keys: { user_id: client.userId, device_id: client.deviceId, keys: {}, algorithms: [] },
      one_time_keys: keys(oneTime),
      fallback_keys: keys(fallback),
    });
  }

  function claim(by: HttpClient, from: HttpClient): Promise<object> {
    const wanted = { [from.userId]: { [from.deviceId]: "signed_curve25519" } };
    return by
      .call("POST", "/v3/keys/claim", { one_time_keys: wanted })
      .then((reply) => at(reply, "one_time_keys", from.userId, from.deviceId) as object);
  }

  test("one-time keys are counted, claimed once each, and then the fallback key is given again and again", async () => {
    const empty = await bob.sync();
    assert.deepEqual(at(empty, "device_one_time_keys_count"), { signed_curve25519: 0 });
    assert.deepEqual(at(empty, UNUSED), []);
    await upload(bob, ["A", "B"], ["F"]);
    const full = await bob.sync();
    assert.deepEqual(at(full, "device_one_time_keys_count"), { signed_curve25519: 2 });
    assert.deepEqual(at(full, UNUSED), ["signed_curve25519"]);

    const claimed = [await claim(alice, bob), await claim(alice, bob)].flatMap((keys) => Object.keys(keys));
    assert.deepEqual(claimed.sort(), ["signed_curve25519:A", "signed_curve25519:B"]);
    assert.deepEqual(at(await bob.sync(), UNUSED), ["signed_curve25519"]);
    for (let time = 0; time < 2; time += 1)
      assert.deepEqual(await claim(alice, bob), { "signed_curve25519:F": { key: "F" } });
    assert.deepEqual(at(await bob.sync(), UNUSED), []);
    await upload(bob, [], ["G"]);
    assert.deepEqual(at(await bob.sync(), UNUSED), ["signed_curve25519"]);
  });

  test("a one-time key ID may come again with the same key, not with another", async () => {
    const first = await bob.call("POST", "/v3/keys/upload", { one_time_keys: { "signed_curve25519:A": { key: "1" } } });
    assert.deepEqual(first, { one_time_key_counts: { signed_curve25519: 1 } });
    await bob.call("POST", "/v3/keys/upload", { one_time_keys: { "signed_curve25519:A": { key: "1" } } });
    const other = await bob.request("POST", "/v3/keys/upload", {
      one_time_keys: { "signed_curve25519:A": { key: "2" } },
    });
    assert.equal(other.status, 400);
  });

  test("a key query names every asked user, and the devices that have keys", async () => {
    await upload(bob);
    const reply = await alice.call("POST", "/v3/keys/query", {
      device_keys: { [bob.userId]: [], [alice.userId]: [] },
    });
    assert.deepEqual(Object.keys(at(reply, "device_keys", bob.userId) ?? {}), [bob.deviceId]);
    assert.deepEqual(at(reply, "device_keys", alice.userId), {});
    assert.deepEqual(reply["failures"], {});
  });

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

  test("device lists tell of new keys, new members and those who left", async () => {
    const roomId = server.createRoom(alice.userId, { invite: [bob.userId] });
    const start = (await alice.sync())["next_batch"];
    server.join(roomId, bob.userId);
    const joined = await alice.sync(start);
    assert.deepEqual(at(joined, "device_lists", "changed"), [bob.userId]);
    await upload(bob);
    const uploaded = await alice.sync(joined["next_batch"]);
    assert.deepEqual(at(uploaded, "device_lists"), { changed: [bob.userId] });
    await upload(bob, ["ONE"]);
    assert.equal((await alice.sync(uploaded["next_batch"]))["device_lists"], undefined, "the same keys are no change");
    const changes = await alice.call(
      "GET",
      `/v3/keys/changes?from=${String(start)}&to=${String(uploaded["next_batch"])}`,
    );
    assert.deepEqual(changes, { changed: [bob.userId], left: [] });
    server.leave(roomId, bob.userId);
    assert.deepEqual(at(await alice.sync(uploaded["next_batch"]), "device_lists"), { left: [bob.userId] });
  });

  test("signing out tells others, and removes the keys", async () => {
    const roomId = server.createRoom(alice.userId, { invite: [bob.userId] });
    server.join(roomId, bob.userId);
    await upload(bob);
    const since = (await alice.sync())["next_batch"];
    await bob.call("POST", "/v3/logout");
    assert.deepEqual(at(await alice.sync(since), "device_lists"), { changed: [bob.userId] });
    assert.equal(server.deviceKeys(bob.userId, bob.deviceId), null);
    assert.equal((await bob.request("GET", "/v3/account/whoami")).body["errcode"], "M_UNKNOWN_TOKEN");
  });

  const toBob = (txnId: string, value: string, device = bob.deviceId): Promise<unknown> =>
    alice.call("PUT", `/v3/sendToDevice/org.example.key/${txnId}`, {
      messages: { [bob.userId]: { [device]: { value } } },
    });
  const values = (sync: Parameters<typeof list>[0]): unknown[] =>
    list(sync, "to_device", "events").map((event) => at(event, "content", "value"));

  test("a to-device message comes with every sync until a later token acknowledges it", async () => {
    const since = (await bob.sync())["next_batch"];
    await toBob("1", "one");
    const first = await bob.sync(since);
    assert.deepEqual(list(first, "to_device", "events"), [
      { type: "org.example.key", sender: alice.userId, content: { value: "one" } },
    ]);
    assert.deepEqual(values(await bob.sync(since)), ["one"], "not acknowledged: it comes again");
    assert.deepEqual(values(await bob.sync(first["next_batch"])), []);
    assert.deepEqual(values(await bob.sync(since)), [], "acknowledged: it is gone");
    assert.deepEqual(server.pendingToDevice(bob.userId, bob.deviceId), []);
  });

  test("a repeated to-device transaction delivers once; another type is another transaction", async () => {
    const since = (await bob.sync())["next_batch"];
    await toBob("same", "one");
    await toBob("same", "two");
    await alice.call("PUT", "/v3/sendToDevice/org.example.other/same", {
      messages: { [bob.userId]: { [bob.deviceId]: { value: "three" } } },
    });
    assert.deepEqual(values(await bob.sync(since)), ["one", "three"]);
  });

  test("a to-device message to * reaches every device of the user", async () => {
    const second = new HttpClient(server, server.signIn(bob.userId));
    await toBob("all", "one", "*");
    assert.deepEqual(values(await bob.sync()), ["one"]);
    assert.deepEqual(values(await second.sync()), ["one"]);
  });

  test("more than a hundred to-device messages come in several syncs, in order", async () => {
    const since = (await bob.sync())["next_batch"];
    for (let index = 0; index < 130; index += 1)
      server.sendToDevice(bob.userId, bob.deviceId, { type: "a.b", sender: alice.userId, content: { value: index } });
    const first = await bob.sync(since);
    const second = await bob.sync(first["next_batch"], { timeout: "60000" });
    assert.equal(values(first).length, 100);
    assert.deepEqual(
      [...values(first), ...values(second)],
      Array.from({ length: 130 }, (_, index) => index),
    );
  });

  test("held to-device messages come late, and in the order that the test gives them", async () => {
    const since = (await bob.sync())["next_batch"];
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
});
