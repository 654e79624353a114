import assert from "node:assert/strict";
import { test } from "node:test";
import { startConversation } from "../support/conversation.ts";

const REQUEST = "m.request.status";

test("a request in an encrypted room is answered with success, encrypted, once, and is in the record", async (t) => {
  const { server, alice, room, bot } = await startConversation(t);
  const roomId = await room({ encrypted: true });
  const eventId = await alice.send(roomId, "org.example.report", {
    [REQUEST]: { from_device: alice.deviceId, lifetime: 90_000 },
    place: "x",
  });
  const response = await alice.waitForResponse(eventId);
  assert.equal(response.status, "success");
  assert.equal(response.fromDevice, "DOCKETBOT");
  assert.equal(response.event.encrypted, true);
  assert.equal(
    server.eventsIn(roomId).filter((event) => JSON.stringify(event).includes("m.response.status")).length,
    0,
  );
  assert.equal(await bot.stop(), 0);
});
