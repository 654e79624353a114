/** What the engine does by itself between syncs: broken Olm sessions are mended, refusals are repeated. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger, type LogFields } from "../../src/logging.ts";
import { startDevServer } from "../../devserver/server.ts";
import { isJsonObject, type JsonObject } from "../../src/protocol/json.ts";
import { CryptoPeer, encryptedRoom, targetOf } from "../support/cryptoPeer.ts";

/** The ciphertext's last characters are its authentication. */
function broken(message: JsonObject): JsonObject {
  return JSON.parse(JSON.stringify(message), (key, value: unknown) =>
    key === "body" && typeof value === "string" ? `${value.slice(0, -8)}AAAAAAAA` : value,
  ) as JsonObject;
}

test("a broken Olm session is replaced after the sync that showed it", async (t) => {
  const server = await startDevServer();
  t.after(() => server.stop());
  const bot = await CryptoPeer.start(t, { server, account: server.createAccount("bot") });
  const alice = await CryptoPeer.start(t, { server, account: server.createAccount("alice") });
  const users = [bot.userId, alice.userId];
  const settings = { rotation_period_msgs: 1 };
  const target = targetOf(encryptedRoom(server, users, settings), users, settings);
  await alice.send(target, "x.a", { n: 1 }, "t1");
  for (const event of (await bot.sync()).events)
    if (event.type === "m.room.encrypted") assert.equal((await bot.engine.decrypt(event)).kind, "decrypted");
  // Only devices that are known are mended: whose events were decrypted, theirs are asked for.
  const queries = () => server.requests({ path: /keys\/query$/, userId: bot.userId, status: 200 });
  const askedForAlice = () => queries().some((query) => JSON.stringify(query.body).includes(alice.userId));
  await server.waitFor(askedForAlice, 60_000, "the sender's devices");

  // An answer, so that the session is established on both sides.
  await bot.engine.encrypt(target, "x.a", { n: 0 }, AbortSignal.timeout(60_000));
  await alice.sync();

  // The library leaves sessions alone that are younger than an hour.
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() + 2 * 60 * 60_000 });
  const botDevice = bot.engine.identity.deviceId;
  server.holdToDevice(bot.userId, botDevice);
  await alice.send(target, "x.a", { n: 2 }, "t2");
  assert.equal(server.heldToDevice(bot.userId, botDevice).length, 1);
  server.releaseToDevice(bot.userId, botDevice, (held) => held.map(broken));
  const claims = () => server.requests({ path: /keys\/claim$/, userId: bot.userId, status: 200 });
  assert.equal(claims().length, 0);
  assert.deepEqual((await bot.sync()).newSessions, []);

  await server.waitFor(() => claims().length === 1, 60_000, "a claim for the broken session");
  // The next key that the bot shares goes over a new session (type 0), and from then on so does what comes back.
  const before = server.requests().length;
  await bot.engine.encrypt(target, "x.a", { n: 0 }, AbortSignal.timeout(60_000));
  const [share] = server.requests({ path: /sendToDevice\/m\.room\.encrypted/, userId: bot.userId }, before);
  assert.match(JSON.stringify(share?.body), /"type":0/);
  await alice.sync();
  await alice.send(target, "x.a", { n: 3 }, "t3");
  const { events, newSessions } = await bot.sync();
  assert.equal(newSessions.length, 1);
  const event = events.filter((candidate) => candidate.type === "m.room.encrypted").at(-1);
  assert.ok(event && isJsonObject(event.content));
  const clear = await bot.engine.decrypt(event);
  assert.deepEqual(clear.kind === "decrypted" && clear.content, { n: 3 });
});

test("to-device messages that can't be decrypted are counted in the log, and nothing else of them is there", async (t) => {
  const server = await startDevServer();
  t.after(() => server.stop());
  const lines: (readonly [LogFields, string])[] = [];
  const info = (...line: readonly [LogFields, string]): void => void lines.push(line);
  const bot = await CryptoPeer.start(t, {
    server,
    account: server.createAccount("bot"),
    log: { ...silentLogger, info },
  });
  const alice = await CryptoPeer.start(t, { server, account: server.createAccount("alice") });
  const users = [bot.userId, alice.userId];
  const settings = { rotation_period_msgs: 1 };
  const target = targetOf(encryptedRoom(server, users, settings), users, settings);
  const botDevice = bot.engine.identity.deviceId;
  const told = (): readonly unknown[] => lines.filter(([, message]) => message.startsWith("to-device messages"));
  server.holdToDevice(bot.userId, botDevice);
  await alice.send(target, "x.a", { n: 1 }, "t1");
  await alice.send(target, "x.a", { n: 2 }, "t2");
  server.releaseToDevice(bot.userId, botDevice, (held) => held.map(broken));
  await bot.sync();
  assert.deepEqual(told(), [[{ count: 2 }, "to-device messages that could not be decrypted"]]);
  await bot.sync();
  assert.equal(told().length, 1, "a sync without any says nothing");
});

test("a refused upload of keys is repeated, as late as the server asks", async (t) => {
  const server = await startDevServer();
  t.after(() => server.stop());
  const refused = server.fault({ path: "keys/upload", action: { kind: "rateLimited", retryAfterMs: 1_500 } });
  const bot = await CryptoPeer.start(t, { server, account: server.createAccount("bot") });
  assert.equal(refused.hits, 1);
  const uploads = () => server.requests({ path: /keys\/upload$/, userId: bot.userId });
  await server.waitFor(() => uploads().some((upload) => upload.status === 200), 60_000, "the upload");
  const [first, second] = uploads();
  assert.ok(first && second);
  assert.ok(second.startedAt - first.startedAt >= 1_450, "it waits as long as it was told to");
});

test("a token that is refused for good ends the process", async (t) => {
  const server = await startDevServer();
  t.after(() => server.stop());
  const account = server.createAccount("bot");
  server.revokeToken(account.accessToken);
  const bot = await CryptoPeer.start(t, { server, account });
  assert.equal(bot.fatal.length, 1);
  assert.equal((bot.fatal[0] as { exitCode?: number }).exitCode, 77);
});
