/** Delivery receipts (MSC4089): who learns that an event has come, who does not, and that nothing waits for them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonObject } from "../../src/protocol/json.ts";
import type { Sender } from "../../demo/sender/sender.ts";
import { DEFAULT_YAML } from "../support/botProcess.ts";
import { startConversation, type Conversation } from "../support/conversation.ts";

const UNSTABLE = "org.matrix.msc4089.delivery";
const REPORT = "org.example.report";

const request = (from: Sender): JsonObject => ({
  "m.request.status": { from_device: from.deviceId, lifetime: 90_000 },
});

/** Public rooms are joined too, so that receipts there are only the policy's to prevent. */
const YAML = DEFAULT_YAML.replace("  notice: false\n", "  notice: false\n  public_rooms: true\n");
const receiptsYaml = (more: string): string => `${YAML}receipts: { ${more} }\n`;

/** Sends one that is owed a receipt, and waits for it: what was owed one before has it by then. */
async function fence({ alice }: Conversation, roomId: string): Promise<string> {
  const eventId = await alice.send(roomId, "org.example.fence", {});
  await alice.waitForReceipt(eventId);
  return eventId;
}

/** Of each receipt that the bot has asked the server to deliver: its type and its event. */
const posted = ({ server, account }: Conversation): readonly (readonly [string, string])[] =>
  server.requests({ path: /\/receipt\//, userId: account.userId }).map(({ path }) => {
    const [type = "", eventId = ""] = path.split("/").slice(-2).map(decodeURIComponent);
    return [type, eventId];
  });

test("the sender of an event in a private encrypted room gets one receipt for it, asked or not, and nobody else does", async (t) => {
  const conversation = await startConversation(t);
  const { server, account, alice, room, sender } = conversation;
  const bob = await sender("bob");
  const roomId = await room({ encrypted: true, invite: [bob.userId] });
  await bob.join(roomId);
  await alice.waitForJoin(roomId, bob.userId);
  const asked = await alice.send(roomId, REPORT, request(alice));
  const plain = await alice.send(roomId, "m.room.message", { body: "hello" });
  assert.equal((await alice.waitForReceipt(asked)).userId, account.userId);
  assert.equal((await alice.waitForReceipt(plain)).type, UNSTABLE);
  await alice.waitForResponse(asked);
  await fence(conversation, roomId);
  assert.equal(alice.receiptsFor(asked).length, 1);
  assert.deepEqual(bob.receiptsFor(asked), []);
  assert.deepEqual(
    server
      .receipts()
      .map(({ eventId, posted: times }) => [eventId === asked || eventId === plain, times])
      .slice(0, 2),
    [
      [true, 1],
      [true, 1],
    ],
  );
});

test("by default no receipt is sent in a public room, nor in one without encryption, and the request is answered all the same", async (t) => {
  const conversation = await startConversation(t, { bot: { yaml: YAML } });
  const { alice, room } = conversation;
  const open = await room({ encrypted: true, preset: "public_chat" });
  const plain = await room();
  const owed = await room({ encrypted: true });
  for (const roomId of [open, plain]) {
    const eventId = await alice.send(roomId, REPORT, request(alice));
    assert.equal((await alice.waitForResponse(eventId)).status, "success");
    assert.deepEqual(alice.receiptsFor(eventId), []);
  }
  const last = await fence(conversation, owed);
  assert.deepEqual(
    posted(conversation).map(([, eventId]) => eventId),
    [last],
    "one for the fence, and no other",
  );
});

test("the operator can widen receipts to all rooms, and switch them off", async (t) => {
  const conversation = await startConversation(t, { bot: { yaml: receiptsYaml("rooms: all") } });
  const { alice, room, bot, restart } = conversation;
  const open = await room({ preset: "public_chat" });
  await alice.waitForReceipt(await alice.send(open, REPORT, request(alice)));
  assert.equal(await bot.stop(), 0);
  const before = posted(conversation).length;
  await restart({ yaml: receiptsYaml("rooms: none") });
  const eventId = await alice.send(open, REPORT, request(alice));
  await alice.waitForResponse(eventId);
  assert.equal(await conversation.bot.stop(), 0);
  assert.equal(posted(conversation).length, before);
});

