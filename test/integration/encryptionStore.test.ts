/** Keys and the disk: what was not written was not used, and what was written is there after a restart. */
import assert from "node:assert/strict";
import { setImmediate as nextTurn } from "node:timers/promises";
import { test, type TestContext } from "node:test";
import { startDevServer, type DevServer } from "../../devserver/server.ts";
import { DataDirectoryRefused, StoreFailed } from "../../src/errors.ts";
import type { JsonObject } from "../../src/protocol/json.ts";
import { asEvent, CryptoPeer, encryptedRoom, targetOf } from "../support/cryptoPeer.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";

async function serverFor(t: TestContext): Promise<DevServer> {
  const server = await startDevServer();
  t.after(() => server.stop());
  return server;
}

function soon(): AbortSignal {
  return AbortSignal.timeout(20_000);
}

test(
  "when the store refuses its n-th write, for every n, no ciphertext comes out after it",
  { timeout: 240_000 },
  async (t) => {
    const server = await serverFor(t);
    const alice = await CryptoPeer.start(t, { server, account: server.createAccount("alice") });
    let refusals = 0;
    for (let refuseAt = 1; ; refuseAt += 1) {
      assert.ok(refuseAt < 100, "the loop must end with a run that has no such write");
      const account = server.createAccount(`bot${refuseAt}`);
      const users = [account.userId, alice.userId];
      const room = encryptedRoom(server, users);
      const refused = Promise.withResolvers<"refused">();
      let commits = -Infinity;
      const beforeCommit = (): void => {
        commits += 1;
        if (commits < refuseAt) return;
        refused.resolve("refused");
        throw new Error("no room left");
      };
      // The library waits for its store for ever then; nothing of this peer is waited for.
      const bot = await CryptoPeer.open({
        server,
        account,
        directory: temporaryDirectory(t),
        hooks: { beforeCommit },
        watchdogMs: 5_000,
      });
      await bot.engine.start();
      commits = 0;
      const out: JsonObject[] = [];
      const encrypting = (async () => {
        for (const n of [1, 2])
          out.push((await bot.engine.encrypt(targetOf(room, users), "x.a", { n }, soon())).content);
        return "whole" as const;
      })();
      encrypting.catch(() => undefined);
      const end = await Promise.race([encrypting, refused.promise]);
      const outBefore = out.length;
      // Time for a ciphertext that should not come.
      for (let turn = 0; turn < 50; turn += 1) await nextTurn();
      assert.equal(out.length, outBefore);
      if (end === "whole") {
        assert.equal(out.length, 2);
        assert.deepEqual(bot.fatal, []);
        await bot.close();
        break;
      }
      refusals += 1;
      assert.ok(bot.fatal[0] instanceof StoreFailed);
      await bot.abandon();
    }
    t.diagnostic(`${refusals} refusals`);
    assert.ok(refusals >= 5, `only ${refusals} writes: the ratchet is not kept any more?`);
  },
);

test("after a restart: the same identity, old messages readable, and only higher message indexes", async (t) => {
  const server = await serverFor(t);
  const account = server.createAccount("bot");
  const directory = temporaryDirectory(t);
  const alice = await CryptoPeer.start(t, { server, account: server.createAccount("alice") });
  const users = [account.userId, alice.userId];
  const room = encryptedRoom(server, users);
  const target = targetOf(room, users);

  const before = await CryptoPeer.start(t, { server, account, directory });
  await alice.send(target, "x.a", { from: "alice" }, "t1");
  const { events } = await before.sync();
  const sent = [];
  for (const n of [0, 1, 2]) sent.push((await before.engine.encrypt(target, "x.a", { n }, soon())).content);
  const { identity } = before.engine;
  await before.close();

  const after = await CryptoPeer.start(t, { server, account, directory });
  assert.deepEqual(after.engine.identity, identity);
  const old = events.find((event) => event.type === "m.room.encrypted");
  assert.ok(old);
  const clear = await after.engine.decrypt(old);
  assert.deepEqual(clear.kind === "decrypted" && clear.content, { from: "alice" });

  const { content } = await after.engine.encrypt(target, "x.a", { n: 3 }, soon());
  await alice.sync();
  const indexes = [];
  for (const ciphertext of [...sent, content]) {
    const read = await alice.engine.decrypt(asEvent(room, account.userId, ciphertext, "$e"));
    assert.ok(read.kind === "decrypted");
    indexes.push(read.messageIndex);
  }
  assert.deepEqual(indexes, [0, 1, 2, 3]);
  assert.equal(content["session_id"], sent[0]?.["session_id"]);
});

