/** The independent sender judges the bot, so it is judged first: two of them, over the development homeserver. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { Sender } from "../../demo/sender/sender.ts";
import { readMessageIndex, type SeenEvent } from "../../demo/sender/seenEvent.ts";
import { type DevServer, startDevServer } from "../../devserver/server.ts";

interface Pair {
  readonly server: DevServer;
  readonly alice: Sender;
  readonly bob: Sender;
  /** A room that both have joined, and whose keys Alice can send to Bob. */
  room(options?: Parameters<Sender["createRoom"]>[0]): Promise<string>;
}

async function pair(t: TestContext): Promise<Pair> {
  const server = await startDevServer();
  t.after(() => server.stop());
  const account = (name: string): Promise<Sender> =>
    Sender.withToken({ baseUrl: server.url, ...server.createAccount(name, "not a secret") });
  const [alice, bob] = await Promise.all([account("alice"), account("bob")]);
  t.after(async () => {
    await Promise.all([alice.stop(), bob.stop()]);
  });
  await Promise.all([alice.start(), bob.start()]);
  const room: Pair["room"] = async (options = {}) => {
    const roomId = await alice.createRoom({ ...options, invite: [bob.userId] });
    await bob.join(roomId);
    await alice.waitForJoin(roomId, bob.userId);
    return roomId;
  };
  return { server, alice, bob, room };
}

const readable = async (reader: Sender, eventId: string): Promise<SeenEvent> =>
  await reader.waitFor(
    () => {
      const event = reader.events.get(eventId);
      return event?.undecryptable === null ? event : undefined;
    },
    60_000,
    `${eventId} in the clear`,
  );

