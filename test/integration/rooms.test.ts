/** Which rooms the bot goes to, what it says there, and when it goes again. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { SeenEvent } from "../../demo/sender/seenEvent.ts";
import type { Sender } from "../../demo/sender/sender.ts";
import { startConversation, type Conversation } from "../support/conversation.ts";

const yaml = (invites: string, more = ""): string => `
invites: { accept: ["@alice:localhost"], ${invites} }
handlers:
  - types: [org.example.report]
    steps: [archive]
${more}`;

const NOTICE = "This room is on the record.";

const noticesIn = (reader: Sender, roomId: string): readonly SeenEvent[] =>
  [...reader.events.values()].filter((event) => event.roomId === roomId && event.content["body"] === NOTICE);

/** The bot's membership event in the room, as somebody else sees it. */
async function departure({ alice, account }: Conversation, roomId: string): Promise<SeenEvent> {
  return await alice.waitFor(
    () =>
      [...alice.events.values()].find(
        ({ roomId: where, wire, content }) =>
          where === roomId && wire["state_key"] === account.userId && content["membership"] === "leave",
      ),
    20_000,
    "the bot's departure",
  );
}

const judged = ({ bot }: Conversation, roomId: string) =>
  bot.line((line) => line["roomId"] === roomId && /^invitation [a-z]+$/.test(line.msg), "the invitation was judged");

test("each room gets the notice once, encrypted where the room is, whatever is restarted", async (t) => {
  const bot = { yaml: yaml(`notice: "${NOTICE}"`) };
  const conversation = await startConversation(t, { bot });
  const { server, alice, account, room, restart } = conversation;
  const [encrypted, plain] = [await room({ encrypted: true }), await room()];
  const said = (roomId: string): Promise<SeenEvent> =>
    alice.waitFor(() => noticesIn(alice, roomId)[0], 20_000, "the notice");
  for (const [roomId, isEncrypted] of [
    [encrypted, true],
    [plain, false],
  ] as const) {
    const { type, content, encrypted: wasEncrypted, sender } = await said(roomId);
    assert.deepEqual(
      [type, content, sender],
      ["m.room.message", { msgtype: "m.notice", body: NOTICE }, account.userId],
    );
    assert.equal(wasEncrypted, isEncrypted);
  }
  assert.equal(await conversation.bot.stop(), 0);
  await restart();
  await said(await room());
  // A bot that comes back has been heard before.
  server.remove(plain, alice.userId, account.userId);
  await alice.invite(plain, account.userId);
  await alice.waitForJoin(plain, account.userId);
  const answered = await alice.send(plain, "org.example.report", {
    "m.request.status": { from_device: alice.deviceId },
  });
  await alice.waitForResponse(answered);
  await said(await room());
  assert.deepEqual([noticesIn(alice, encrypted).length, noticesIn(alice, plain).length], [1, 1]);
});

test("a notice whose reply is lost in a kill is not said twice", async (t) => {
  const conversation = await startConversation(t, { bot: { yaml: yaml(`notice: "${NOTICE}"`) } });
  const { server, alice, account, room, bot, restart } = conversation;
  const path = /\/send\//;
  const lost = server.fault({ path, userId: account.userId, action: { kind: "hang", after: true } });
  const roomId = await room({ encrypted: true });
  await server.waitFor(() => lost.hits > 0, 20_000, "the notice");
  await alice.waitFor(() => noticesIn(alice, roomId)[0], 20_000, "the notice");
  await bot.kill();
  await restart();
  await server.waitFor(() => server.requests({ path, userId: account.userId }).length >= 2, 20_000, "the second try");
  await conversation.bot.line((line) => line.msg === "notice sent", "the notice was sent");
  assert.equal(noticesIn(alice, roomId).length, 1);
});

