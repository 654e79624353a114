/** Which answers `docket request` does not count, and that it says why. Nobody answers here but who the test lets answer. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonObject } from "../../src/protocol/json.ts";
import type { Asking, Ended } from "../support/requesterCommand.ts";
import { requestScene as scene, type RequestScene as Scene } from "../support/requestScene.ts";

const REPORT = "org.example.report";
const RESPONSE = "m.response.status";
const PATIENCE_MS = 60_000;

const answerTo = (eventId: string, fromDevice: string, more: JsonObject = {}): JsonObject => ({
  "m.relates_to": { rel_type: "m.reference", event_id: eventId },
  [RESPONSE]: { from_device: fromDevice, status: "success", ...more },
});

const sentBy = async (asking: Asking): Promise<string> => String((await asking.fact("sent"))["eventId"]);

/** Of each answer that was told: who gave it, and why it does not count. */
const judged = ({ facts }: Ended) =>
  facts.filter(({ event }) => event === "answer").map((fact) => [fact["userId"], fact["deviceId"], fact["reason"]]);

test("an answer in the clear to an encrypted request does not count, whoever seems to have sent it; an encrypted one does", async (t) => {
  const { server, alice, who, roomId } = await scene(t, true);
  const asking = who.ask([roomId, "--type", REPORT]);
  const eventId = await sentBy(asking);
  server.append(roomId, { type: RESPONSE, sender: alice.userId, content: answerTo(eventId, "FORGED") });
  await asking.fact("answer");
  await alice.waitForDevice(who.account.userId, who.account.deviceId);
  await alice.send(roomId, RESPONSE, answerTo(eventId, alice.deviceId));
  const ended = await asking.ended;
  assert.deepEqual(judged(ended), [
    [alice.userId, "FORGED", "unencrypted"],
    [alice.userId, alice.deviceId, null],
  ]);
  assert.equal(ended.code, 0);
});

test("an echo of this device does not count, an answer of the same account's other device does", async (t) => {
  const { server, who, roomId } = await scene(t, false);
  const asking = who.ask([roomId, "--type", REPORT]);
  const eventId = await sentBy(asking);
  const { userId: sender, deviceId } = who.account;
  server.append(roomId, { type: RESPONSE, sender, content: answerTo(eventId, deviceId) });
  await asking.fact("answer");
  server.append(roomId, { type: RESPONSE, sender, content: answerTo(eventId, "PHONE") });
  const ended = await asking.ended;
  assert.deepEqual(judged(ended), [
    [sender, deviceId, "echo"],
    [sender, "PHONE", null],
  ]);
  assert.equal(ended.code, 0);
});

test("strangers, other requests, what can't be read, and a device that has answered already do not count; a contradiction is shown", async (t) => {
  const { server, alice, who, roomId } = await scene(t, false);
  const mallory = server.createAccount("mallory").userId;
  const asking = who.ask([roomId, "--type", REPORT, "--expect", "2"]);
  const eventId = await sentBy(asking);
  const say = (sender: string, content: JsonObject, type = RESPONSE): string =>
    server.append(roomId, { type, sender, content });
  say(mallory, answerTo(eventId, "M"));
  say(alice.userId, answerTo("$another", "A"));
  say(alice.userId, answerTo(eventId, "A"), "m.room.message");
  say(alice.userId, answerTo(eventId, "A", { status: "perhaps" }));
  say(alice.userId, answerTo(eventId, "A"));
  say(alice.userId, answerTo(eventId, "A"));
  say(alice.userId, answerTo(eventId, "A", { status: "error" }));
  say(alice.userId, answerTo(eventId, "B"));
  const ended = await asking.ended;
  assert.deepEqual(judged(ended), [
    [mallory, "M", "not_joined"],
    [alice.userId, null, "malformed"],
    [alice.userId, "A", null],
    [alice.userId, "A", "duplicate"],
    [alice.userId, "A", "contradiction"],
    [alice.userId, "B", null],
  ]);
  assert.deepEqual([ended.code, ended.facts.at(-1)?.["answers"]], [0, 2]);
});