describe("the independent sender", () => {
  it("knows the whole state of a room that it has made, though the sync has shown a part of it", async (t) => {
    const server = await startDevServer();
    t.after(() => server.stop());
    const alice = await Sender.withToken({ baseUrl: server.url, ...server.createAccount("alice") });
    t.after(() => alice.stop());
    const { userId } = alice;
    const syncs = server.fault({ path: /\/sync$/, userId, skip: 1, times: Infinity, action: { kind: "hang" } });
    const creation = server.fault({ path: /\/createRoom$/, userId, action: { kind: "hang", after: true } });
    await alice.start();
    const making = alice.createRoom({ encrypted: true });
    const roomId = await server.waitFor(() => server.events().at(0)?.roomId, 60_000, "the new room");
    await server.waitFor(() => syncs.hits > 0 && creation.hits > 0, 60_000, "the sync that shows it");
    server.hide(roomId, userId, "m.room.encryption");
    syncs.remove();
    syncs.release();
    await alice.waitForJoin(roomId, userId);
    server.unhide(roomId, userId, "m.room.encryption");
    creation.release();
    assert.equal(await making, roomId);
    assert.equal(alice.rooms.get(roomId)?.encrypted, true);
  });

  it("is read by another sender in an encrypted room, and never sends in the clear there", async (t) => {
    const { server, alice, bob, room } = await pair(t);
    const roomId = await room({ encrypted: true });
    const eventId = await alice.send(roomId, "org.example.report", { place: "Bridge Street 3" });

    const seen = await readable(bob, eventId);
    assert.equal(seen.type, "org.example.report");
    assert.deepEqual(seen.content, { place: "Bridge Street 3" });
    assert.equal(seen.encrypted, true);
    assert.equal(seen.senderDevice, alice.deviceId);
    assert.equal(seen.messageIndex, 0);
    assert.equal((await alice.seen(eventId)).type, "org.example.report", "it reads its own events too");
    assert.ok(!JSON.stringify(server.eventsIn(roomId)).includes("Bridge Street 3"));
  });

  it("sends in the clear in a plain room, and wherever it is told to", async (t) => {
    const { alice, bob, room } = await pair(t);
    const plain = await room();
    const encrypted = await room({ encrypted: true });
    const first = await alice.send(plain, "m.room.message", { msgtype: "m.text", body: "hello" });
    const second = await alice.send(
      encrypted,
      "m.room.message",
      { msgtype: "m.text", body: "hello" },
      { encrypted: false },
    );
    assert.equal((await bob.seen(first)).encrypted, false);
    assert.equal((await bob.seen(second)).encrypted, false);
  });

  it("can let an event go before its room key, which is read when the key comes", async (t) => {
    const { alice, bob, room } = await pair(t);
    const roomId = await room({ encrypted: true });
    await readable(bob, await alice.send(roomId, "org.example.report", { n: 1 }));

    const held = await alice.sendHoldingKeys(roomId, "org.example.report", { n: 2 });
    assert.notEqual((await bob.seen(held.eventId)).undecryptable, null);
    await held.releaseKeys();
    assert.deepEqual((await readable(bob, held.eventId)).content, { n: 2 });
    const next = await readable(bob, await alice.send(roomId, "org.example.report", { n: 3 }));
    assert.equal(next.messageIndex, 1, "the held session is used on");
  });

  it("replays a ciphertext as a new event of the same session and index", async (t) => {
    const { alice, bob, room } = await pair(t);
    const roomId = await room({ encrypted: true });
    const original = await readable(bob, await alice.send(roomId, "org.example.report", { n: 1 }));
    const replay = await bob.seen(await alice.sendReplay(original.eventId));
    assert.notEqual(replay.eventId, original.eventId);
    assert.deepEqual(replay.wire["content"], original.wire["content"]);
    assert.equal(replay.sessionId, original.sessionId);
    assert.equal(replay.messageIndex, original.messageIndex);
  });

  it("keeps to rotation_period_msgs: 1, even with thirty messages at once", async (t) => {
    const { alice, bob, room } = await pair(t);
    const roomId = await room({ encrypted: true, encryption: { rotation_period_msgs: 1 } });
    const sent = await Promise.all(
      Array.from({ length: 30 }, (_, n) => alice.send(roomId, "org.example.report", { n })),
    );
    const seen = await Promise.all(sent.map((eventId) => readable(bob, eventId)));
    assert.deepEqual(
      seen.map((event) => event.content["n"]),
      Array.from({ length: 30 }, (_, n) => n),
    );
    assert.equal(new Set(seen.map((event) => event.sessionId)).size, 30);
  });

  it("misses nothing when a timeline comes limited", async (t) => {
    const { server, alice, bob, room } = await pair(t);
    const roomId = await room();
    const fault = server.fault({ path: /\/sync$/, userId: bob.userId, times: Infinity, action: { kind: "hang" } });
    server.cutConnections();
    const sent: string[] = [];
    for (let n = 0; n < 250; n += 1) {
      sent.push(server.append(roomId, { sender: alice.userId, type: "org.example.report", content: { n } }));
    }
    fault.release();
    await bob.seen(sent.at(-1) ?? "");
    const numbers = [...bob.events.values()].filter((event) => event.type === "org.example.report");
    assert.deepEqual(
      numbers.map((event) => event.content["n"]),
      Array.from({ length: 250 }, (_, n) => n),
    );
  });

  it("finds responses of every dialect that refer to the request, encrypted or not, and no others", async (t) => {
    const { alice, bob, room } = await pair(t);
    const roomId = await room({ encrypted: true });
    const request = await alice.send(roomId, "org.example.report", {});
    const answer = async (type: string, textKey: string, to: string, encrypted: boolean): Promise<string> => {
      const messages = [{ type: "error", [textKey]: [{ body: "the place is missing" }] }];
      const content = {
        [type]: { from_device: bob.deviceId, status: "error", messages },
        "m.relates_to": { rel_type: "m.reference", event_id: to },
        "io.github.matrix-docket.code": "invalid_content",
      };
      return await bob.send(roomId, type, content, { encrypted });
    };
    await answer("m.response.status", "m.text", request, true);
    await answer("de.gematik.msc4300.response.status", "m.text", request, true);
    await answer("de.gematik.response.status", "de.gematik.text", request, false);
    const another = await alice.send(roomId, "org.example.report", {});
    await answer("m.response.status", "m.text", another, true);
    const last = await answer("org.example.response", "m.text", request, true);
    await readable(alice, last);

    assert.deepEqual(
      alice.responsesTo(request).map(({ dialect, status, code, fromDevice, messages, event }) => ({
        dialect,
        status,
        code,
        fromDevice,
        text: messages.map((message) => message.text),
        encrypted: event.encrypted,
      })),
      (["stable", "msc4300", "gematik"] as const).map((dialect) => ({
        dialect,
        status: "error",
        code: "invalid_content",
        fromDevice: bob.deviceId,
        text: ["the place is missing"],
        encrypted: dialect !== "gematik",
      })),
    );
  });

  it("notes delivery receipts for its own events, each once, and no read receipts", async (t) => {
    const { server, alice, bob, room } = await pair(t);
    const roomId = await room();
    const eventId = await alice.send(roomId, "m.room.message", { msgtype: "m.text", body: "hello" });
    assert.deepEqual(alice.receiptsFor(eventId), []);
    const post = async (type: string, to: string): Promise<unknown> =>
      await bob.http.call("POST", `/_matrix/client/v3/rooms/${roomId}/receipt/${type}/${to}`, { body: {} });
    await post("m.read", eventId);
    await post("org.matrix.msc4089.delivery", eventId);
    const { receivedAtMs, ...receipt } = await alice.waitForReceipt(eventId);
    const [kept] = server.receipts();
    assert.deepEqual(receipt, { userId: bob.userId, type: "org.matrix.msc4089.delivery", ts: kept?.ts });
    assert.ok(receivedAtMs >= receipt.ts!);

    const content = { [eventId]: { [receipt.type]: { [bob.userId]: { ts: 1 } }, "m.read": { [bob.userId]: {} } } };
    const typing = { $typed: content[eventId] ?? {} };
    const events = [
      { type: "m.receipt", content },
      { type: "m.typing", content: typing },
    ];
    const again = { next_batch: "s1_1", rooms: { join: { [roomId]: { ephemeral: { events } } } } };
    server.answerNextSync(alice.userId, JSON.stringify(again));
    const later = await alice.send(roomId, "m.room.message", { msgtype: "m.text", body: "later" });
    await post("org.matrix.msc4089.delivery", later);
    await alice.waitForReceipt(later);
    assert.equal(alice.receiptsFor(eventId).length, 1);
    assert.deepEqual(alice.receiptsFor("$typed"), []);
    assert.deepEqual(bob.receiptsFor(eventId), []);
    await assert.rejects(alice.waitForReceipt("$nothing", 10), /waited for a delivery receipt for \$nothing/);
  });

  it("sees why an invitation was rejected", async (t) => {
    const { alice, bob } = await pair(t);
    const roomId = await alice.createRoom({ invite: [bob.userId] });
    const path = `/_matrix/client/v3/rooms/${roomId}/leave`;
    await bob.http.call("POST", path, { body: { reason: "not on the list" } });
    const left = (event: SeenEvent): boolean => event.content["membership"] === "leave";
    const event = await alice.waitFor(() => [...alice.events.values()].find(left), 5000, "the rejection");
    assert.equal(event.wire["state_key"], bob.userId);
    assert.equal(event.content["reason"], "not on the list");
    assert.equal(alice.membership(roomId, bob.userId), "leave");
  });

  it("reads a field of a profile, and tells a field that is not there from a server without them", async (t) => {
    const { server, alice, bob } = await pair(t);
    const key = "m.client_capability.phone";
    assert.equal(await alice.profileField(bob.userId, key), null);
    const path = `/_matrix/client/v3/profile/${bob.userId}/${key}`;
    await bob.http.call("PUT", path, { body: { [key]: { events: [] } } });
    assert.deepEqual(await alice.profileField(bob.userId, key), { events: [] });
    server.setFeature("uk.tcpip.msc4133.stable", false);
    await assert.rejects(alice.profileField(bob.userId, key), /404 M_UNRECOGNIZED/);
  });

  it("says what it waited for, and in vain for how long", async (t) => {
    const { alice } = await pair(t);
    await assert.rejects(alice.waitForResponse("$nothing", 10), /waited for a response to \$nothing: 10 ms are over/);
  });

  it("stops at once, though its long poll has half a minute left", async (t) => {
    const { server, alice } = await pair(t);
    const path = /\/sync$/;
    const poll = await server.waitFor(
      () => server.requests({ path, userId: alice.userId, outcome: "open" })[0],
      60_000,
      "the poll",
    );
    await alice.stop();
    await alice.stop();
    await server.waitFor(() => poll.endedAt, 60_000, "the end of the poll");
    assert.equal(poll.outcome, "aborted", "it was not waited for");
  });

  it("follows on when the homeserver was down", async (t) => {
    const { server, alice, bob, room } = await pair(t);
    const roomId = await room();
    await server.pause();
    await server.resume();
    const eventId = await alice.send(roomId, "m.room.message", { msgtype: "m.text", body: "still here" });
    await bob.seen(eventId);
  });

  it("works in a room of version 12, whose ID has no server part", async (t) => {
    const { alice, bob, room } = await pair(t);
    const roomId = await room({ encrypted: true, roomVersion: "12" });
    assert.ok(!roomId.includes(":"));
    await readable(bob, await alice.send(roomId, "org.example.report", { n: 1 }));
  });
});

describe("readMessageIndex", () => {
  it("reads a varint of one byte and of several", () => {
    const message = (...index: number[]): string => Buffer.from([3, 0x08, ...index, 0x12, 0]).toString("base64");
    assert.equal(readMessageIndex(message(0)), 0);
    assert.equal(readMessageIndex(message(0x7f)), 127);
    assert.equal(readMessageIndex(message(0xac, 0x02)), 300);
    assert.equal(readMessageIndex("AAAA"), null);
  });
});
