/** Interactive verification of the bot, with people who are on the crypto library themselves; the library and all of its cryptography is real. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ServerRefused } from "../../../src/errors.ts";
import type { JsonObject } from "../../../src/protocol/json.ts";
import type { RawEvent } from "../../../src/protocol/events.ts";
import { SCENE_BOT, VerificationScene } from "../../support/verificationScene.ts";

const BOT = SCENE_BOT;
const OPERATOR = "@operator:example.org";
const STRANGER = "@stranger:example.org";

test("another session of the account verifies the bot: both see the same numbers, the bot's device is signed, and it knows its identity", async (t) => {
  const scene = await VerificationScene.open(t);
  const session = await scene.person(BOT, "PHONE");
  await session.makeIdentity();
  const request = await session.ask(BOT, "BOT");
  const asked = await scene.reached("requested");
  assert.deepEqual([asked.kind, asked.deviceId, asked.roomId, asked.decimals], ["own_session", "PHONE", null, null]);
  await scene.bot.verifications.take(asked.id);
  const shown = await scene.reached("comparing");
  assert.deepEqual(shown.decimals, await session.decimals(request));
  assert.equal(shown.emoji?.length, 7);
  assert.equal(scene.signersOfBot().length, 1);
  await scene.bot.verifications.confirm(asked.id);
  await scene.reached("confirmed");
  assert.equal(scene.signersOfBot().length, 1, "nothing is signed before both have confirmed");
  await session.confirm(request);
  await scene.reached("verified");
  await scene.until("a signature of the identity on the bot's device", () => scene.signersOfBot().length === 2);
  assert.deepEqual(scene.bot.verifications.pending(), []);
});

test("the bot asks the account's other sessions, and is verified by the one that takes it up", async (t) => {
  const scene = await VerificationScene.open(t);
  assert.deepEqual(await scene.bot.verifications.ask(), { kind: "no_identity" });
  const session = await scene.person(BOT, "PHONE");
  await session.makeIdentity();
  await scene.syncBot();
  const asked = await scene.bot.verifications.ask();
  assert.equal(asked.kind, "asked");
  const request = await session.incoming();
  const shown = await scene.reached("comparing");
  assert.deepEqual(shown.decimals, await session.decimals(request));
  await session.confirm(request);
  await scene.bot.verifications.confirm(shown.id);
  await scene.reached("verified");
});

test("an operator verifies the bot in an encrypted room: what the bot says there is encrypted, and each signs the other's identity", async (t) => {
  const scene = await VerificationScene.open(t, { verifiers: [OPERATOR] });
  const owner = await scene.person(BOT, "PHONE");
  await owner.makeIdentity();
  await scene.syncBot();
  await scene.verifyOwnSession(owner);
  const operator = await scene.person(OPERATOR, "LAPTOP");
  await operator.makeIdentity();
  const request = await operator.askInRoom(BOT);
  const asked = await scene.reached("requested");
  assert.deepEqual([asked.kind, asked.userId, asked.deviceId], ["operator", OPERATOR, "LAPTOP"]);
  await scene.bot.verifications.take(asked.id);
  const shown = await scene.reached("comparing");
  assert.deepEqual(shown.decimals, await operator.decimals(request));
  await scene.bot.verifications.confirm(asked.id);
  await operator.confirm(request);
  await scene.reached("verified");
  const said = scene.room.filter((event) => event.sender === BOT).map((event) => event.type);
  assert.ok(said.length >= 4);
  assert.deepEqual([...new Set(said)], ["m.room.encrypted"]);
  await scene.until("the operator's signature on the bot's identity", () =>
    scene.signersOfIdentity(BOT).includes(OPERATOR),
  );
  await scene.until("the bot's signature on the operator's identity", () =>
    scene.signersOfIdentity(OPERATOR).includes(BOT),
  );
});

test("in a room that is not encrypted an operator verifies the bot in the clear", async (t) => {
  const scene = await VerificationScene.open(t, { verifiers: [OPERATOR] });
  scene.isRoomEncrypted = false;
  const owner = await scene.person(BOT, "PHONE");
  await owner.makeIdentity();
  const operator = await scene.person(OPERATOR, "LAPTOP");
  await operator.makeIdentity();
  const request = await operator.askInRoom(BOT);
  const asked = await scene.reached("requested");
  await scene.bot.verifications.take(asked.id);
  assert.deepEqual((await scene.reached("comparing")).decimals, await operator.decimals(request));
  const said = scene.room.filter(({ sender }) => sender === BOT).map(({ type }) => type);
  assert.deepEqual(
    said,
    ["ready", "start", "key"].map((step) => `m.key.verification.${step}`),
  );
});

test("a request from anybody else is declined with a reason, in the room and from device to device, and never waits for a person", async (t) => {
  const scene = await VerificationScene.open(t, { verifiers: [OPERATOR] });
  const owner = await scene.person(BOT, "PHONE");
  await owner.makeIdentity();
  const stranger = await scene.person(STRANGER, "X");
  await stranger.makeIdentity();
  const inRoom = await stranger.askInRoom(BOT);
  await scene.until("the end of the request in the room", () => inRoom.isCancelled());
  assert.deepEqual([inRoom.cancelInfo?.cancelCode(), inRoom.cancelInfo?.cancelledbyUs()], ["m.user", false]);
  const toDevice = await stranger.ask(BOT, "BOT");
  await scene.until("the end of the request to the device", () => toDevice.isCancelled());
  const told = scene.toldPeople.find(({ type }) => type === "m.key.verification.cancel");
  assert.match(JSON.stringify(told), /by its operators only/);
  assert.deepEqual(scene.bot.verifications.list(), []);
  assert.ok(scene.room.filter(({ sender }) => sender === BOT).every(({ type }) => type === "m.room.encrypted"));
});

test("a request between other people in the room is none of the bot's business", async (t) => {
  const scene = await VerificationScene.open(t, { verifiers: [OPERATOR] });
  const content = { msgtype: "m.key.verification.request", to: STRANGER, from_device: "X", methods: ["m.sas.v1"] };
  for (const sender of [OPERATOR, "@third:example.org"]) scene.post(sender, "m.room.message", content);
  await scene.syncBot();
  await scene.bot.stop();
  assert.deepEqual(scene.bot.verifications.list(), []);
  assert.equal(scene.room.length, 2);
});

test("what differs is cancelled as a mismatch on both sides, and nothing is signed", async (t) => {
  const scene = await VerificationScene.open(t);
  const session = await scene.person(BOT, "PHONE");
  await session.makeIdentity();
  const request = await session.ask(BOT, "BOT");
  await scene.bot.verifications.take((await scene.reached("requested")).id);
  const { id } = await scene.reached("comparing");
  await scene.bot.verifications.mismatch(id);
  const cancelled = await scene.reached("cancelled");
  assert.deepEqual([cancelled.cancelled?.code, cancelled.cancelled?.by], ["m.mismatched_sas", "us"]);
  await scene.until("the end on the other side", () => request.isCancelled());
  assert.equal(request.cancelInfo?.cancelCode(), "m.mismatched_sas");
  await scene.bot.verifications.confirm(id);
  assert.equal(scene.signersOfBot().length, 1);
});

test("what the other side cancels is said in its words, which are printable", async (t) => {
  const scene = await VerificationScene.open(t);
  const session = await scene.person(BOT, "PHONE");
  await session.makeIdentity();
  const request = await session.ask(BOT, "BOT");
  const { id } = await scene.reached("requested");
  await session.send(request.cancel());
  const { cancelled } = await scene.reached("cancelled");
  assert.deepEqual([cancelled?.code, cancelled?.by], ["m.user", "them"]);
  await scene.bot.verifications.take(id);
  assert.equal(scene.bot.verifications.list()[0]?.phase, "cancelled");
});

test("a request that nobody takes up is cancelled after ten minutes, and the other side is told", async (t) => {
  const scene = await VerificationScene.open(t);
  const session = await scene.person(BOT, "PHONE");
  await session.makeIdentity();
  const request = await session.ask(BOT, "BOT");
  await scene.reached("requested");
  scene.clock.ahead = 10 * 60_000;
  const { cancelled } = await scene.reached("cancelled");
  assert.deepEqual([cancelled?.code, cancelled?.by], ["m.timeout", "us"]);
  await scene.until("the end on the other side", () => request.isCancelled());
  assert.equal(request.cancelInfo?.cancelCode(), "m.timeout");
});

test("where both sides begin at once, one beginning counts, and both see the same numbers", async (t) => {
  for (const device of ["AAAA", "ZZZZ"]) {
    const scene = await VerificationScene.open(t);
    const session = await scene.person(BOT, device);
    await session.makeIdentity();
    const request = await session.ask(BOT, "BOT");
    const { id } = await scene.reached("requested");
    scene.holdsBack = (type) => type === "m.key.verification.start";
    await scene.bot.verifications.take(id);
    await scene.until("both being ready", () => request.isReady());
    scene.clock.ahead += 5_000;
    await scene.until("the bot's beginning", () =>
      scene.toldPeople.some(({ type }) => type === "m.key.verification.start"),
    );
    const started = await request.startSas();
    await session.send(started?.[1]);
    scene.holdsBack = () => false;
    const shown = await scene.reached("comparing");
    assert.deepEqual(shown.decimals, await session.decimals(request));
  }
});

test("a flood of requests keeps a bounded number of them, and gets a bounded number of answers", async (t) => {
  const scene = await VerificationScene.open(t, { verifiers: [OPERATOR] });
  const owner = await scene.person(BOT, "PHONE");
  await owner.makeIdentity();
  const operator = await scene.person(OPERATOR, "LAPTOP");
  await operator.makeIdentity();
  const ask = (sender: string, device: string): RawEvent =>
    scene.post(sender, "m.room.message", {
      msgtype: "m.key.verification.request",
      body: "verify",
      to: BOT,
      from_device: device,
      methods: ["m.sas.v1"],
    });
  for (let n = 0; n < 500; n += 1) ask(OPERATOR, "LAPTOP");
  for (let n = 0; n < 500; n += 1) ask(`@s${n}:example.org`, "X");
  const before = scene.room.length;
  await scene.syncBot();
  await owner.ask(BOT, "BOT");
  const { kind } = await scene.reached("requested");
  assert.equal(kind, "own_session", "whoever asks after it is heard");
  assert.ok(scene.bot.verifications.list().length <= 70);
  assert.ok(scene.room.length - before <= 100, `${scene.room.length - before} answers`);
  assert.ok(scene.logged.length <= 200, `${scene.logged.length} lines`);
});

test("a step of a verification that a process before this one had begun is answered: it is not known any more", async (t) => {
  const scene = await VerificationScene.open(t);
  const session = await scene.person(BOT, "PHONE");
  await session.makeIdentity();
  await scene.syncBot();
  const key = { transaction_id: "begun-before", key: "x" };
  const body = { messages: { [BOT]: { BOT: key } } };
  await scene.directory.answer(session, "PUT", "/_matrix/client/v3/sendToDevice/m.key.verification.key/1", body);
  const isTold = (): boolean =>
    scene.toldPeople.some(({ type, content }) => {
      const { code, transaction_id: about } = content as JsonObject;
      return type === "m.key.verification.cancel" && code === "m.unknown_transaction" && about === "begun-before";
    });
  await scene.until("an answer", isTold);
  assert.deepEqual(scene.bot.verifications.list(), []);
});

test("a step that the homeserver refuses ends the verification, and says so", async (t) => {
  const scene = await VerificationScene.open(t);
  const session = await scene.person(BOT, "PHONE");
  await session.makeIdentity();
  await session.ask(BOT, "BOT");
  const { id } = await scene.reached("requested");
  scene.onBotRequest = (endpoint) => {
    if (endpoint.includes("m.key.verification.ready"))
      throw new ServerRefused("no", { status: 403, errcode: "M_FORBIDDEN" });
  };
  await scene.bot.verifications.take(id);
  const { cancelled } = await scene.reached("cancelled");
  assert.equal(cancelled?.reason, "A message of the verification could not be sent.");
});

test("what a stranger encrypts from device to device about verification is never answered, and can't be taken up", async (t) => {
  const scene = await VerificationScene.open(t, { verifiers: [OPERATOR] });
  const stranger = await scene.person(STRANGER, "X");
  await stranger.makeIdentity();
  // The library acts on it where it knows the device.
  await scene.bot.trust.learn(stranger.userId, AbortSignal.timeout(10_000));
  const start = { from_device: "X", method: "m.unheard-of" };
  for (let n = 0; n < 30; n += 1)
    await stranger.sayEncrypted("m.key.verification.start", { ...start, transaction_id: `start${n}` });
  const timestamp = Date.now();
  const request = { from_device: "X", methods: ["m.sas.v1"], timestamp };
  for (const transaction_id of ["one", "two"])
    await stranger.sayEncrypted("m.key.verification.request", { ...request, transaction_id });
  await scene.syncBot();
  // Whoever may verify the bot still gets what the library has to say.
  const operator = await scene.person(OPERATOR, "LAPTOP");
  await operator.makeIdentity();
  await scene.bot.trust.learn(operator.userId, AbortSignal.timeout(10_000));
  await operator.sayEncrypted("m.key.verification.start", {
    ...start,
    from_device: "LAPTOP",
    transaction_id: "theirs",
  });
  const told = (): readonly JsonObject[] =>
    scene.toldPeople
      .filter(({ type }) => type === "m.key.verification.cancel")
      .map((event) => event["content"] as JsonObject);
  await scene.until("the answer to the operator", () => told().length > 0);
  assert.deepEqual(
    told().map((content) => content["transaction_id"]),
    ["theirs"],
  );
  assert.deepEqual(scene.bot.verifications.list(), []);
});