test("state events, the bot's own, and events from before its join get no receipt", async (t) => {
  const conversation = await startConversation(t, { bot: { yaml: receiptsYaml("rooms: all") } });
  const { server, alice, account } = conversation;
  const roomId = await alice.createRoom({ encrypted: true, historyVisibility: "shared" });
  const early = await alice.send(roomId, "m.room.message", { msgtype: "m.text", body: "before" }, { encrypted: false });
  await alice.invite(roomId, account.userId);
  await alice.waitForJoin(roomId, account.userId);
  await alice.waitForDevice(account.userId, account.deviceId);
  const state = await alice.sendState(roomId, "org.example.state", "", { x: 1 });
  const eventId = await alice.send(roomId, REPORT, request(alice));
  const { event } = await alice.waitForResponse(eventId);
  const own = event.eventId;
  await conversation.bot.line((line) => line.msg === "decided" && line["eventId"] === own, "its own answer was seen");
  await fence(conversation, roomId);
  const received = posted(conversation).map(([, id]) => id);
  assert.ok(received.includes(eventId));
  for (const [what, id] of Object.entries({ early, state, own })) assert.ok(!received.includes(id), what);
  assert.equal(server.receipts().filter((receipt) => receipt.eventId === eventId).length, 1);
});

test("an event that can't be decrypted gets no receipt, and one when its key comes", async (t) => {
  const conversation = await startConversation(t);
  const { alice, room, bot } = conversation;
  const roomId = await room({ encrypted: true });
  const held = await alice.sendHoldingKeys(roomId, REPORT, request(alice));
  await bot.line((line) => line["eventId"] === held.eventId && /^parked/.test(line.msg), "it was parked");
  const other = await room({ encrypted: true });
  await fence(conversation, other);
  assert.deepEqual(alice.receiptsFor(held.eventId), []);
  await held.releaseKeys();
  await alice.waitForReceipt(held.eventId);
  const copy = conversation.server.replay(roomId, held.eventId);
  await bot.line((line) => line["eventId"] === copy && line["reason"] === "replay", "the copy was known");
  await fence(conversation, other);
  assert.deepEqual(
    posted(conversation).filter(([, eventId]) => eventId === copy),
    [],
    "a copy of the ciphertext gets none",
  );
});

test("a homeserver that does not say that it takes receipts gets none, which is said once, and everything else works", async (t) => {
  const conversation = await startConversation(t, { server: { unstableFeatures: { "org.matrix.msc4089": false } } });
  const { alice, room, bot } = conversation;
  const roomId = await room({ encrypted: true });
  for (const n of [1, 2]) {
    const eventId = await alice.send(roomId, REPORT, { ...request(alice), n });
    assert.equal((await alice.waitForResponse(eventId)).status, "success");
  }
  assert.deepEqual(posted(conversation), []);
  const said = bot.lines.filter((line) => /receipts/.test(line.msg));
  assert.deepEqual(
    said.map(({ level, msg }) => [level, msg]),
    [["info", "no delivery receipts: the homeserver does not support them (MSC4089)"]],
  );
});

