/** What the homeserver knows of a device is held to the data directory: the mark of an older copy, and whose keys it shows. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startDevServer } from "../../devserver/server.ts";
import { systemClock } from "../../src/clock.ts";
import { Database } from "../../src/journal/database.ts";
import { setSyncPosition } from "../../src/journal/syncPosition.ts";
import { silentLogger } from "../../src/logging.ts";
import type { DeviceId, SyncToken } from "../../src/protocol/ids.ts";
import { CopyMark } from "../../src/session/copyMark.ts";
import { MarkKeeper } from "../../src/session/markKeeper.ts";
import { OwnKeyWatch } from "../../src/session/ownKeyWatch.ts";
import { Vitals } from "../../src/vitals.ts";
import { CryptoPeer } from "../support/cryptoPeer.ts";

const soon = (): AbortSignal => AbortSignal.timeout(60_000);

function used(): Database {
  const database = Database.inMemory();
  database.transaction(() => setSyncPosition(database, "s1" as SyncToken));
  return database;
}

/** The marks of a directory at one moment: what a copy takes along. */
function copyOf(database: Database): Database {
  const copy = used();
  for (const { value } of database.prepare<{ value: string }>("SELECT value FROM meta WHERE key = 'copy_marks'").all())
    copy.prepare("INSERT INTO meta (key, value) VALUES ('copy_marks', ?)").run(value);
  return copy;
}

test("a mark is foreign only to a directory that never put it there, and that has been used", async (t) => {
  const server = await startDevServer();
  t.after(() => server.stop());
  const account = server.createAccount("docket", "not a secret", { deviceId: "DOCKETBOT" });
  const peer = await CryptoPeer.open({ server, account });
  t.after(() => peer.close());
  const markOf = (database: Database): CopyMark =>
    new CopyMark({ database, homeserver: peer.client, userId: peer.userId, deviceId: account.deviceId as DeviceId });
  const [live, other] = [used(), used()];
  assert.equal(await markOf(live).isForeign(soon()), false, "there is none");
  await markOf(live).renew(soon());
  const old = copyOf(live);
  assert.equal(await markOf(old).isForeign(soon()), false, "nothing has happened since the copy was made");
  const puts = () =>
    server.requests({ path: /account_data/, userId: account.userId }).filter(({ method }) => method === "PUT");
  const [late] = puts();
  await markOf(live).renew(soon());
  assert.equal(await markOf(live).isForeign(soon()), false);
  assert.equal(await markOf(old).isForeign(soon()), true);
  assert.equal(await markOf(other).isForeign(soon()), true);
  assert.equal(
    await markOf(Database.inMemory()).isForeign(soon()),
    false,
    "a new directory of a new device of the same name",
  );

  // A request that arrives late, and one whose reply is lost.
  assert.ok(late !== undefined);
  const path = `/_matrix/client/v3/user/${encodeURIComponent(peer.userId)}/account_data/io.github.matrix-docket.device.DOCKETBOT`;
  await peer.client.request("PUT", path, { body: late.body, signal: soon() });
  assert.equal(await markOf(live).isForeign(soon()), false);
  server.fault({ path: /account_data/, method: "PUT", action: { kind: "dropAfter" }, times: Infinity });
  await assert.rejects(markOf(live).renew(soon()));
  assert.equal(await markOf(live).isForeign(soon()), false);
});

