/** Encryption takes time: the room key has to be shared first. Whether there is still time to send is asked again after it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../src/clock.ts";
import { handlerOf, startLocalBot } from "../support/localBot.ts";

const LIFETIME_MS = 60_000;

test("an answer whose encryption takes until after the last moment to start is not sent any more", async (t) => {
  let skippedMs = 0;
  const clock = { ...systemClock, now: () => Date.now() + skippedMs };
  const { server, account, alice, room, ask, said } = await startLocalBot(
    t,
    [handlerOf("quick", async () => ({ status: "success" }))],
    { clock },
  );
  const roomId = await room({ encrypted: true });
  const keyShares = { path: /\/sendToDevice\//, userId: account.userId };
  const hanging = server.fault({ ...keyShares, action: { kind: "hang" } });
  const eventId = await ask(roomId, "quick", LIFETIME_MS);
  await server.waitFor(() => hanging.hits === 1, 60_000, "the sharing of the key");
  skippedMs = LIFETIME_MS;
  hanging.release();
  const outcome = await said(/^answer (sent|dropped)$/);
  assert.deepEqual([outcome.msg, outcome["eventId"], outcome["reason"]], ["answer dropped", eventId, "expired"]);
  assert.equal(server.requests(keyShares)[0]?.status, 200, "the key was shared before");
  assert.deepEqual(server.requests({ path: /\/rooms\/.*\/send\//, userId: account.userId }), []);
  assert.equal(alice.responsesTo(eventId).length, 0);
});
