/**
 * Clients that share no code with the bot's own peer talk to it on a real homeserver: matrix-nio, with another implementation of the
 * encryption in another language, and matrix-js-sdk. What they send the bot reads, and what it answers they read.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { RESPONSE_TYPES, asObject, type Dialect } from "../../demo/sender/seenEvent.ts";
import type { JsonObject } from "../../src/protocol/json.ts";
import { describeInterop } from "../interop/interopSuite.ts";
import type { PeerProcess } from "../support/peers/peerProcess.ts";
import { LIBRARIES, Stage } from "./peers/stage.ts";

const REQUESTS: Readonly<Record<Dialect, string>> = {
  stable: "m.request.status",
  msc4300: "de.gematik.msc4300.request.status",
  gematik: "de.gematik.request.status",
};
const DIALECTS = Object.keys(REQUESTS) as Dialect[];

let stage: Stage;
before(async () => {
  stage = await Stage.start();
});
after(() => stage.stop());

function request(peer: PeerProcess, dialect: Dialect = "stable"): JsonObject {
  return { [REQUESTS[dialect]]: { from_device: peer.account.deviceId, lifetime: 90_000 } };
}

/** Sends a report that is in order. @returns its event ID */
async function report(peer: PeerProcess, roomId: string): Promise<string> {
  return await peer.send(roomId, "org.example.report", { place: "Bridge Street 3", ...request(peer) });
}

for (const library of LIBRARIES) {
  test(`${library} asks in every dialect, and reads success, an error for what is invalid, and one for an unknown type`, async () => {
    const peer = await stage.peer(library);
    const roomId = await stage.room(peer);
    const asks = [
      { type: "org.example.report", content: { place: "Bridge Street 3" }, expected: ["success", null] },
      { type: "org.example.report", content: { place: 3 }, expected: ["error", "invalid_content"] },
      { type: "org.example.unheard", content: { place: "nowhere" }, expected: ["error", "unknown_type"] },
    ] as const;
    const valid = new Map<string, JsonObject>();
    for (const dialect of DIALECTS) {
      const sent: string[] = [];
      for (const { type, content } of asks)
        sent.push(await peer.send(roomId, type, { ...content, ...request(peer, dialect) }));
      for (const [place, eventId] of sent.entries()) {
        const answer = await peer.answerTo(eventId);
        assert.equal(answer.event.type, RESPONSE_TYPES[dialect]);
        assert.deepEqual([answer.status, answer.code], asks[place]?.expected);
        assert.equal(answer.fromDevice, stage.bot.deviceId);
        await stage.assertEncryptedByBot(peer, answer.event);
        assert.equal((await stage.onTheWire(peer, roomId, eventId)).type, "m.room.encrypted", "the peer encrypts too");
      }
      assert.deepEqual(
        sent.map((eventId) => peer.answersTo(eventId).length),
        [1, 1, 1],
      );
      valid.set(sent[0] ?? "", { place: "Bridge Street 3", ...request(peer, dialect) });
    }
    const record = await stage.recordOf(roomId);
    for (const [eventId, content] of valid) {
      const clear = record.get(eventId);
      assert.deepEqual([clear?.["type"], clear?.["content"]], ["org.example.report", content]);
    }
  });

  test(`${library} and the bot go on as they were after each other's restart, and the keys rotate meanwhile`, async () => {
    let peer = await stage.peer(library);
    const roomId = await stage.room(peer, { encryption: { rotation_period_msgs: 2 } });
    const sessions = new Set<string | null>();
    const talk = async (times: number): Promise<string> => {
      let eventId = "";
      for (let time = 0; time < times; time += 1) {
        eventId = await report(peer, roomId);
        const { status, event } = await peer.answerTo(eventId);
        assert.equal(status, "success");
        await stage.assertEncryptedByBot(peer, event);
        sessions.add(event.sessionId);
      }
      return eventId;
    };
    const last = await talk(5);
    assert(sessions.size >= 3, `after two messages comes a new key, and five took ${sessions.size}`);
    peer = await stage.restartPeer(library);
    await talk(2);
    if (library === "matrix-js-sdk") {
      // It follows from the start, with what its store has.
      assert.equal((await peer.answerTo(last)).status, "success", "the answer of before is still readable");
    }
    await stage.restartBot();
    await talk(3);
  });

  test(`${library} on two devices of one account: each reads the answer, whichever of them asked`, async (t) => {
    const [first, second] = [await stage.peer(library), await stage.secondDevice(t, library)];
    const roomId = await stage.room(first);
    await stage.meet(second, roomId);
    for (const [asking, other] of [
      [first, second],
      [second, first],
    ] as const) {
      const { userId, deviceId } = other.account;
      await asking.order("waitForDevice", { roomId, userId, deviceId });
      const eventId = await report(asking, roomId);
      for (const reader of [asking, other]) {
        const answer = await reader.answerTo(eventId);
        assert.equal(answer.status, "success");
        await stage.assertEncryptedByBot(reader, answer.event);
      }
      assert.equal((await other.readable(eventId)).senderDevice, asking.account.deviceId);
    }
  });

  test(`a request of ${library} whose key comes late is answered when it comes`, async () => {
    const peer = await stage.peer(library);
    const roomId = await stage.room(peer);
    await peer.order("holdKeys", { roomId });
    const eventId = await report(peer, roomId);
    await stage.parked(eventId);
    await peer.order("releaseKeys", { roomId });
    assert.equal((await peer.answerTo(eventId)).status, "success");
    assert.equal(asObject((await stage.recorded(eventId))["content"])["place"], "Bridge Street 3");
  });
}