test("receipts that hang hold up no answer, in the same room or another", async (t) => {
  const conversation = await startConversation(t);
  const { server, alice, room } = conversation;
  const rooms = [await room({ encrypted: true }), await room({ encrypted: true })];
  const hanging = server.fault({ path: /\/receipt\//, times: Number.POSITIVE_INFINITY, action: { kind: "hang" } });
  for (let n = 0; n < 10; n += 1) await alice.send(rooms[0] ?? "", "org.example.flood", { n });
  await server.waitFor(() => hanging.hits >= 4, 20_000, "receipts that hang");
  for (const roomId of rooms) {
    const eventId = await alice.send(roomId, REPORT, request(alice));
    assert.equal((await alice.waitForResponse(eventId)).status, "success");
    assert.deepEqual(alice.receiptsFor(eventId), []);
  }
  hanging.release();
  hanging.remove();
  await fence(conversation, rooms[1] ?? "");
});

test("a receipt that fails is sent again, also by the next life of a bot that was killed", async (t) => {
  const conversation = await startConversation(t);
  const { server, alice, room, bot } = conversation;
  const roomId = await room({ encrypted: true });
  server.fault({ path: /\/receipt\//, times: 1, action: { kind: "rateLimited", retryAfterMs: 50 } });
  server.fault({ path: /\/receipt\//, times: 1, action: { kind: "answer", status: 502, body: "a proxy's page" } });
  await alice.waitForReceipt(await alice.send(roomId, REPORT, {}));
  const failing = server.fault({
    path: /\/receipt\//,
    times: Number.POSITIVE_INFINITY,
    action: { kind: "answer", status: 500, body: { errcode: "M_UNKNOWN" } },
  });
  const eventId = await alice.send(roomId, REPORT, request(alice));
  await alice.waitForResponse(eventId);
  await server.waitFor(() => failing.hits > 0, 20_000, "a receipt that fails");
  await bot.kill();
  failing.remove();
  assert.deepEqual(alice.receiptsFor(eventId), []);
  await conversation.restart();
  await alice.waitForReceipt(eventId);
  assert.equal(alice.responsesTo(eventId).length, 1);
});

test("a homeserver that does not take receipts is asked ever more rarely, however many wait", async (t) => {
  const conversation = await startConversation(t);
  const { server, alice, room } = conversation;
  const roomId = await room({ encrypted: true });
  const failing = server.fault({
    path: /\/receipt\//,
    times: Number.POSITIVE_INFINITY,
    action: { kind: "answer", status: 502, body: "a proxy's page" },
  });
  for (let n = 0; n < 20; n += 1) await alice.send(roomId, "org.example.flood", { n });
  const eventId = await alice.send(roomId, REPORT, request(alice));
  await alice.waitForResponse(eventId);
  assert.ok(failing.hits <= 12, `${failing.hits} attempts`);
  failing.remove();
  await alice.waitForReceipt(eventId, 60_000);
});

test("a receipt that is refused for good is dropped with its reason, and is no reason to stop", async (t) => {
  const conversation = await startConversation(t);
  const { server, alice, room, bot } = conversation;
  const roomId = await room({ encrypted: true });
  server.fault({ path: /\/receipt\//, action: { kind: "answer", status: 403, body: { errcode: "M_FORBIDDEN" } } });
  const refused = await alice.send(roomId, REPORT, {});
  const line = await bot.line((candidate) => candidate.msg === "receipt dropped", "the receipt was dropped");
  assert.deepEqual([line["reason"], line["eventId"]], ["refused", refused]);
  await fence(conversation, roomId);
});

test("where the operator prefers it the stable name is tried first, and not again after it was refused once", async (t) => {
  const conversation = await startConversation(t, { bot: { yaml: receiptsYaml("prefer_stable: true") } });
  const { alice, room } = conversation;
  const roomId = await room({ encrypted: true });
  for (const n of [1, 2, 3]) {
    const eventId = await alice.send(roomId, REPORT, { n });
    assert.equal((await alice.waitForReceipt(eventId)).type, UNSTABLE);
  }
  assert.deepEqual(
    posted(conversation).map(([type]) => type),
    ["m.delivery", UNSTABLE, UNSTABLE, UNSTABLE],
  );
});

for (const [server, status, body] of [
  ["Dendrite", 400, {}],
  ["tuwunel", 400, { errcode: "M_INVALID_PARAM" }],
  ["a server without the route", 404, { errcode: "M_UNRECOGNIZED" }],
] as const)
  test(`a stable name that is refused as ${server} does it is followed by the unstable one`, async (t) => {
    const conversation = await startConversation(t, { bot: { yaml: receiptsYaml("prefer_stable: true") } });
    const { alice, room } = conversation;
    const roomId = await room({ encrypted: true });
    conversation.server.fault({ path: /\/receipt\/m\.delivery\//, action: { kind: "answer", status, body } });
    assert.equal((await alice.waitForReceipt(await alice.send(roomId, REPORT, {}))).type, UNSTABLE);
  });

test("where the operator prefers it and the server knows it, receipts go by the stable name", async (t) => {
  const conversation = await startConversation(t, {
    bot: { yaml: receiptsYaml("prefer_stable: true") },
    server: { stableDeliveryType: true },
  });
  const { alice, room } = conversation;
  const roomId = await room({ encrypted: true });
  assert.equal((await alice.waitForReceipt(await alice.send(roomId, REPORT, {}))).type, "m.delivery");
});