test("the keeper looks before it puts its own mark there, moves it when keys were uploaded, and waits for a homeserver that is away", async (t) => {
  const server = await startDevServer();
  t.after(() => server.stop());
  const account = server.createAccount("docket", "not a secret", { deviceId: "DOCKETBOT" });
  const peer = await CryptoPeer.open({ server, account });
  t.after(() => peer.close());
  const keeperOf = (database: Database, onForeign: () => void): MarkKeeper => {
    const owner = { userId: peer.userId, deviceId: account.deviceId as DeviceId };
    let now = 0;
    // A minute is over whenever somebody waits for one.
    const clock = {
      now: () => now,
      sleep: async (ms: number, signal?: AbortSignal) => {
        now += ms;
        await systemClock.sleep(1, signal);
      },
    };
    const failed = (error: unknown): never => assert.fail(String(error));
    const mark = new CopyMark({ database, homeserver: peer.client, ...owner });
    return new MarkKeeper({ mark, onForeign, clock, log: silentLogger, onFailure: failed });
  };
  const marks = () =>
    server
      .requests({ path: /account_data/, userId: account.userId, status: 200 })
      .filter(({ method }) => method === "PUT");
  const live = used();
  const quiet = keeperOf(live, () => assert.fail("it is ours"));
  await quiet.look(soon());
  await quiet.start();
  await server.waitFor(() => marks().length === 1, 60_000, "the mark of the start");
  const old = copyOf(live);
  quiet.noteUpload();
  await server.waitFor(() => marks().length === 2, 60_000, "the mark after an upload");
  await quiet.stop();

  const foreign = Promise.withResolvers<number>();
  const away = server.fault({ path: /account_data/, times: Infinity, action: { kind: "dropBefore" } });
  const doubting = keeperOf(old, () => foreign.resolve(marks().length));
  await doubting.look(soon());
  await doubting.start();
  away.remove();
  assert.equal(await foreign.promise, 2, "found before its own mark took the place of the other");
  await server.waitFor(() => marks().length === 3, 60_000, "its own mark");
  await doubting.stop();
});

test("keys of the device that the homeserver does not show any more, or not ours, are said when it says that they changed", async (t) => {
  const server = await startDevServer();
  t.after(() => server.stop());
  const account = server.createAccount("docket", "not a secret", { deviceId: "DOCKETBOT" });
  const peer = await CryptoPeer.start(t, { server, account });
  const vitals = new Vitals();
  const said = new Map<string, PromiseWithResolvers<void>>();
  const heard = (shown: string): PromiseWithResolvers<void> => {
    const waiting = said.get(shown) ?? Promise.withResolvers<void>();
    said.set(shown, waiting);
    return waiting;
  };
  const log = {
    ...silentLogger,
    info: () => heard("ours").resolve(),
    error: ({ shown }: { shown?: unknown }) => heard(String(shown)).resolve(),
  };
  const watch = new OwnKeyWatch({
    homeserver: peer.client,
    own: peer.engine.identity,
    clock: systemClock,
    log,
    vitals,
    onFailure: (error) => assert.fail(String(error)),
  });
  await watch.start();
  t.after(() => watch.stop());
  await heard("ours").promise;
  assert.equal(vitals.facts().ownKeys, "ours");
  // Somebody else with the same token, and keys of his own.
  await CryptoPeer.start(t, { server, account });
  watch.nudge();
  await heard("others").promise;
  assert.equal(vitals.facts().ownKeys, "others");
  const another = server.signIn(account.userId, "ANOTHER");
  const gone = new OwnKeyWatch({
    homeserver: peer.client,
    own: { ...peer.engine.identity, deviceId: another.deviceId as DeviceId },
    clock: systemClock,
    log,
    vitals,
    onFailure: (error) => assert.fail(String(error)),
  });
  server.setKeyQueries(account.userId, "fails");
  await gone.start();
  t.after(() => gone.stop());
  const questions = (): number =>
    server
      .requests({ path: /keys\/query$/, userId: account.userId })
      .filter(({ body }) => JSON.stringify(body).includes("ANOTHER")).length;
  await server.waitFor(() => questions() === 1, 60_000, "the question");
  // It asks again only when it has judged the answer.
  gone.nudge();
  await server.waitFor(() => questions() === 2, 60_000, "the next question");
  server.setKeyQueries(account.userId, "answers");
  assert.equal(vitals.facts().ownKeys, "others", "what a server does not say is no finding");
  gone.nudge();
  await heard("none").promise;
  assert.equal(vitals.facts().ownKeys, "none");
});