test("an answer that comes after the lifetime is told as late, and does not count", async (t) => {
  const { server, alice, who, roomId } = await scene(t, false);
  const { userId } = who.account;
  const asking = who.ask([roomId, "--type", REPORT, "--lifetime", "5s"]);
  const eventId = await sentBy(asking);
  const nearlyOver = Date.now() + 4_000;
  // From now on no sync is answered; the one after the lifetime asks without a wait, and so may the first.
  const fault = server.fault({ path: /\/sync$/, userId, times: Infinity, action: { kind: "hang" } });
  server.append(roomId, { type: "org.example.nudge", sender: alice.userId, content: {} });
  await server.waitFor(
    () =>
      server
        .requests({ path: /\/sync$/, userId, outcome: "open" })
        .find(({ query, startedAt }) => startedAt > nearlyOver && query["timeout"]?.[0] === "0"),
    PATIENCE_MS,
    "the look after the lifetime",
  );
  server.append(roomId, { type: RESPONSE, sender: alice.userId, content: answerTo(eventId, "A") });
  fault.remove();
  fault.release();
  const ended = await asking.ended;
  assert.deepEqual(judged(ended), [[alice.userId, "A", "late"]]);
  assert.deepEqual([ended.code, ended.facts.at(-1)?.["outcome"]], [2, "too_few"]);
});

/** Sends an answer without its key, and waits until it has been seen: what stands behind it in the timeline is told. */
async function holdAnswer({ server, alice, who, roomId }: Scene, asking: Asking) {
  const eventId = await sentBy(asking);
  await alice.waitForDevice(who.account.userId, who.account.deviceId);
  const held = await alice.sendHoldingKeys(roomId, RESPONSE, answerTo(eventId, alice.deviceId));
  server.append(roomId, { type: RESPONSE, sender: alice.userId, content: answerTo(eventId, "FENCE") });
  await asking.fact("answer");
  return held;
}

test("an answer whose key comes late counts when it comes, within the lifetime", async (t) => {
  const here = await scene(t, true);
  const asking = here.who.ask([here.roomId, "--type", REPORT]);
  const held = await holdAnswer(here, asking);
  await held.releaseKeys();
  const ended = await asking.ended;
  assert.deepEqual(judged(ended)[1], [here.alice.userId, here.alice.deviceId, null]);
  assert.equal(ended.code, 0);
});

test("an answer whose key never comes is told, and does not count", async (t) => {
  const here = await scene(t, true);
  const asking = here.who.ask([here.roomId, "--type", REPORT]);
  const held = await holdAnswer(here, asking);
  const ended = await asking.kill("SIGINT");
  assert.deepEqual(ended.facts.at(-2), { event: "unreadable", eventId: held.eventId, userId: here.alice.userId });
  assert.equal(ended.code, 2);
});

test("one device counts once, whatever device its encrypted answers say they are from", async (t) => {
  const { alice, who, roomId } = await scene(t, true);
  const asking = who.ask([roomId, "--type", REPORT, "--expect", "2"]);
  const eventId = await sentBy(asking);
  await alice.waitForDevice(who.account.userId, who.account.deviceId);
  await alice.send(roomId, RESPONSE, answerTo(eventId, alice.deviceId));
  const feigned = await alice.send(roomId, RESPONSE, answerTo(eventId, "FEIGNED"));
  while (!asking.facts.some((fact) => fact["eventId"] === feigned)) await asking.more();
  const ended = await asking.kill("SIGINT");
  assert.deepEqual(judged(ended), [
    [alice.userId, alice.deviceId, null],
    [alice.userId, "FEIGNED", "duplicate"],
  ]);
  assert.equal(ended.code, 2);
});
