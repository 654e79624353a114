/** One-time keys that are claimed from several servers, and answers that the crypto library can't read. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { isJsonObject, type JsonObject } from "../../src/protocol/json.ts";
import { startDevServer } from "../../devserver/server.ts";
import { startAnswerProxy, type AnswerProxy } from "../support/answerProxy.ts";
import { asEvent, CryptoPeer, encryptedRoom, targetOf } from "../support/cryptoPeer.ts";

const soon = (): AbortSignal => AbortSignal.timeout(20_000);

/** The bot behind a proxy, and one peer for each other account. */
async function peersOf(
  t: TestContext,
  names: readonly string[],
): Promise<{ proxy: AnswerProxy; bot: CryptoPeer; peers: readonly CryptoPeer[]; target: ReturnType<typeof targetOf> }> {
  const server = await startDevServer();
  t.after(() => server.stop());
  const proxy = await startAnswerProxy(t, server.url);
  const bot = await CryptoPeer.start(t, { server: proxy, account: server.createAccount("bot") });
  const peers: CryptoPeer[] = [];
  for (const name of names) peers.push(await CryptoPeer.start(t, { server, account: server.createAccount(name) }));
  const users = [bot, ...peers].map((peer) => peer.userId);
  return { proxy, bot, peers, target: targetOf(encryptedRoom(server, users), users) };
}

/** Claims for users of these servers are answered with what is no key. */
function garbageFrom(servers: readonly string[]): AnswerProxy["change"] {
  return (path, { one_time_keys: wanted }): JsonObject | undefined => {
    if (!path.endsWith("/keys/claim") || !isJsonObject(wanted)) return undefined;
    const users = Object.keys(wanted).filter((user) => servers.some((server) => user.endsWith(`:${server}`)));
    if (users.length === 0) return undefined;
    return { one_time_keys: Object.fromEntries(users.map((user) => [user, { DEVICE: "none" }])), failures: {} };
  };
}

test("servers that answer a claim with something unreadable cost their own users the key, and nobody else", async (t) => {
  const { proxy, bot, peers, target } = await peersOf(t, [
    "alice",
    "@carol:good.example",
    "@m:bad.example",
    "@n:worse.example",
  ]);
  proxy.change = garbageFrom(["bad.example", "worse.example"]);
  const { content, withheldFrom } = await bot.engine.encrypt(target, "x.a", { n: 1 }, soon());
  const withheld = withheldFrom.map(({ userId }) => userId).sort();
  assert.deepEqual(withheld, ["@m:bad.example", "@n:worse.example"]);
  for (const peer of peers.slice(0, 2)) {
    await peer.sync();
    const clear = await peer.engine.decrypt(asEvent(target.roomId, bot.userId, content, "$e"));
    assert.deepEqual(clear.kind === "decrypted" && clear.content, { n: 1 });
  }
  assert.deepEqual(bot.fatal, []);
});

test("while the own homeserver answers claims with something unreadable, encryption fails and can be repeated", async (t) => {
  const { proxy, bot, peers, target } = await peersOf(t, ["alice", "@carol:good.example"]);
  proxy.change = garbageFrom(["localhost"]);
  const refused = { code: "SERVER_UNREACHABLE", doubtful: false, message: /^(?!.*DEVICE)(?!.*alice)/ };
  await assert.rejects(bot.engine.encrypt(target, "x.a", { n: 1 }, soon()), refused);
  await assert.rejects(bot.engine.encrypt(target, "x.a", { n: 1 }, soon()), refused);
  proxy.change = null;
  const { content, withheldFrom } = await bot.engine.encrypt(target, "x.a", { n: 1 }, soon());
  assert.deepEqual(withheldFrom, []);
  for (const peer of peers) {
    await peer.sync();
    assert.equal((await peer.engine.decrypt(asEvent(target.roomId, bot.userId, content, "$e"))).kind, "decrypted");
  }
  assert.deepEqual(bot.fatal, []);
});
