/** Anybody may send the bot a to-device message: none of them stops it, or costs it anything but itself. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonObject, JsonValue } from "../../src/protocol/json.ts";
import { startConversation } from "../support/conversation.ts";

function nested(depth: number): JsonObject {
  let value: JsonObject = {};
  for (let level = 0; level < depth; level += 1) value = { a: value };
  return value;
}

const hostile: readonly [string, JsonValue][] = [
  ["nested 200 deep", { type: "org.example.x", sender: "@mallory:localhost", content: nested(200) }],
  ["nested 2,500 deep", { type: "m.room.encrypted", sender: "@mallory:localhost", content: nested(2_500) }],
  ["a list", []],
  ["a number", 7],
  ["without a type", { sender: "@mallory:localhost", content: {} }],
  ["without a sender", { type: "m.room.encrypted", content: {} }],
  ["with a sender that is none", { type: "m.room_key", sender: "mallory", content: {} }],
  ["with a list as content", { type: "m.room_key", sender: "@mallory:localhost", content: [] }],
  ["with half a surrogate pair", { type: "m.room_key", sender: "@mallory:localhost", content: { a: "\ud800" } }],
  [
    "a room key in the clear",
    {
      type: "m.room_key",
      sender: "@mallory:localhost",
      content: { algorithm: "m.megolm.v1.aes-sha2", room_id: "!a:b", session_id: "x", session_key: "y" },
    },
  ],
  [
    "Olm without a body",
    {
      type: "m.room.encrypted",
      sender: "@mallory:localhost",
      content: { algorithm: "m.olm.v1.curve25519-aes-sha2", sender_key: "x", ciphertext: {} },
    },
  ],
  [
    "a verification request of another time",
    {
      type: "m.key.verification.request",
      sender: "@mallory:localhost",
      content: { from_device: "X", methods: ["m.sas.v1"], timestamp: 1, transaction_id: "t" },
    },
  ],
  ["with a huge number", { type: "org.example.x", sender: "@mallory:localhost", content: { a: 1e300 } }],
];

test("no to-device message, however broken, stops the bot: the next request is answered", async (t) => {
  const { server, account, alice, room, bot } = await startConversation(t);
  const roomId = await room({ encrypted: true });
  for (const [, message] of hostile) server.sendToDevice(account.userId, account.deviceId, message as JsonObject);
  const eventId = await alice.send(roomId, "org.example.report", {
    "m.request.status": { from_device: alice.deviceId, lifetime: 60_000 },
  });
  assert.equal((await alice.waitForResponse(eventId)).status, "success");
  assert.equal(bot.child.exitCode, null);
});

test("no event, however deep, stops the bot, encrypted or not", async (t) => {
  const { server, alice, room } = await startConversation(t);
  const roomId = await room({ encrypted: true });
  for (const depth of [150, 450, 2_500]) {
    const event = { event_id: `$deep${depth}`, sender: alice.userId, origin_server_ts: 0 };
    server.inject(roomId, { ...event, type: "org.example.report", content: nested(depth) });
    server.inject(roomId, {
      ...event,
      event_id: `$deepciphertext${depth}`,
      type: "m.room.encrypted",
      content: { algorithm: "m.megolm.v1.aes-sha2", session_id: "s", ciphertext: nested(depth) },
    });
  }
  const eventId = await alice.send(roomId, "org.example.report", {
    "m.request.status": { from_device: alice.deviceId, lifetime: 60_000 },
  });
  assert.equal((await alice.waitForResponse(eventId)).status, "success");
});