test("in one room with the bot, matrix-nio and matrix-js-sdk all read all", async () => {
  const [nio, js] = await Promise.all([stage.peer("matrix-nio"), stage.peer("matrix-js-sdk")]);
  const sent: string[] = [];
  const roomId = await stage.room(nio, { invite: [js.account.userId] });
  await js.order("join", { roomId });
  await stage.meet(js, roomId);
  for (const [peer, other] of [
    [nio, js],
    [js, nio],
  ] as const) {
    const { userId, deviceId } = other.account;
    await peer.order("waitForMember", { roomId, userId });
    await peer.order("waitForDevice", { roomId, userId, deviceId });
  }
  for (const asking of [nio, js, nio, js]) {
    const eventId = await report(asking, roomId);
    for (const reader of [nio, js]) {
      const answer = await reader.answerTo(eventId);
      assert.equal(answer.status, "success");
      await stage.assertEncryptedByBot(reader, answer.event);
    }
    const other = asking === nio ? js : nio;
    const { content, senderDevice } = await other.readable(eventId);
    assert.deepEqual([content["place"], senderDevice], ["Bridge Street 3", asking.account.deviceId]);
    sent.push(eventId);
  }
  const record = await stage.recordOf(roomId);
  for (const eventId of sent) assert.equal(asObject(record.get(eventId)?.["content"])["place"], "Bridge Street 3");
});

test("a sender that gives its keys to signed devices alone is answered: the bot has signed its device by itself", async () => {
  const peer = await stage.peer("matrix-js-sdk");
  await peer.order("setUpIdentity", { password: "not a secret", backup: false });
  await peer.order("isolate", { signedOnly: true });
  const roomId = await stage.room(peer);
  await peer.order("waitForSigned", { userId: stage.bot.userId, deviceId: stage.bot.deviceId });
  const answer = await peer.answerTo(await report(peer, roomId));
  assert.equal(answer.status, "success");
  await stage.assertEncryptedByBot(peer, answer.event);
  await peer.order("isolate", { signedOnly: false });
});

describeInterop(() => {
  const { server } = stage;
  return Promise.resolve({
    url: server.baseUrl,
    serverName: server.serverName,
    createAccount: (localpart, password) => server.registerUser(localpart, password),
    // The stage stops it.
    stop: () => Promise.resolve(),
  });
});

test("what matrix-js-sdk said before the bot came is in its record, by the keys that come with the invitation", async (t) => {
  // An identity that took the place of another a moment ago is not verified to the SDK itself, which then shares nothing.
  const peer = await stage.newcomer(t, "matrix-js-sdk", "inviter");
  await peer.order("setUpIdentity", { password: "not a secret", backup: false });
  const roomId = await peer.order("createRoom", { invite: [], encryption: {} });
  const eventId = await peer.send(roomId, "org.example.report", { place: "Bridge Street 3" });
  await peer.order("invite", { roomId, userId: stage.bot.userId });
  await stage.decided(eventId);
  assert.deepEqual((await stage.recorded(eventId))["content"], { place: "Bridge Street 3" });
});

test("a peer ends by itself when its test has gone", async () => {
  for (const library of LIBRARIES) {
    const peer = await stage.peer(library);
    await peer.abandon();
    await assert.rejects(report(peer, "!room:localhost"), /it had ended before "send"/);
  }
});
