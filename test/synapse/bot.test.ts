/** The bot's daily life on a real homeserver: invitations, notices, answers, restarts on both sides, being thrown out, gaps. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { SeenEvent } from "../../demo/sender/seenEvent.ts";
import type { Sender } from "../../demo/sender/sender.ts";
import type { JsonObject } from "../../src/protocol/json.ts";
import { docket } from "../support/docketCommand.ts";
import { RestoredStory } from "../support/restoredStory.ts";
import { startSynapse } from "./synapse.ts";
import { SynapseConversation } from "./synapseConversation.ts";
import type { Synapse } from "./synapseServer.ts";

const PATIENCE_MS = 60_000;
const NOTICE = "This room is on the record.";
const yaml = (alice: string): string => `
invites:
  accept: ["${alice}"]
  notice: "${NOTICE}"
handlers:
  - types: [org.example.report]
    steps: [archive]
`;

let server: Synapse;
before(async () => {
  server = await startSynapse();
});
after(() => server.stop());

const noticesIn = (reader: Sender, roomId: string): readonly SeenEvent[] =>
  [...reader.events.values()].filter((event) => event.roomId === roomId && event.content["body"] === NOTICE);

async function ready({ bot }: SynapseConversation): Promise<boolean> {
  return (await fetch(`${await bot.operationsUrl()}/readyz`)).ok;
}

test("in encrypted and plain rooms the bot says once what it does there, and answers as the room is", async (t) => {
  const conversation = await SynapseConversation.start(t, server, yaml);
  const { alice, account } = conversation;
  const rooms = [
    { roomId: await conversation.room({ encrypted: true }), encrypted: true },
    { roomId: await conversation.room(), encrypted: false },
  ];
  const talk = async (): Promise<void> => {
    for (const { roomId, encrypted } of rooms) {
      const { status, event, fromDevice } = await alice.waitForResponse(await conversation.ask(roomId));
      assert.deepEqual([status, event.encrypted, fromDevice], ["success", encrypted, account.deviceId]);
      const notice = await alice.waitFor(() => noticesIn(alice, roomId)[0], PATIENCE_MS, "the notice");
      assert.deepEqual([notice.sender, notice.encrypted], [account.userId, encrypted]);
    }
  };
  await talk();
  assert.equal(await conversation.bot.stop(), 0);
  await conversation.restart();
  await talk();
  // A room of now is told last: what was to be said in the others has been said by then.
  const last = await conversation.room();
  await alice.waitFor(() => noticesIn(alice, last)[0], PATIENCE_MS, "the notice in the last room");
  for (const { roomId } of rooms) assert.equal(noticesIn(alice, roomId).length, 1);
});

test("an invitation by somebody else, or to a public room, is not accepted", async (t) => {
  const conversation = await SynapseConversation.start(t, server, yaml);
  const { alice, account, bot } = conversation;
  const mallory = await conversation.sender("mallory");
  const refused = [
    [await mallory.createRoom({ invite: [account.userId] }), "inviter_not_allowed"],
    [await alice.createRoom({ preset: "public_chat", invite: [account.userId] }), "public_room"],
  ] as const;
  for (const [roomId, reason] of refused) {
    const ignored = await bot.line(
      (line) => line["roomId"] === roomId && /^invitation [a-z]+$/.test(line.msg),
      "the invitation was judged",
    );
    assert.deepEqual([ignored.msg, ignored["reason"]], ["invitation ignored", reason]);
  }
  assert.equal(mallory.membership(refused[0][0], account.userId), "invite");
  assert.equal(alice.membership(refused[1][0], account.userId), "invite");
});

test("the profile shows what the device understands, and the bot is ready", async (t) => {
  const conversation = await SynapseConversation.start(t, server, yaml);
  const { alice, account, bot } = conversation;
  await bot.line((line) => line.msg === "capabilities are published in the profile", "the capabilities were published");
  const field = await alice.profileField(account.userId, "de.gematik.msc4401.client_capability.docketbot");
  assert.deepEqual(field, { events: [{ type: "org.example.report" }] });
  await bot.line((line) => line.msg === "ready", "it was ready");
  assert(await ready(conversation));
});

test("what was asked while the bot was down is answered if there is time, and recorded in any case", async (t) => {
  const conversation = await SynapseConversation.start(t, server, yaml);
  const { alice, directory } = conversation;
  const roomId = await conversation.room({ encrypted: true });
  assert.equal(await conversation.bot.stop(), 0);
  const [over, inTime] = [await conversation.ask(roomId, 1), await conversation.ask(roomId)];
  await conversation.restart();
  assert.equal((await alice.waitForResponse(inTime)).status, "success");
  assert.equal((await conversation.decided(over))["reason"], "expired");
  assert.deepEqual(alice.responsesTo(over), []);
  const shown = await docket("record", "show", over, "--config", join(directory, "config.yaml"));
  assert.equal((JSON.parse(shown.stdout) as { clear: { type: string } }).clear.type, "org.example.report");
});

test("thrown out, the bot has what came before in its record; called back, it answers and does not repeat its notice", async (t) => {
  const conversation = await SynapseConversation.start(t, server, yaml);
  const { alice, account, directory } = conversation;
  const roomId = await conversation.room({ encrypted: true });
  await alice.waitFor(() => noticesIn(alice, roomId)[0], PATIENCE_MS, "the notice");
  assert.equal(await conversation.bot.stop(), 0);
  const before = await conversation.ask(roomId);
  await conversation.moderate(roomId, "kick");
  await alice.waitFor(() => alice.membership(roomId, account.userId) === "leave" || undefined, PATIENCE_MS, "the kick");
  await conversation.restart();
  await conversation.decided(before);
  const shown = await docket("record", "show", before, "--config", join(directory, "config.yaml"));
  assert.equal((JSON.parse(shown.stdout) as { clear: { type: string } }).clear.type, "org.example.report");
  await conversation.moderate(roomId, "invite");
  await alice.waitForJoin(roomId, account.userId);
  const { status, event } = await alice.waitForResponse(await conversation.ask(roomId));
  assert.deepEqual([status, event.encrypted], ["success", true]);
  const last = await conversation.room();
  await alice.waitFor(() => noticesIn(alice, last)[0], PATIENCE_MS, "the notice in another room");
  assert.equal(noticesIn(alice, roomId).length, 1);
});

test("more than one sync holds is noted as a gap, and what came after it is answered", async (t) => {
  const conversation = await SynapseConversation.start(t, server, yaml);
  const { alice } = conversation;
  const roomId = await conversation.room();
  await alice.waitForResponse(await conversation.ask(roomId));
  assert.equal(await conversation.bot.stop(), 0);
  const say = (count: number): JsonObject => ({ msgtype: "m.text", body: String(count) });
  const talk = Array.from({ length: 120 }, (_, count) => alice.sendWire(roomId, "m.room.message", say(count)));
  await Promise.all(talk);
  const asked = await conversation.ask(roomId);
  const bot = await conversation.restart();
  assert.equal((await alice.waitForResponse(asked)).status, "success");
  const gap = await bot.line((line) => /the gap is recorded$/.test(line.msg), "the gap was said");
  assert.equal(gap["roomId"], roomId);
  const metrics = await (await fetch(`${await bot.operationsUrl()}/metrics`)).text();
  assert.match(metrics, /^docket_open_gaps 1$/m);
});

test("a homeserver that is started anew finds the bot going on, and its health has said that it was away", async (t) => {
  const conversation = await SynapseConversation.start(t, server, yaml);
  const { alice, bot } = conversation;
  const roomId = await conversation.room({ encrypted: true });
  await bot.line((line) => line.msg === "ready", "it was ready");
  await server.down();
  await bot.line((line) => line.msg === "not ready any more", "it noticed");
  assert.equal(await ready(conversation), false);
  await server.up();
  assert.equal((await alice.waitForResponse(await conversation.ask(roomId))).status, "success");
});

test("a restored copy is noticed and repeats nothing, and docket data restored makes it readable for all", async (t) => {
  const scene = await SynapseConversation.start(t, server, yaml);
  const story = new RestoredStory(scene);
  const rooms = [
    await scene.room({ encrypted: true }),
    await scene.room({ encrypted: true, encryption: { rotation_period_msgs: 1 } }),
  ] as const;
  for (const roomId of rooms) await story.answered(roomId);
  await story.copy();
  await scene.restart();
  const carol = await story.stranger("carol", rooms[0]);
  for (const roomId of [...rooms, ...rooms]) await story.answered(roomId);
  await story.answered(rooms[0], carol);
  await story.putBack();
  await scene.restart();
  await story.noticed();
  assert.equal(await scene.bot.stop(), 0);
  const outcome = await story.restored();
  assert.deepEqual([outcome.code, outcome.stderr], [0, ""]);
  assert.match(outcome.stdout, /uploaded [1-9]\d* new ones.*\n.*No new device is needed/);
  await scene.restart();
  const dave = await story.stranger("dave", rooms[0]);
  for (const asker of [scene.alice, carol, dave]) await story.answered(rooms[0], asker);
  await story.answered(rooms[1]);
  assert.equal(story.saidNothing, true, "it is over");
  await story.assertNothingTwice(rooms);
  assert.equal(await scene.bot.stop(), 0);
});
