/** Two engines on the development homeserver: what one encrypts the other decrypts, whatever comes between. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { startDevServer, type DevServer } from "../../devserver/server.ts";
import type { Decrypted, Undecryptable } from "../../src/crypto/cryptoEngine.ts";
import type { RawEvent } from "../../src/protocol/events.ts";
import type { EventId } from "../../src/protocol/ids.ts";
import { asEvent, CryptoPeer, encryptedRoom, targetOf } from "../support/cryptoPeer.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";

async function meeting(t: TestContext, roomVersion: "10" | "12" = "10") {
  const server = await startDevServer({ defaultRoomVersion: roomVersion });
  t.after(() => server.stop());
  const bot = await CryptoPeer.start(t, {
    server,
    account: server.createAccount("bot"),
    directory: temporaryDirectory(t),
  });
  const alice = await CryptoPeer.start(t, { server, account: server.createAccount("alice") });
  const users = [bot.userId, alice.userId];
  const room = encryptedRoom(server, users);
  await bot.sync();
  await alice.sync();
  return { server, bot, alice, users, room, target: targetOf(room, users) };
}

async function decryptAll(peer: CryptoPeer, events: readonly RawEvent[]): Promise<(Decrypted | Undecryptable)[]> {
  const encrypted = events.filter((event) => event.type === "m.room.encrypted");
  return await Promise.all(encrypted.map((event) => peer.engine.decrypt(event)));
}

function soon(): AbortSignal {
  return AbortSignal.timeout(20_000);
}

function keysUploaded(server: DevServer, userId: string): number {
  return server.requests({ method: "POST", path: /keys\/upload$/, userId, status: 200 }).length;
}

test("what one side encrypts the other decrypts, with its session, message index and device", async (t) => {
  const { bot, alice, room, target } = await meeting(t);
  await alice.send(target, "m.room.message", { body: "one" }, "t1");
  await alice.send(target, "m.room.message", { body: "two" }, "t2");
  const { events, newSessions } = await bot.sync();
  assert.equal(newSessions.length, 1);
  assert.equal(newSessions[0]?.roomId, room);
  const expected = {
    kind: "decrypted",
    type: "m.room.message",
    sessionId: newSessions[0]?.sessionId,
    trust: { deviceId: alice.engine.identity.deviceId, level: "unsigned_device" },
  };
  assert.deepEqual(await decryptAll(bot, events), [
    { ...expected, content: { body: "one" }, messageIndex: 0 },
    { ...expected, content: { body: "two" }, messageIndex: 1 },
  ]);
});

test("a room of version 12, whose ID has no server part, is encrypted like any other", async (t) => {
  const { bot, alice, room, target } = await meeting(t, "12");
  assert.ok(!room.includes(":"));
  const { content } = await bot.engine.encrypt(target, "m.room.message", { body: "hello" }, soon());
  await alice.sync();
  const clear = await alice.engine.decrypt(asEvent(room, bot.userId, content, "$e"));
  assert.deepEqual(clear.kind === "decrypted" && clear.content, { body: "hello" });
});

test("the relation of an answer stays readable for the server and comes back with the clear content", async (t) => {
  const { bot, alice, room, target } = await meeting(t);
  const relation = { rel_type: "m.reference", event_id: "$request" };
  const sent = { status: "success", "m.relates_to": relation };
  const { content } = await bot.engine.encrypt(target, "m.response.status", sent, soon());
  assert.deepEqual(content["m.relates_to"], relation);
  assert.ok(!JSON.stringify(content).includes("success"));
  await alice.sync();
  const clear = await alice.engine.decrypt(asEvent(room, bot.userId, content, "$e"));
  assert.deepEqual(clear.kind === "decrypted" && clear.content, sent);
});

test("a ciphertext replayed under a second event ID shows the same session and message index", async (t) => {
  const { bot, alice, target } = await meeting(t);
  await alice.send(target, "m.room.message", { body: "once" }, "t1");
  const { events } = await bot.sync();
  const original = events.find((event) => event.type === "m.room.encrypted");
  assert.ok(original);
  const first = await bot.engine.decrypt(original);
  const second = await bot.engine.decrypt({ ...original, event_id: "$replayed" as EventId });
  assert.equal(first.kind, "decrypted");
  assert.deepEqual(second, first);
});

test("a key that comes after its event is announced, and the event can then be read", async (t) => {
  const { server, bot, alice, room, target } = await meeting(t);
  server.holdToDevice(bot.userId, bot.engine.identity.deviceId);
  await alice.send(target, "m.room.message", { body: "early" }, "t1");
  const { events, newSessions } = await bot.sync();
  assert.deepEqual(newSessions, []);
  const [early] = await decryptAll(bot, events);
  assert.equal(early?.kind === "undecryptable" && early.reason, "no_session");
  server.releaseToDevice(bot.userId, bot.engine.identity.deviceId);
  const later = await bot.sync();
  assert.deepEqual(later.newSessions, [{ roomId: room, sessionId: early?.sessionId }]);
  const [clear] = await decryptAll(bot, events);
  assert.deepEqual(clear?.kind === "decrypted" && clear.content, { body: "early" });
});

test("a to-device message that comes twice is no error and announces no key again", async (t) => {
  const { server, bot, alice, target } = await meeting(t);
  server.holdToDevice(bot.userId, bot.engine.identity.deviceId);
  await alice.send(target, "m.room.message", { body: "once" }, "t1");
  server.releaseToDevice(bot.userId, bot.engine.identity.deviceId, (held) => [...held, ...held]);
  const { events, newSessions } = await bot.sync();
  assert.equal(newSessions.length, 1);
  const [clear] = await decryptAll(bot, events);
  assert.equal(clear?.kind, "decrypted");
  assert.deepEqual(bot.fatal, []);
});

test("an event from before the key was shared is told apart from one whose key is missing", async (t) => {
  const { server, bot, alice, users, room } = await meeting(t);
  const carol = await CryptoPeer.start(t, { server, account: server.createAccount("carol") });
  const before = await bot.engine.encrypt(targetOf(room, users), "x.a", { n: 0 }, soon());
  const target = targetOf(room, [...users, carol.userId]);
  const after = await bot.engine.encrypt(target, "x.a", { n: 1 }, soon());
  assert.equal(after.content["session_id"], before.content["session_id"]);
  await carol.sync();
  await alice.sync();
  const early = await carol.engine.decrypt(asEvent(room, bot.userId, before.content, "$before"));
  const sessionId = before.content["session_id"];
  assert.deepEqual(early, { kind: "undecryptable", reason: "unknown_index", sessionId });
  assert.equal((await carol.engine.decrypt(asEvent(room, bot.userId, after.content, "$after"))).kind, "decrypted");
});

test("a withheld key is reported with the sender's code", async (t) => {
  const { server, bot, alice, room, target } = await meeting(t);
  server.holdToDevice(bot.userId, bot.engine.identity.deviceId);
  await alice.send(target, "m.room.message", { body: "not for you" }, "t1");
  const { events } = await bot.sync();
  const event = events.find((candidate) => candidate.type === "m.room.encrypted");
  assert.ok(event);
  server.releaseToDevice(bot.userId, bot.engine.identity.deviceId, () => [
    {
      type: "m.room_key.withheld",
      sender: alice.userId,
      content: {
        algorithm: "m.megolm.v1.aes-sha2",
        code: "m.unverified",
        reason: "not verified",
        room_id: room,
        sender_key: alice.engine.identity.curve25519,
        session_id: event.content["session_id"] ?? null,
      },
    },
  ]);
  await bot.sync();
  const refused = await bot.engine.decrypt(event);
  const sessionId = event.content["session_id"];
  assert.deepEqual(refused, { kind: "undecryptable", reason: "withheld", withheldCode: "m.unverified", sessionId });
});

test("a device that a member adds later gets the key of the next message", async (t) => {
  const { server, bot, alice, room, target } = await meeting(t);
  await bot.engine.encrypt(target, "x.a", { n: 0 }, soon());
  const second = await CryptoPeer.start(t, { server, account: server.signIn(alice.userId) });
  await bot.sync();
  const { content, withheldFrom } = await bot.engine.encrypt(target, "x.a", { n: 1 }, soon());
  assert.deepEqual(withheldFrom, []);
  await second.sync();
  const clear = await second.engine.decrypt(asEvent(room, bot.userId, content, "$e"));
  assert.deepEqual(clear.kind === "decrypted" && clear.content, { n: 1 });
});

test("a member who left gets no further key", async (t) => {
  const { server, bot, alice, users, room } = await meeting(t);
  const carol = await CryptoPeer.start(t, { server, account: server.createAccount("carol") });
  server.join(room, carol.userId);
  await bot.sync();
  const first = await bot.engine.encrypt(targetOf(room, [...users, carol.userId]), "x.a", { n: 0 }, soon());
  server.leave(room, carol.userId);
  await bot.sync();
  const second = await bot.engine.encrypt(targetOf(room, users), "x.a", { n: 1 }, soon());
  assert.notEqual(second.content["session_id"], first.content["session_id"]);
  await carol.sync();
  await alice.sync();
  const refused = await carol.engine.decrypt(asEvent(room, bot.userId, second.content, "$e"));
  assert.equal(refused.kind === "undecryptable" && refused.reason, "no_session");
  assert.equal((await alice.engine.decrypt(asEvent(room, bot.userId, second.content, "$e"))).kind, "decrypted");
});

test("when the start resolves the keys are up; a server that is down is asked again until they are", async (t) => {
  const server = await startDevServer();
  t.after(() => server.stop());
  await CryptoPeer.start(t, { server, account: server.createAccount("alice") });
  assert.equal(keysUploaded(server, "@alice:localhost"), 1);

  await server.pause();
  const bot = await CryptoPeer.start(t, {
    server,
    account: server.createAccount("bot"),
    directory: temporaryDirectory(t),
  });
  assert.equal(keysUploaded(server, bot.userId), 0);
  await server.resume();
  await server.waitFor(() => keysUploaded(server, bot.userId) > 0, 60_000, "the bot's keys");
});

test("used one-time keys are replaced after the sync that tells of them", async (t) => {
  const { server, bot, alice, target } = await meeting(t);
  const before = keysUploaded(server, bot.userId);
  await alice.send(target, "m.room.message", { body: "claims a key" }, "t1");
  await bot.sync();
  await server.waitFor(() => keysUploaded(server, bot.userId) > before, 60_000, "another upload of keys");
});
