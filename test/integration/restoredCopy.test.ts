/** A data directory that was put back from an older copy is noticed, uses no key a second time, and is made whole by one command. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startConversation } from "../support/conversation.ts";
import { RestoredStory } from "../support/restoredStory.ts";

const EACH_MESSAGE_A_KEY = { encrypted: true, encryption: { rotation_period_msgs: 1 } } as const;

test("a restored copy is noticed by its own later messages, uses no message index twice, and answers nothing twice", async (t) => {
  const scene = await startConversation(t);
  const story = new RestoredStory(scene);
  const roomId = await scene.room({ encrypted: true });
  await story.answered(roomId);
  await story.copy();
  await scene.restart();
  await story.answered(roomId);
  await story.answered(roomId);
  await story.putBack();
  scene.server.forgetTransactions();
  await scene.restart();
  await story.noticed();
  await story.answered(roomId);
  assert.match((await story.notes()).join("\n"), /older copy.*`docket data restored`/);
  await story.assertNothingTwice([roomId]);
  assert.equal(await scene.bot.stop(), 0);
});

test("docket data restored ends what a copy would repeat: old and new devices read the bot, and the bot reads them", async (t) => {
  const scene = await startConversation(t);
  const story = new RestoredStory(scene);
  const rooms = [await scene.room({ encrypted: true }), await scene.room(EACH_MESSAGE_A_KEY)] as const;
  for (const roomId of rooms) await story.answered(roomId);
  await story.copy();
  await scene.restart();
  const carol = await story.stranger("carol", rooms[0]);
  for (const roomId of [...rooms, ...rooms, ...rooms]) await story.answered(roomId);
  await story.answered(rooms[0], carol);
  await story.putBack();
  scene.server.forgetTransactions();
  const outcome = await story.restored();
  assert.deepEqual([outcome.code, outcome.stderr], [0, ""]);
  assert.match(outcome.stdout, /^Ended 2 room keys .* and [1-9]\d* channels? to other devices/);
  assert.match(outcome.stdout, /Took back (49|50) one-time keys .* uploaded [1-9]\d* new ones\. No message waits/);
  assert.match(outcome.stdout, /No new device is needed/);
  await scene.restart();
  const dave = await story.stranger("dave", rooms[0]);
  for (const asker of [scene.alice, carol, dave]) await story.answered(rooms[0], asker);
  for (const roomId of [rooms[1], rooms[1]]) await story.answered(roomId);
  assert.equal(story.saidNothing, true, "it is over");
  assert.deepEqual(
    (await story.notes()).filter((note) => note.includes("older copy")),
    [],
  );
  await story.assertNothingTwice(rooms);
  assert.equal(await scene.bot.stop(), 0);
});
