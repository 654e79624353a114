/** The backup's key from another session of the account, on the real library: both verify each other first. */
import assert from "node:assert/strict";
import test from "node:test";
import { BackupDecryptionKey, UserId } from "@matrix-org/matrix-sdk-crypto-wasm";
import type { JsonObject } from "../../../src/protocol/json.ts";
import { RoomKeyServer } from "../../support/roomKeyServer.ts";
import { SCENE_BOT, VerificationScene } from "../../support/verificationScene.ts";

test("a session of the account that has verified the bot gives it the backup's key, and the backup is used with it", async (t) => {
  const scene = await VerificationScene.open(t);
  const roomKeys = new RoomKeyServer();
  const { directory } = scene;
  const answer = directory.answer.bind(directory);
  directory.answer = (from, method, endpoint, body) =>
    endpoint.includes("/room_keys/")
      ? roomKeys.homeserver.request(method as "GET", endpoint, { body, signal: AbortSignal.timeout(10_000) })
      : answer(from, method, endpoint, body);
  const session = await scene.person(SCENE_BOT, "SESSION");
  await session.makeIdentity();
  const key = BackupDecryptionKey.createRandomKey();
  const authData = { public_key: key.megolmV1PublicKey.publicKeyBase64 };
  const signatures = JSON.parse((await session.machine.sign(JSON.stringify(authData))).asJSON()) as JsonObject;
  const { version } = roomKeys.make({ ...authData, signatures });
  await session.machine.saveBackupDecryptionKey(key, version);
  await session.machine.enableBackupV1(authData.public_key, version);

  await scene.verifyOwnSession(session);
  // As an application does it: for the secrets that are to go there.
  await session.send((await session.machine.getMissingSessions([new UserId(SCENE_BOT)])) ?? undefined);
  await scene.until("the backup's key with the bot", () => scene.bot.backup.state.kind === "in_use");
  assert.deepEqual(scene.bot.backup.state, { kind: "in_use", version });
  assert.ok(scene.logged.some(({ words }) => words === "another session has shared the backup's key"));
});
