/** Room keys reach those who are to have them, and nobody who is slow, dead or lossy holds up the others. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { startDevServer, type DevServer } from "../../devserver/server.ts";
import { systemClock, type Clock } from "../../src/clock.ts";
import { Cancelled, ServerUnreachable } from "../../src/errors.ts";
import { silentLogger, type Logger } from "../../src/logging.ts";
import type { UserId } from "../../src/protocol/ids.ts";
import { asEvent, CryptoPeer, encryptedRoom, targetOf } from "../support/cryptoPeer.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";

async function serverFor(t: TestContext): Promise<DevServer> {
  const server = await startDevServer();
  t.after(() => server.stop());
  return server;
}

/** Sooner than a request that is not answered ends by itself. */
function soon(): AbortSignal {
  return AbortSignal.timeout(20_000);
}

const MEMBER_WAIT_MS = 500;

/**
 * Clock and log of a bot whose waits for the members' servers do not end by time: on a busy machine even the quickest server may be
 * late. The one that lasts after `giveUpOnTheRest` ends when the first answer to a query has been read.
 */
function waitsOfTheTest(): { clock: Clock; log: Logger; giveUpOnTheRest: () => void } {
  const waiting = new Set<() => void>();
  let givingUp = false;
  const debug: Logger["debug"] = ({ request, status }) => {
    if (!givingUp || request !== "POST /_matrix/client/v3/keys/query" || status !== 200) return;
    givingUp = false;
    const [...ending] = waiting;
    // The line is written just before the answer is handed on.
    setImmediate(() => ending.forEach((done) => done()));
  };
  const sleep: Clock["sleep"] = (ms, signal) => {
    if (ms > MEMBER_WAIT_MS) return systemClock.sleep(ms, signal);
    return new Promise((resolve) => {
      const done = (): void => {
        waiting.delete(done);
        resolve();
      };
      // One query may take a part of the whole wait: it alone ends.
      if (ms < MEMBER_WAIT_MS) waiting.add(done);
      signal?.addEventListener("abort", done, { once: true });
    });
  };
  return {
    clock: { ...systemClock, sleep },
    log: { ...silentLogger, debug },
    giveUpOnTheRest: () => (givingUp = true),
  };
}

