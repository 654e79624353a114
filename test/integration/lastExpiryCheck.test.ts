/** Encryption takes time: the room key has to be shared first. Whether there is still time to send is asked again after it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_YAML } from "../support/botProcess.ts";
import { startConversation } from "../support/conversation.ts";

test("an answer whose encryption takes until after the last moment to start is not sent any more", async (t) => {
  const yaml = `${DEFAULT_YAML}responses:\n  send_margin: 2s\n`;
  const { server, alice, room, account, bot } = await startConversation(t, { bot: { yaml } });
  const roomId = await room({ encrypted: true });
  // The last moment to start is 2.5 s after the request, its end 4.5 s: sharing the key ends between the two.
  const keyShares = { path: /\/sendToDevice\//, userId: account.userId };
  server.fault({ ...keyShares, times: Infinity, action: { kind: "delay", ms: 2_700 } });
  const content = { "m.request.status": { from_device: alice.deviceId, lifetime: 4_500 } };
  const eventId = await alice.send(roomId, "org.example.report", content);
  const outcome = await bot.line(
    (line) => line["eventId"] === eventId && /^answer (sent|dropped)$/.test(line.msg),
    "the answer was sent or dropped",
  );
  assert.equal(outcome["reason"], "expired");
  assert.equal(server.requests(keyShares)[0]?.status, 200, "the key was shared before");
  assert.deepEqual(server.requests({ path: /\/rooms\/.*\/send\//, userId: account.userId }), []);
  assert.equal(alice.responsesTo(eventId).length, 0);
});
