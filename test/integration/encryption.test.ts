/** Two engines on the development homeserver: what one encrypts the other decrypts, whatever comes between. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { startDevServer, type DevServer } from "../../devserver/server.ts";
import { messageIndexOf } from "../../src/crypto/messageIndex.ts";
import { asEvent, CryptoPeer, encryptedRoom, targetOf } from "../support/cryptoPeer.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";

async function server(t: TestContext): Promise<DevServer> {
  const running = await startDevServer();
  t.after(() => running.stop());
  return running;
}

const soon = () => AbortSignal.timeout(20_000);

test("what one side encrypts the other decrypts, with its session, index and device", async (t) => {
  const home = await server(t);
  const bot = await CryptoPeer.start(t, {
    server: home,
    account: home.createAccount("bot"),
    directory: temporaryDirectory(t),
  });
  const alice = await CryptoPeer.start(t, { server: home, account: home.createAccount("alice") });
  const users = [bot.userId, alice.userId];
  const room = encryptedRoom(home, users);
  await bot.sync();
  await alice.sync();

  await alice.send(targetOf(room, users), "m.room.message", { body: "one" }, "t1");
  await alice.send(targetOf(room, users), "m.room.message", { body: "two" }, "t2");
  const synced = await bot.sync();
  const encrypted = synced.events.filter((event) => event.type === "m.room.encrypted");
  const clear = [];
  for (const event of encrypted) clear.push(await bot.engine.decrypt(event));
  assert.deepEqual(clear, [
    {
      kind: "decrypted",
      type: "m.room.message",
      content: { body: "one" },
      sessionId: synced.newSessions[0]?.sessionId,
      messageIndex: 0,
      trust: clear[0]?.kind === "decrypted" ? clear[0].trust : null,
    },
    {
      kind: "decrypted",
      type: "m.room.message",
      content: { body: "two" },
      sessionId: synced.newSessions[0]?.sessionId,
      messageIndex: 1,
      trust: clear[1]?.kind === "decrypted" ? clear[1].trust : null,
    },
  ]);
  assert.deepEqual(synced.newSessions, [{ roomId: room, sessionId: synced.newSessions[0]?.sessionId }]);
  console.log(clear[0]);
});

test("300 parallel answers in a room that rotates its key after every message all leave and can all be read", async (t) => {
  const home = await server(t);
  const bot = await CryptoPeer.start(t, {
    server: home,
    account: home.createAccount("bot"),
    directory: temporaryDirectory(t),
  });
  const alice = await CryptoPeer.start(t, { server: home, account: home.createAccount("alice") });
  const users = [bot.userId, alice.userId];
  const settings = { rotation_period_msgs: 1 };
  const room = encryptedRoom(home, users, settings);
  await bot.sync();
  await alice.sync();
  const t0 = performance.now();
  const encrypted = await Promise.all(
    Array.from({ length: 300 }, (_, n) =>
      bot.engine.encrypt(targetOf(room, users, settings), "x.answer", { n }, soon()),
    ),
  );
  console.log("ms", performance.now() - t0);
  while ((await alice.sync()).newSessions.length > 0);
  const seen = new Set<string>();
  const numbers = new Set<unknown>();
  for (const [n, { content }] of encrypted.entries()) {
    const clear = await alice.engine.decrypt(asEvent(room, bot.userId, content, `$e${n}`));
    assert.equal(clear.kind, "decrypted");
    if (clear.kind !== "decrypted") continue;
    seen.add(`${clear.sessionId} ${clear.messageIndex}`);
    numbers.add(clear.content["n"]);
    assert.equal(messageIndexOf(String(content["ciphertext"])), 0);
  }
  assert.equal(seen.size, 300);
  assert.equal(numbers.size, 300);
});