function keyShares(server: DevServer, from: string) {
  return server.requests({ method: "PUT", path: /sendToDevice\/m\.room\.encrypted\//, userId: from });
}

test("300 parallel answers in a room that rotates its key after every message all leave and can all be read", async (t) => {
  const server = await serverFor(t);
  const directory = temporaryDirectory(t);
  const bot = await CryptoPeer.start(t, { server, account: server.createAccount("bot"), directory });
  const alice = await CryptoPeer.start(t, { server, account: server.createAccount("alice") });
  const users = [bot.userId, alice.userId];
  const settings = { rotation_period_msgs: 1 };
  const room = encryptedRoom(server, users, settings);
  const target = targetOf(room, users, settings);
  const encrypted = await Promise.all(
    Array.from({ length: 300 }, (_, n) => bot.engine.encrypt(target, "x.answer", { n }, AbortSignal.timeout(200_000))),
  );
  while ((await alice.sync()).newSessions.length > 0);
  const messages = new Set<string>();
  const numbers = new Set<unknown>();
  for (const [n, { content }] of encrypted.entries()) {
    const clear = await alice.engine.decrypt(asEvent(room, bot.userId, content, `$e${n}`));
    assert.ok(clear.kind === "decrypted", `answer ${n} can be read`);
    messages.add(`${clear.sessionId} ${clear.messageIndex}`);
    numbers.add(clear.content["n"]);
  }
  assert.equal(messages.size, 300);
  assert.equal(numbers.size, 300);
  assert.deepEqual(bot.fatal, []);
});

test("parallel answers over the end of a session share no message index", async (t) => {
  const server = await serverFor(t);
  const bot = await CryptoPeer.start(t, { server, account: server.createAccount("bot") });
  const alice = await CryptoPeer.start(t, { server, account: server.createAccount("alice") });
  const users = [bot.userId, alice.userId];
  const room = encryptedRoom(server, users);
  const target = targetOf(room, users);
  const encrypted = await Promise.all(
    Array.from({ length: 210 }, (_, n) => bot.engine.encrypt(target, "x.answer", { n }, AbortSignal.timeout(200_000))),
  );
  while ((await alice.sync()).newSessions.length > 0);
  const perSession = new Map<string, number[]>();
  for (const [n, { content }] of encrypted.entries()) {
    const clear = await alice.engine.decrypt(asEvent(room, bot.userId, content, `$e${n}`));
    assert.ok(clear.kind === "decrypted");
    perSession.set(clear.sessionId, [...(perSession.get(clear.sessionId) ?? []), clear.messageIndex]);
  }
  const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index);
  assert.deepEqual([...perSession.values()], [upTo(100), upTo(100), upTo(10)]);
});

test("a member whose server never answers key queries holds up nobody, is named, and is tried again later", async (t) => {
  const server = await serverFor(t);
  let skippedMs = 0;
  const waits = waitsOfTheTest();
  const clock: Clock = { ...waits.clock, now: () => Date.now() + skippedMs };
  let silences = 0;
  const secondSilence = Promise.withResolvers<void>();
  const log: Logger = {
    ...waits.log,
    warn: (fields) => void (fields["reason"] === "no_answer" && (silences += 1) === 2 && secondSilence.resolve()),
  };
  const account = server.createAccount("bot");
  const bot = await CryptoPeer.start(t, { server, account, clock, log, memberQueryTimeoutMs: MEMBER_WAIT_MS });
  const alice = await CryptoPeer.start(t, { server, account: server.createAccount("alice") });
  const dead = await CryptoPeer.start(t, { server, account: server.createAccount("@dead:dead.example") });
  server.setKeyQueries(dead.userId, "hangs");
  const users = [bot.userId, alice.userId, dead.userId];
  const room = encryptedRoom(server, users);
  const target = targetOf(room, users);
  const queriesForDead = () =>
    server
      .requests({ path: /keys\/query$/, userId: bot.userId })
      .filter((request) => JSON.stringify(request.body).includes(dead.userId));

  waits.giveUpOnTheRest();
  const first = await bot.engine.encrypt(target, "x.a", { n: 1 }, soon());
  const withheld = [{ userId: dead.userId, deviceId: null, reason: "unanswered" }];
  assert.deepEqual(first.withheldFrom, withheld);
  assert.ok(
    queriesForDead().every((request) => request.outcome === "open"),
    "the dead server has not answered yet",
  );
  const asked = queriesForDead().length;
  const second = await bot.engine.encrypt(target, "x.a", { n: 2 }, soon());
  assert.deepEqual(second.withheldFrom, withheld);
  assert.equal(queriesForDead().length, asked, "nobody asks again so soon");
  await alice.sync();
  for (const { content } of [first, second])
    assert.equal((await alice.engine.decrypt(asEvent(room, bot.userId, content, "$e"))).kind, "decrypted");

  // The server gives up on the dead one, as a homeserver does after ten seconds or so: still nobody's devices.
  server.setKeyQueries(dead.userId, "fails");
  await secondSilence.promise;
  assert.deepEqual((await bot.engine.encrypt(target, "x.a", { n: 3 }, soon())).withheldFrom, withheld);

  server.setKeyQueries(dead.userId, "answers");
  skippedMs = 20 * 60_000;
  const last = await bot.engine.encrypt(target, "x.a", { n: 4 }, soon());
  assert.deepEqual(last.withheldFrom, []);
  await dead.sync();
  const clear = await dead.engine.decrypt(asEvent(room, bot.userId, last.content, "$e"));
  assert.deepEqual(clear.kind === "decrypted" && clear.content, { n: 4 });
});

test("a late answer to a key query is used as soon as it is there", async (t) => {
  const server = await serverFor(t);
  const { giveUpOnTheRest, ...waits } = waitsOfTheTest();
  const account = server.createAccount("bot");
  const bot = await CryptoPeer.start(t, { server, account, ...waits, memberQueryTimeoutMs: MEMBER_WAIT_MS });
  const alice = await CryptoPeer.start(t, { server, account: server.createAccount("alice") });
  const slow = await CryptoPeer.start(t, { server, account: server.createAccount("@slow:slow.example") });
  server.setKeyQueries(slow.userId, "hangs");
  const users = [bot.userId, alice.userId, slow.userId];
  const room = encryptedRoom(server, users);
  giveUpOnTheRest();
  const first = await bot.engine.encrypt(targetOf(room, users), "x.a", { n: 1 }, soon());
  assert.deepEqual(first.withheldFrom, [{ userId: slow.userId, deviceId: null, reason: "unanswered" }]);
  server.setKeyQueries(slow.userId, "answers");
  // The library asks once more after a late answer.
  const queriesForSlow = () =>
    server
      .requests({ path: /keys\/query$/, userId: bot.userId, status: 200 })
      .filter((request) => JSON.stringify(request.body).includes(slow.userId));
  await server.waitFor(() => queriesForSlow().length === 2, 60_000, "the query after the late answer");
  const next = await bot.engine.encrypt(targetOf(room, users), "x.a", { n: 2 }, soon());
  assert.deepEqual(next.withheldFrom, []);
  await slow.sync();
  assert.equal((await slow.engine.decrypt(asEvent(room, bot.userId, next.content, "$e"))).kind, "decrypted");
});

test("nothing is encrypted that nobody could read: the caller may try again within the lifetime", async (t) => {
  const server = await serverFor(t);
  const bot = await CryptoPeer.start(t, { server, account: server.createAccount("bot") });
  const alice = await CryptoPeer.start(t, { server, account: server.createAccount("alice") });
  const users = [bot.userId, alice.userId];
  const target = targetOf(encryptedRoom(server, users), users);
  server.fault({ path: "keys/query", times: Infinity, action: { kind: "answer", status: 500 } });
  await assert.rejects(bot.engine.encrypt(target, "x.a", { n: 1 }, soon()), { code: "SERVER_REFUSED", status: 500 });
  server.clearFaults();
  assert.deepEqual((await bot.engine.encrypt(target, "x.a", { n: 1 }, soon())).withheldFrom, []);
});

test("a device without one-time keys is named, and gets the next key once it has some", async (t) => {
  const server = await serverFor(t);
  const bot = await CryptoPeer.start(t, { server, account: server.createAccount("bot") });
  const alice = await CryptoPeer.start(t, { server, account: server.createAccount("alice") });
  const carol = await CryptoPeer.start(t, { server, account: server.createAccount("carol") });
  const users = [bot.userId, alice.userId, carol.userId];
  const room = encryptedRoom(server, users);
  server.fault({
    path: "keys/claim",
    action: { kind: "answer", status: 200, body: { one_time_keys: {}, failures: {} } },
  });
  const { withheldFrom } = await bot.engine.encrypt(targetOf(room, users), "x.a", { n: 1 }, soon());
  const devices = [alice, carol].map(({ userId, engine }) => ({
    userId,
    deviceId: engine.identity.deviceId,
    reason: "no_session",
  }));
  const byUser = (a: { userId: string }, b: { userId: string }): number => a.userId.localeCompare(b.userId);
  assert.deepEqual([...withheldFrom].sort(byUser), devices);
  // Told once for each session; still true for the next message of it.
  const again = await bot.engine.encrypt(targetOf(room, users), "x.a", { n: 2 }, soon());
  assert.deepEqual([...again.withheldFrom].sort(byUser), devices);
});

test("a lost reply to a key share repeats it under the same transaction ID, and the key arrives once", async (t) => {
  const server = await serverFor(t);
  const bot = await CryptoPeer.start(t, {
    server,
    account: server.createAccount("bot"),
    directory: temporaryDirectory(t),
  });
  const alice = await CryptoPeer.start(t, { server, account: server.createAccount("alice") });
  const users = [bot.userId, alice.userId];
  const room = encryptedRoom(server, users);
  server.fault({ path: "sendToDevice", userId: bot.userId, action: { kind: "dropAfter" } });
  const { content } = await bot.engine.encrypt(targetOf(room, users), "x.a", { n: 1 }, soon());
  const shares = keyShares(server, bot.userId);
  assert.equal(shares.length, 2);
  assert.equal(shares[0]?.path, shares[1]?.path);
  const { newSessions } = await alice.sync();
  assert.equal(newSessions.length, 1);
  assert.equal((await alice.engine.decrypt(asEvent(room, bot.userId, content, "$e"))).kind, "decrypted");
});

test("a share that was not confirmed before the end of the process comes back under the same transaction ID", async (t) => {
  const server = await serverFor(t);
  const account = server.createAccount("bot");
  const directory = temporaryDirectory(t);
  const alice = await CryptoPeer.start(t, { server, account: server.createAccount("alice") });
  const users = [account.userId, alice.userId];
  const room = encryptedRoom(server, users);
  const target = targetOf(room, users);
  const hanging = server.fault({ path: "sendToDevice", userId: account.userId, action: { kind: "hang", after: true } });

  const before = await CryptoPeer.open({ server, account, directory });
  await before.engine.start();
  const unconfirmed = assert.rejects(before.engine.encrypt(target, "x.a", { n: 1 }, soon()), Cancelled);
  await server.waitFor(() => hanging.hits === 1, 60_000, "the share");
  await before.close();
  await unconfirmed;

  const after = await CryptoPeer.start(t, { server, account, directory });
  const { content } = await after.engine.encrypt(target, "x.a", { n: 2 }, soon());
  const shares = keyShares(server, account.userId);
  assert.equal(shares.length, 2);
  assert.equal(shares[0]?.path, shares[1]?.path);
  const { newSessions } = await alice.sync();
  assert.equal(newSessions.length, 1);
  const clear = await alice.engine.decrypt(asEvent(room, after.userId, content, "$e"));
  assert.deepEqual(clear.kind === "decrypted" && clear.content, { n: 2 });
});

test("while one room's share hangs, syncs are received, events decrypted, and other rooms encrypted", async (t) => {
  const server = await serverFor(t);
  const bot = await CryptoPeer.start(t, {
    server,
    account: server.createAccount("bot"),
    directory: temporaryDirectory(t),
  });
  const alice = await CryptoPeer.start(t, { server, account: server.createAccount("alice") });
  const users = [bot.userId, alice.userId];
  const [slowRoom, otherRoom] = [encryptedRoom(server, users), encryptedRoom(server, users)];
  const hanging = server.fault({ path: "sendToDevice", userId: bot.userId, action: { kind: "hang" } });
  const slow = bot.engine.encrypt(targetOf(slowRoom, users), "x.a", { n: 1 }, soon());
  await server.waitFor(() => hanging.hits === 1, 60_000, "the share");

  await alice.send(targetOf(otherRoom, users), "x.a", { n: 2 }, "t1");
  const { events } = await bot.sync();
  const event = events.find((candidate) => candidate.type === "m.room.encrypted");
  assert.ok(event);
  assert.equal((await bot.engine.decrypt(event)).kind, "decrypted");
  assert.ok((await bot.engine.encrypt(targetOf(otherRoom, users), "x.a", { n: 3 }, soon())).content["ciphertext"]);
  hanging.release();
  assert.ok((await slow).content["ciphertext"]);
});

test("an encryption that is aborted while it waits ends at once, and the next one goes on where it stopped", async (t) => {
  const server = await serverFor(t);
  const bot = await CryptoPeer.start(t, { server, account: server.createAccount("bot") });
  const alice = await CryptoPeer.start(t, { server, account: server.createAccount("alice") });
  const users = [bot.userId, alice.userId];
  const room = encryptedRoom(server, users);
  for (const path of ["keys/query", "keys/claim", "sendToDevice"]) {
    const hanging = server.fault({ path, userId: bot.userId, action: { kind: "hang" } });
    const aborting = new AbortController();
    const waiting = assert.rejects(bot.engine.encrypt(targetOf(room, users), "x.a", {}, aborting.signal), Cancelled);
    await server.waitFor(() => hanging.hits === 1, 60_000, path);
    aborting.abort();
    await waiting;
    hanging.release();
  }
  const { content } = await bot.engine.encrypt(targetOf(room, users), "x.a", { n: 1 }, soon());
  await alice.sync();
  assert.equal((await alice.engine.decrypt(asEvent(room, bot.userId, content, "$e"))).kind, "decrypted");
});

test("stopping ends what waits for the server and starts nothing new", async (t) => {
  const server = await serverFor(t);
  const bot = await CryptoPeer.start(t, { server, account: server.createAccount("bot") });
  const alice = await CryptoPeer.start(t, { server, account: server.createAccount("alice") });
  const users = [bot.userId, alice.userId];
  const target = targetOf(encryptedRoom(server, users), users);
  const hanging = server.fault({ path: "keys/query", userId: bot.userId, action: { kind: "hang" } });
  const waiting = assert.rejects(bot.engine.encrypt(target, "x.a", {}, soon()), Cancelled);
  await server.waitFor(() => hanging.hits === 1, 60_000, "the query");
  await bot.engine.stop();
  await waiting;
  await bot.engine.stop();
  await assert.rejects(bot.engine.encrypt(target, "x.a", {}, soon()), Cancelled);
  await assert.rejects(bot.sync(), Cancelled);
  assert.deepEqual(bot.fatal, []);
});

test("a recipient that is no user ID is named and keeps nobody from getting the key", async (t) => {
  const server = await serverFor(t);
  const bot = await CryptoPeer.start(t, { server, account: server.createAccount("bot") });
  const alice = await CryptoPeer.start(t, { server, account: server.createAccount("alice") });
  const users = [bot.userId, alice.userId];
  const room = encryptedRoom(server, users);
  const target = targetOf(room, [...users, "nobody"]);
  const { content, withheldFrom } = await bot.engine.encrypt(target, "x.a", {}, soon());
  assert.deepEqual(withheldFrom, [{ userId: "nobody" as UserId, deviceId: null, reason: "unanswered" }]);
  await alice.sync();
  assert.equal((await alice.engine.decrypt(asEvent(room, bot.userId, content, "$e"))).kind, "decrypted");
});

test("an own homeserver that is away is unreachable, and says so to whoever encrypts", async (t) => {
  const server = await serverFor(t);
  const bot = await CryptoPeer.start(t, { server, account: server.createAccount("bot") });
  const target = targetOf(encryptedRoom(server, [bot.userId]), [bot.userId, "@alice:localhost"]);
  await server.pause();
  await assert.rejects(bot.engine.encrypt(target, "x.a", {}, soon()), ServerUnreachable);
});
