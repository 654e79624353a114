/** What people in a room see of the bot: asked in every way, it answers once, in time, encrypted, or not at all. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonObject } from "../../src/protocol/json.ts";
import type { Sender } from "../../demo/sender/sender.ts";
import { DEFAULT_YAML } from "../support/botProcess.ts";
import { startConversation, type Conversation } from "../support/conversation.ts";

const request = (from: Sender, more: JsonObject = {}): JsonObject => ({
  "m.request.status": { from_device: from.deviceId, lifetime: 90_000, ...more },
});

/** Asks once more and waits for that answer: what was to be answered before it has been by then. */
async function fence({ alice }: Conversation, roomId: string): Promise<void> {
  const eventId = await alice.send(roomId, "org.example.report", request(alice));
  await alice.waitForResponse(eventId);
}

const decided = (conversation: Conversation, eventId: string) =>
  conversation.bot.line((line) => line.msg === "decided" && line["eventId"] === eventId, `${eventId} was decided`);

test("a request in an encrypted room is answered with success, once, and the answer never leaves in the clear", async (t) => {
  const conversation = await startConversation(t);
  const { server, alice, room, bot } = conversation;
  const roomId = await room({ encrypted: true });
  const eventId = await alice.send(roomId, "org.example.report", request(alice));
  const response = await alice.waitForResponse(eventId);
  assert.equal(response.status, "success");
  assert.equal(response.fromDevice, "DOCKETBOT");
  assert.equal(response.event.encrypted, true);
  await fence(conversation, roomId);
  assert.equal(alice.responsesTo(eventId).length, 1);
  assert(
    !JSON.stringify(server.requests({ path: /\/send\// })).includes("m.response.status"),
    "nothing of it is readable on the wire",
  );
  assert.equal(await bot.stop(), 0);
});

test("the relation of an encrypted answer can be read by the server, so that /relations finds it", async (t) => {
  const { server, alice, room } = await startConversation(t);
  const roomId = await room({ encrypted: true });
  const eventId = await alice.send(roomId, "org.example.report", request(alice));
  const response = await alice.waitForResponse(eventId);
  const sent = server.eventsIn(roomId).find((event) => event.eventId === response.event.eventId);
  assert.deepEqual(sent?.content["m.relates_to"], { rel_type: "m.reference", event_id: eventId });
});

test("in a room of version 12, whose ID has no server part, the bot joins and answers", async (t) => {
  const { alice, room, account, server } = await startConversation(t);
  const roomId = await room({ encrypted: true, roomVersion: "12" });
  assert(!roomId.includes(":"));
  const eventId = await alice.send(roomId, "org.example.report", request(alice));
  assert.equal((await alice.waitForResponse(eventId)).status, "success");
  const [join] = server.requests({ path: /\/join\//, userId: account.userId });
  assert.deepEqual(join?.query["via"], ["localhost"], "it joins through the inviter's server");
});

test("an encryption state event that the server withholds changes nothing: the answer to an encrypted request is encrypted", async (t) => {
  const { server, alice, account } = await startConversation(t);
  const roomId = await alice.createRoom({ encrypted: true });
  server.hide(roomId, account.userId, "m.room.encryption");
  await alice.invite(roomId, account.userId);
  await alice.waitForJoin(roomId, account.userId);
  await alice.waitForDevice(account.userId, account.deviceId);
  const eventId = await alice.send(roomId, "org.example.report", request(alice));
  const response = await alice.waitForResponse(eventId);
  assert.equal(response.event.encrypted, true);
  const plain = await alice.send(roomId, "org.example.report", request(alice), { encrypted: false });
  assert.equal((await alice.waitForResponse(plain)).event.encrypted, true, "the room was seen encrypted");
});

test("a ciphertext copied under a new event ID is recorded as a replay and not answered", async (t) => {
  const conversation = await startConversation(t);
  const { server, alice, room } = conversation;
  const roomId = await room({ encrypted: true });
  const eventId = await alice.send(roomId, "org.example.report", request(alice));
  await alice.waitForResponse(eventId);
  const copy = server.replay(roomId, eventId);
  assert.equal((await decided(conversation, copy))["reason"], "replay");
  await fence(conversation, roomId);
  assert.equal(alice.responsesTo(copy).length, 0);
});

test("a request whose key comes late is answered when it comes, and the record shows both facts", async (t) => {
  const conversation = await startConversation(t);
  const { alice, room, bot } = conversation;
  const roomId = await room({ encrypted: true });
  const held = await alice.sendHoldingKeys(roomId, "org.example.report", request(alice));
  const parked = await bot.line((line) => line["eventId"] === held.eventId, "it was parked");
  assert.equal(parked["reason"], "no_session");
  await held.releaseKeys();
  assert.equal((await alice.waitForResponse(held.eventId)).status, "success");
});

test("requests that are expired, or for another device, get neither answer nor handler; one for this device does", async (t) => {
  const conversation = await startConversation(t);
  const { alice, room } = conversation;
  const roomId = await room({ encrypted: true });
  const expired = await alice.send(roomId, "org.example.report", request(alice, { lifetime: 0 }));
  const foreign = await alice.send(roomId, "org.example.report", request(alice, { to_device: "OTHER" }));
  const ours = await alice.send(roomId, "org.example.report", request(alice, { to_device: "DOCKETBOT" }));
  assert.equal((await alice.waitForResponse(ours)).status, "success");
  await fence(conversation, roomId);
  assert.deepEqual([alice.responsesTo(expired), alice.responsesTo(foreign)], [[], []]);
  assert.match(String((await decided(conversation, expired))["reason"]), /^(expired|no_time_left)$/);
  assert.equal((await decided(conversation, foreign))["reason"], "other_device");
});

test("an event redacted before its turn is not answered", async (t) => {
  const conversation = await startConversation(t);
  const { alice, room } = conversation;
  const roomId = await room({ encrypted: true });
  const held = await alice.sendHoldingKeys(roomId, "org.example.report", request(alice));
  await decided(conversation, await alice.redact(roomId, held.eventId));
  await held.releaseKeys();
  assert.equal((await decided(conversation, held.eventId))["reason"], "redacted");
  await fence(conversation, roomId);
  assert.deepEqual(alice.responsesTo(held.eventId), []);
});

test("a response is never answered, even if it carries a request of its own", async (t) => {
  const conversation = await startConversation(t);
  const { alice, room } = conversation;
  const roomId = await room();
  const eventId = await alice.send(roomId, "m.response.status", request(alice));
  assert.equal((await decided(conversation, eventId))["reason"], "response");
  await fence(conversation, roomId);
  assert.deepEqual(alice.responsesTo(eventId), []);
});

for (const [choice, status, words] of [
  ["accept", "success", []],
  ["warn", "success", ["warning"]],
  ["refuse", "error", ["error"]],
] as const) {
  test(`a plain request in an encrypted room is met with "${choice}", and its answer is encrypted`, async (t) => {
    const yaml = `${DEFAULT_YAML}encryption:\n  plain_in_encrypted_room: ${choice}\n`;
    const { alice, room } = await startConversation(t, { bot: { yaml } });
    const roomId = await room({ encrypted: true });
    const eventId = await alice.send(roomId, "org.example.report", request(alice), { encrypted: false });
    const response = await alice.waitForResponse(eventId);
    assert.equal(response.status, status);
    assert.equal(response.event.encrypted, true);
    assert.deepEqual(
      response.messages.map(({ type }) => type),
      words,
    );
    assert.equal(response.code, choice === "refuse" ? "not_encrypted" : null);
  });
}

test("an invitation from somebody who is not on the list is left alone", async (t) => {
  const yaml = `invites:\n  accept: ["@alice:localhost"]\n`;
  const { server, sender, account, bot } = await startConversation(t, { bot: { yaml } });
  const mallory = await sender("mallory");
  const roomId = await mallory.createRoom({ invite: [account.userId] });
  const line = await bot.line((candidate) => candidate["roomId"] === roomId, "the invitation was judged");
  assert.equal(line["reason"], "inviter_not_allowed");
  assert.equal(server.membership(roomId, account.userId), "invite");
  assert.deepEqual(server.requests({ path: /\/join\//, userId: account.userId }), []);
});
