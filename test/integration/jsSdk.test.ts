/** matrix-js-sdk on the development homeserver: a client that others wrote takes it for one. test/synapse has more of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startConversation } from "../support/conversation.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";
import { launchJsSdk, PeerProcess } from "../support/peers/peerProcess.ts";

test("matrix-js-sdk, which gives keys to signed devices alone, asks the bot on the development homeserver and reads its answer", async (t) => {
  const { server, account } = await startConversation(t);
  const carol = server.createAccount("carol", "not a secret");
  const peer = await PeerProcess.start({ homeserver: server.url, ...carol, store: temporaryDirectory(t) }, launchJsSdk);
  t.after(() => peer.kill());
  // It gives its keys to signed devices alone, and so does the bot.
  await peer.order("setUpIdentity", { password: "not a secret", backup: false });
  await peer.order("isolate", { signedOnly: true });
  const { userId, deviceId } = account;
  const roomId = await peer.order("createRoom", { invite: [userId], encryption: {} });
  await peer.order("waitForMember", { roomId, userId });
  await peer.order("waitForDevice", { roomId, userId, deviceId });
  await peer.order("waitForSigned", { userId, deviceId });
  const eventId = await peer.send(roomId, "org.example.report", {
    "m.request.status": { from_device: carol.deviceId },
  });
  const { status, event } = await peer.answerTo(eventId);
  assert.deepEqual([status, event.encrypted, event.senderDevice], ["success", true, deviceId]);
});