test("a notice goes out although an answer is refused, and no answer waits for a notice that can't be sent", async (t) => {
  const conversation = await startConversation(t, { bot: { yaml: yaml(`notice: "${NOTICE}"`) } });
  const { server, alice, account, room, bot } = conversation;
  const path = /\/send\//;
  const held = server.fault({ path, userId: account.userId, action: { kind: "hang" } });
  const [first, second] = [await room(), await room()];
  await server.waitFor(() => held.hits > 0, 20_000, "a notice that hangs");
  for (const roomId of [first, second]) {
    const content = { "m.request.status": { from_device: alice.deviceId } };
    const eventId = await alice.send(roomId, "org.example.report", content);
    assert.equal((await alice.waitForResponse(eventId)).status, "success");
  }
  assert.equal(noticesIn(alice, second).length, 0, "one notice at a time");
  held.release();
  for (const roomId of [first, second])
    await alice.waitFor(() => noticesIn(alice, roomId)[0], 20_000, `the notice in ${roomId}`);
  assert.equal(await bot.stop(), 0);
});

test("with notice: false nothing is said, and switched on later it is said in rooms joined before", async (t) => {
  const conversation = await startConversation(t, { bot: { yaml: yaml("notice: false") } });
  const { server, alice, account, room, restart } = conversation;
  const roomId = await room();
  assert.equal(await conversation.bot.stop(), 0);
  assert.deepEqual(server.requests({ path: /\/send\//, userId: account.userId }), []);
  await restart({ yaml: yaml(`notice: "${NOTICE}"`) });
  await alice.waitFor(() => noticesIn(alice, roomId)[0], 20_000, "the notice");
});

test("without a word about it in the configuration each room is told that a record is kept", async (t) => {
  const { alice, account, room } = await startConversation(t, { bot: { yaml: yaml("") } });
  const roomId = await room({ encrypted: true });
  const event = await alice.waitFor(
    () =>
      [...alice.events.values()].find(
        ({ roomId: where, sender, type }) => where === roomId && sender === account.userId && type === "m.room.message",
      ),
    20_000,
    "the notice",
  );
  assert.match(String(event.content["body"]), /I keep a record of what is sent in this room/);
});

test("a public room is not joined, and joined where the operator allows it", async (t) => {
  const conversation = await startConversation(t, { bot: { yaml: yaml("notice: false") } });
  const { server, alice, account } = conversation;
  const roomId = await alice.createRoom({ preset: "public_chat", invite: [account.userId] });
  assert.equal((await judged(conversation, roomId))["reason"], "public_room");
  assert.equal(server.membership(roomId, account.userId), "invite", "it is left alone");
  assert.equal(await conversation.bot.stop(), 0);
  await conversation.restart({ yaml: yaml("notice: false, public_rooms: true") });
  const other = await alice.createRoom({ preset: "public_chat", invite: [account.userId] });
  await alice.waitForJoin(other, account.userId);
});

test("a public room whose invitation hides that it is one is left as soon as it is seen, before anything is said there", async (t) => {
  const conversation = await startConversation(t, { bot: { yaml: yaml(`notice: "${NOTICE}"`) } });
  const { server, alice, account } = conversation;
  const roomId = await alice.createRoom({ preset: "public_chat" });
  server.hide(roomId, account.userId, "m.room.join_rules");
  const hold = server.fault({ path: /\/join\//, userId: account.userId, action: { kind: "hang" } });
  await alice.invite(roomId, account.userId);
  await server.waitFor(() => hold.hits > 0, 20_000, "the join");
  server.unhide(roomId, account.userId, "m.room.join_rules");
  hold.release();
  const { content } = await departure(conversation, roomId);
  assert.match(String(content["reason"]), /anybody may join/);
  assert.equal(await conversation.bot.stop(), 0);
  assert.deepEqual(server.requests({ path: /\/send\//, userId: account.userId }), []);
});

test("a room that becomes public between its invitation and the join is left as soon as that is seen", async (t) => {
  const conversation = await startConversation(t, { bot: { yaml: yaml("notice: false") } });
  const { server, alice, account } = conversation;
  const hold = server.fault({ path: /\/join\//, userId: account.userId, action: { kind: "hang" } });
  const roomId = await alice.createRoom({ invite: [account.userId] });
  await server.waitFor(() => hold.hits > 0, 20_000, "the join");
  await alice.sendState(roomId, "m.room.join_rules", "", { join_rule: "public" });
  hold.release();
  assert.match(String((await departure(conversation, roomId)).content["reason"]), /anybody may join/);
});

test("with as many rooms as allowed further invitations are not accepted", async (t) => {
  const conversation = await startConversation(t, { bot: { yaml: yaml("notice: false, max_rooms: 1") } });
  const { server, alice, account, room } = conversation;
  const first = await room();
  const second = await alice.createRoom({ invite: [account.userId] });
  assert.equal((await judged(conversation, second))["reason"], "too_many_rooms");
  assert.equal(server.membership(second, account.userId), "invite");
  server.remove(first, alice.userId, account.userId);
  await alice.waitForJoin(await alice.createRoom({ invite: [account.userId] }), account.userId);
});

test("beyond so many within an hour invitations wait, also over a restart, and are not lost", async (t) => {
  const bot = { yaml: yaml("notice: false, max_per_hour: 2") };
  const conversation = await startConversation(t, { bot });
  const { server, alice, account, room, restart } = conversation;
  for (const _ of [1, 2]) await room();
  const third = await alice.createRoom({ invite: [account.userId] });
  const waits = "invitation not answered yet";
  const line = await conversation.bot.line(({ msg, roomId }) => msg === waits && roomId === third, "it waits");
  const waitMs = Number(line["waitMs"]);
  assert.ok(waitMs > 3_000_000 && waitMs <= 3_600_000, String(waitMs));
  assert.equal(await conversation.bot.stop(), 0);
  assert.equal(server.membership(third, account.userId), "invite");
  await restart({ yaml: yaml("notice: false, max_per_hour: 2") });
  assert.equal(await conversation.bot.stop(), 0);
  assert.equal(server.membership(third, account.userId), "invite", "a restart starts no new hour");
});

const declined: readonly [string, string, string][] = [
  ["true", "I do not join rooms that anybody may join.", "public_chat"],
  ['"Ask records@example.org."', "I do not join rooms that anybody may join. Ask records@example.org.", "public_chat"],
];
for (const [choice, reason, preset] of declined)
  test(`with decline: ${choice} the inviter is told why`, async (t) => {
    const conversation = await startConversation(t, { bot: { yaml: yaml(`notice: false, decline: ${choice}`) } });
    const { server, alice, account } = conversation;
    server.fault({ path: /\/leave$/, userId: account.userId, action: { kind: "rateLimited", retryAfterMs: 50 } });
    const roomId = await alice.createRoom({ preset, invite: [account.userId] });
    assert.equal((await departure(conversation, roomId)).content["reason"], reason);
    assert.equal(server.membership(roomId, account.userId), "leave");
    await judged(conversation, roomId);
    const said = conversation.bot.lines.filter(
      (line) => line["roomId"] === roomId && /declined|ignored/.test(line.msg),
    );
    assert.deepEqual(
      said.map(({ msg }) => msg),
      ["invitation declined"],
    );
  });

test("a stranger's invitation is declined where the operator wants it, and a refusal of the refusal ends nothing", async (t) => {
  const conversation = await startConversation(t, { bot: { yaml: yaml("notice: false, decline: true") } });
  const { server, sender, account, room } = conversation;
  const mallory = await sender("mallory");
  const fault = { path: /\/leave$/, userId: account.userId };
  server.fault({ ...fault, action: { kind: "answer", status: 403, body: { errcode: "M_FORBIDDEN" } } });
  const kept = await mallory.createRoom({ invite: [account.userId] });
  assert.equal((await judged(conversation, kept)).msg, "invitation ignored");
  const gone = await mallory.createRoom({ invite: [account.userId] });
  assert.equal((await judged(conversation, gone))["reason"], "inviter_not_allowed");
  await server.waitFor(() => server.membership(gone, account.userId) === "leave", 20_000, "the refusal");
  await room();
});

async function emptied(t: TestContext, more: string): Promise<{ conversation: Conversation; roomId: string }> {
  const conversation = await startConversation(t, { bot: { yaml: yaml("notice: false", more) } });
  const roomId = await conversation.room({ encrypted: true });
  return { conversation, roomId };
}

test("a room where nobody else is any more is left, and one where somebody is invited is not", async (t) => {
  const { conversation, roomId } = await emptied(t, "rooms: { leave_when_alone: 0 }\n");
  const { server, alice, account, bot, room, sender } = conversation;
  const bob = await sender("bob");
  const waiting = await room({ invite: [bob.userId] });
  server.leave(waiting, alice.userId);
  server.leave(roomId, alice.userId);
  const line = await bot.line((candidate) => candidate.msg === "left a room", "the room was left");
  assert.deepEqual([line["roomId"], line["reason"]], [roomId, "alone"]);
  assert.equal(server.membership(roomId, account.userId), "leave");
  assert.equal(server.membership(waiting, account.userId), "join");
});

test("before a room is left for being empty the homeserver is asked, and somebody who is there after all keeps the bot", async (t) => {
  const { conversation, roomId } = await emptied(t, "rooms: { leave_when_alone: 0 }\n");
  const { server, alice, account, bot } = conversation;
  const asked = server.fault({ path: /\/joined_members$/, action: { kind: "hang" } });
  server.leave(roomId, alice.userId);
  await server.waitFor(() => asked.hits > 0, 20_000, "the question");
  const bob = await conversation.sender("bob");
  // Into the room behind the bot's back: it learns of him by the answer to its question.
  server.append(roomId, {
    type: "m.room.member",
    sender: bob.userId,
    stateKey: bob.userId,
    content: { membership: "join" },
  });
  asked.release();
  // What is decided about a room that is empty in truth is decided after that.
  const other = await conversation.room();
  server.leave(other, alice.userId);
  const line = await bot.line((candidate) => candidate.msg === "left a room", "a room was left");
  assert.equal(line["roomId"], other);
  assert.equal(server.membership(roomId, account.userId), "join");
});

test("by default an empty room is kept for a while", async (t) => {
  const { conversation, roomId } = await emptied(t, "");
  const { server, alice, account, bot } = conversation;
  server.leave(roomId, alice.userId);
  await bot.line((line) => line.msg === "decided" && line["roomId"] === roomId, "the departure was seen");
  await conversation.alice.waitForJoin(await alice.createRoom({ invite: [account.userId] }), account.userId);
  assert.equal(await bot.stop(), 0);
  assert.equal(server.membership(roomId, account.userId), "join");
});

test("invitations of strangers whose refusals hang hold up no join", async (t) => {
  const conversation = await startConversation(t, { bot: { yaml: yaml("notice: false, decline: true") } });
  const { server, sender, account, room } = conversation;
  const hanging = server.fault({
    path: /\/leave$/,
    userId: account.userId,
    times: Number.POSITIVE_INFINITY,
    action: { kind: "hang" },
  });
  const mallory = await sender("mallory");
  for (let n = 0; n < 10; n += 1) await mallory.createRoom({ invite: [account.userId] });
  await server.waitFor(() => hanging.hits > 0, 20_000, "a refusal that hangs");
  await room();
});

test("a join that fails because the homeserver is away is tried ever more rarely, and by a reload no sooner", async (t) => {
  const { server, alice, account, bot } = await startConversation(t, { bot: { yaml: yaml("notice: false") } });
  const path = /\/join\//;
  server.fault({ path, times: 3, action: { kind: "answer", status: 502, body: "<html>" } });
  server.fault({ path, times: 1, action: { kind: "rateLimited", retryAfterMs: 600_000 } });
  const roomId = await alice.createRoom({ invite: [account.userId] });
  const waits = (): number[] =>
    bot.lines.filter(({ msg }) => msg === "invitation not answered yet").map((line) => Number(line["waitMs"]));
  await bot.line((line) => Number(line["waitMs"]) > 100_000, "the wait that the server asks for", 30_000);
  const [first = 0, second = 0, third = 0, asked = 0] = waits();
  assert.ok(first <= 500 && second > first && second <= 1_000 && third > second && third <= 2_000, String(waits()));
  assert.ok(asked > 590_000);
  const before = server.requests({ path, userId: account.userId }).length;
  bot.child.kill("SIGHUP");
  await bot.line(({ msg }) => msg === "the configuration was reloaded", "the reload");
  assert.equal(await bot.stop(), 0);
  assert.equal(server.requests({ path, userId: account.userId }).length, before);
  assert.equal(server.membership(roomId, account.userId), "invite");
});

test("a room that was left before it could be told is told after the return, whatever the homeserver said meanwhile", async (t) => {
  const conversation = await startConversation(t, { bot: { yaml: yaml(`notice: "${NOTICE}"`) } });
  const { server, alice, account, bot } = conversation;
  const path = /\/send\//;
  server.fault({
    path,
    userId: account.userId,
    action: { kind: "answer", status: 403, body: { errcode: "M_FORBIDDEN" } },
  });
  const roomId = await conversation.room();
  await bot.line(({ msg }) => /^the notice could not be sent/.test(msg), "the refusal");
  assert.deepEqual(noticesIn(alice, roomId), []);
  server.remove(roomId, alice.userId, account.userId);
  await alice.invite(roomId, account.userId);
  await alice.waitFor(() => noticesIn(alice, roomId)[0], 20_000, "the notice");
});

test("a notice that waits is not said any more once it is switched off", async (t) => {
  const conversation = await startConversation(t, { bot: { yaml: yaml(`notice: "${NOTICE}"`) } });
  const { server, alice, account, room, restart } = conversation;
  const path = /\/send\//;
  const lost = server.fault({
    path,
    userId: account.userId,
    times: Number.POSITIVE_INFINITY,
    action: { kind: "dropBefore" },
  });
  const roomId = await room();
  await server.waitFor(() => lost.hits > 0, 20_000, "the notice");
  assert.equal(await conversation.bot.stop(), 0);
  lost.remove();
  await restart({ yaml: yaml("notice: false") });
  const eventId = await alice.send(roomId, "org.example.report", {
    "m.request.status": { from_device: alice.deviceId },
  });
  await alice.waitForResponse(eventId);
  assert.equal(await conversation.bot.stop(), 0);
  assert.deepEqual(noticesIn(alice, roomId), []);
});

test("a room that can't be left holds up no notice and no other departure", async (t) => {
  const more = "rooms: { leave_when_alone: 0 }\n";
  const conversation = await startConversation(t, { bot: { yaml: yaml(`notice: "${NOTICE}"`, more) } });
  const { server, alice, account, bot, room } = conversation;
  const [stuck, other] = [await room(), await room()];
  const hanging = server.fault({ path: /\/joined_members$/, action: { kind: "hang" } });
  server.leave(stuck, alice.userId);
  await server.waitFor(() => hanging.hits > 0, 20_000, "a departure that hangs");
  const next = await room();
  await alice.waitFor(() => noticesIn(alice, next)[0], 20_000, "the notice");
  server.leave(other, alice.userId);
  const line = await bot.line((candidate) => candidate.msg === "left a room", "the other room was left");
  assert.equal(line["roomId"], other);
  assert.equal(server.membership(stuck, account.userId), "join");
});

test("a room that the bot has left and comes back to is told when it is back", async (t) => {
  const conversation = await startConversation(t, { bot: { yaml: yaml(`notice: "${NOTICE}"`) } });
  const { server, alice, account } = conversation;
  const hold = server.fault({ path: /\/join\//, userId: account.userId, action: { kind: "hang" } });
  const roomId = await alice.createRoom({ invite: [account.userId] });
  await server.waitFor(() => hold.hits > 0, 20_000, "the join");
  await alice.sendState(roomId, "m.room.join_rules", "", { join_rule: "public" });
  hold.release();
  await departure(conversation, roomId);
  await alice.sendState(roomId, "m.room.join_rules", "", { join_rule: "invite" });
  await alice.invite(roomId, account.userId);
  await alice.waitFor(() => noticesIn(alice, roomId)[0], 20_000, "the notice");
});