test("a sync that was not committed leaves nothing on disk, and comes again as a whole", async (t) => {
  const server = await serverFor(t);
  const account = server.createAccount("bot");
  const directory = temporaryDirectory(t);
  const alice = await CryptoPeer.start(t, { server, account: server.createAccount("alice") });
  const users = [account.userId, alice.userId];
  const target = targetOf(encryptedRoom(server, users), users);
  const before = await CryptoPeer.start(t, { server, account, directory });
  await alice.send(target, "x.a", { n: 1 }, "t1");
  const failure = new StoreFailed("no room left");
  const failing = before.sync(() => {
    throw failure;
  });
  await assert.rejects(failing, failure);
  assert.deepEqual(before.fatal, [failure], "the process must end");
  await assert.rejects(before.engine.encrypt(target, "x.a", {}, soon()), failure);
  await before.abandon();

  const after = await CryptoPeer.start(t, { server, account, directory });
  const { events, newSessions } = await after.sync();
  assert.equal(newSessions.length, 1);
  const event = events.find((candidate) => candidate.type === "m.room.encrypted");
  assert.ok(event);
  assert.equal((await after.engine.decrypt(event)).kind, "decrypted");
});

test("while a sync is being committed nothing is decrypted or encrypted", async (t) => {
  const server = await serverFor(t);
  const bot = await CryptoPeer.start(t, {
    server,
    account: server.createAccount("bot"),
    directory: temporaryDirectory(t),
  });
  const alice = await CryptoPeer.start(t, { server, account: server.createAccount("alice") });
  const users = [bot.userId, alice.userId];
  const room = encryptedRoom(server, users);
  const target = targetOf(room, users);
  await bot.engine.encrypt(target, "x.a", {}, soon());
  await alice.send(target, "x.a", { n: 1 }, "t1");
  const { events } = await bot.sync();
  const event = events.find((candidate) => candidate.type === "m.room.encrypted");
  assert.ok(event);
  const order: string[] = [];
  const work: Promise<unknown>[] = [];
  await bot.sync(async ({ held }) => {
    work.push(
      bot.engine.decrypt(event).then(() => order.push("decrypted")),
      bot.engine.encrypt(target, "x.a", {}, soon()).then(() => order.push("encrypted")),
    );
    for (let turn = 0; turn < 50; turn += 1) await nextTurn();
    bot.database?.transaction(() => held.apply());
    order.push("committed");
  });
  await Promise.all(work);
  assert.equal(order[0], "committed");
  assert.deepEqual(order.slice(1).sort(), ["decrypted", "encrypted"]);
});

test("the keys of another account or device are refused", async (t) => {
  const server = await serverFor(t);
  const directory = temporaryDirectory(t);
  const account = server.createAccount("bot");
  const bot = await CryptoPeer.open({ server, account, directory });
  await bot.close();
  const other = CryptoPeer.open({ server, account: server.signIn(account.userId), directory });
  await assert.rejects(other, DataDirectoryRefused);
});

test("a room's encryption settings are never weakened, not even after a restart", async (t) => {
  const server = await serverFor(t);
  const account = server.createAccount("bot");
  const directory = temporaryDirectory(t);
  const sessionsOfThree = async (peer: CryptoPeer, target: ReturnType<typeof targetOf>): Promise<number> => {
    const sessions = new Set<unknown>();
    for (const n of [1, 2, 3])
      sessions.add((await peer.engine.encrypt(target, "x.a", { n }, soon())).content["session_id"]);
    return sessions.size;
  };
  const users = [account.userId];
  const [strict, loose] = [encryptedRoom(server, users), encryptedRoom(server, users)];
  const perMessage = { algorithm: "m.megolm.v1.aes-sha2", rotation_period_msgs: 1 };

  const before = await CryptoPeer.start(t, { server, account, directory });
  assert.equal(await sessionsOfThree(before, targetOf(strict, users, perMessage)), 3);
  assert.equal(await sessionsOfThree(before, targetOf(strict, users, {})), 3, "weaker settings");
  assert.equal(await sessionsOfThree(before, targetOf(loose, users, {})), 1);
  assert.equal(await sessionsOfThree(before, targetOf(loose, users, perMessage)), 3, "stricter settings, at once");
  await before.close();

  const after = await CryptoPeer.start(t, { server, account, directory });
  assert.equal(await sessionsOfThree(after, targetOf(strict, users, { rotation_period_msgs: 100 })), 3);
  assert.equal(await sessionsOfThree(after, targetOf(strict, users, { algorithm: "none" })), 3);
});
