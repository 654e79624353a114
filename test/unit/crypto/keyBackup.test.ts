/** Room keys into the account's key backup and out of it: on the real library, with the backup endpoints in memory. */
import assert from "node:assert/strict";
import { setImmediate as nextTurn } from "node:timers/promises";
import test, { type TestContext } from "node:test";
import {
  BackupDecryptionKey,
  EncryptionSettings,
  RoomId as LibraryRoomId,
  UserId,
} from "@matrix-org/matrix-sdk-crypto-wasm";
import { systemClock } from "../../../src/clock.ts";
import type { SessionRef } from "../../../src/crypto/sessionRef.ts";
import { KeyBackup, type KeyBackupOptions } from "../../../src/crypto/keyBackup.ts";
import type { Machine } from "../../../src/crypto/machine.ts";
import { WANTED_LIMITS } from "../../../src/crypto/wantedSessions.ts";
import { ServerRefused, ServerUnreachable, StoreFailed } from "../../../src/errors.ts";
import { silentLogger } from "../../../src/logging.ts";
import type { Homeserver, RequestOptions } from "../../../src/matrix/homeserver.ts";
import type { RoomId } from "../../../src/protocol/ids.ts";
import type { JsonObject, JsonValue } from "../../../src/protocol/json.ts";
import { Vitals } from "../../../src/vitals.ts";
import { loneMachine, LONE_USER } from "../../support/loneMachine.ts";
import { RoomKeyServer, wrongVersion } from "../../support/roomKeyServer.ts";

const { signal } = new AbortController();
const AT_ONCE = {
  gatherMs: 0,
  betweenMs: 0,
  checkEveryMs: 3_600_000,
  checkAtMostEveryMs: 0,
  firstPauseMs: 1,
  longestPauseMs: 5,
};

interface Device {
  readonly machine: Machine;
  readonly backup: KeyBackup;
  readonly vitals: Vitals;
  /** Sessions that the library told of, since the device was made. */
  readonly told: string[];
  readonly fatal: Error[];
}

async function device(
  t: TestContext,
  server: RoomKeyServer,
  { deviceId = "BOT", machine: given, ...more }: Partial<KeyBackupOptions> & { deviceId?: string } = {},
): Promise<Device> {
  const machine = given ?? (await loneMachine(t, { deviceId }));
  const stopping = new AbortController();
  const vitals = new Vitals();
  const fatal: Error[] = [];
  const told: string[] = [];
  const backup = new KeyBackup({
    machine,
    homeserver: server.homeserver,
    clock: systemClock,
    log: silentLogger,
    vitals,
    signal: stopping.signal,
    onFatal: (error) => void fatal.push(error),
    pace: AT_ONCE,
    ...more,
  });
  await machine.use("registerRoomKeyUpdatedCallback", async (olm) =>
    olm.registerRoomKeyUpdatedCallback(async (keys: { sessionId: string }[]) => {
      for (const { sessionId } of keys) told.push(sessionId);
      backup.noteNewKeys();
    }),
  );
  t.after(async () => {
    stopping.abort();
    await backup.settled();
  });
  return { machine, backup, vitals, told, fatal };
}

const roomId = (number: number): RoomId => `!room${number}:example.org` as RoomId;

/** Room keys of the device's own, one for each room. */
async function makeKeys({ machine, told }: Device, count: number, first = 0): Promise<void> {
  const before = told.length;
  for (let number = first; number < first + count; number += 1)
    await machine.use("shareRoomKey", (olm) =>
      olm.shareRoomKey(new LibraryRoomId(roomId(number)), [new UserId(LONE_USER)], new EncryptionSettings()),
    );
  await until(() => told.length === before + count);
}

async function until(fits: () => boolean): Promise<void> {
  const patience = AbortSignal.timeout(30_000);
  while (!fits()) {
    patience.throwIfAborted();
    await systemClock.sleep(1);
    await nextTurn();
  }
}

const counts = (machine: Machine): Promise<{ total: number; backedUp: number }> =>
  machine.use("roomKeyCounts", async (olm) => {
    const { total, backedUp } = await olm.roomKeyCounts();
    return { total, backedUp };
  });

/** A backup with so many keys in it, by a device that is done with it. */
async function filledBackup(t: TestContext, count: number): Promise<{ server: RoomKeyServer; key: string }> {
  const server = new RoomKeyServer();
  const writer = await device(t, server, { deviceId: "WRITER" });
  const key = writer.backup.newKey();
  await writer.backup.create(key, signal);
  await makeKeys(writer, count);
  writer.backup.start();
  await until(() => server.sessions().length === count);
  return { server, key };
}

function publicKeyOf(key: string): string {
  return BackupDecryptionKey.fromBase64(key).megolmV1PublicKey.publicKeyBase64;
}

function refs(server: RoomKeyServer): SessionRef[] {
  return [...server.current.rooms].flatMap(([room, sessions]) =>
    [...sessions.keys()].map((sessionId) => ({ roomId: room as RoomId, sessionId })),
  );
}

test("room keys go into the backup as they come, in portions, and each once", async (t) => {
  const server = new RoomKeyServer();
  const bot = await device(t, server);
  await makeKeys(bot, 150);
  await bot.backup.create(bot.backup.newKey(), signal);
  bot.backup.start();
  await until(() => bot.vitals.facts().backup.counts?.backedUp === 150);
  assert.equal(server.asked.filter((asked) => asked === "PUT keys").length, 2);

  await makeKeys(bot, 1, 150);
  await until(() => bot.vitals.facts().backup.counts?.backedUp === 151);
  assert.deepEqual(new Set(server.sessions()), new Set(bot.told));
  assert.equal(server.asked.filter((asked) => asked === "PUT keys").length, 3);
});

test("nothing goes into a backup that is not ours, however often it is looked at", async (t) => {
  const server = new RoomKeyServer();
  const bot = await device(t, server, { pace: { ...AT_ONCE, checkEveryMs: 1 } });
  await makeKeys(bot, 3);
  server.make({ public_key: "A".repeat(43) });
  bot.backup.start();
  // Each look is followed by an upload, if there is to be one.
  await until(() => server.asked.length >= 4);
  assert.deepEqual(new Set(server.asked), new Set(["GET version"]));
});

test("an upload that fails, or whose answer is lost, is repeated until the keys are there", async (t) => {
  const server = new RoomKeyServer();
  const bot = await device(t, server);
  await bot.backup.create(bot.backup.newKey(), signal);
  await makeKeys(bot, 2);
  const failures = [
    new ServerRefused("slow down", { status: 429, errcode: "M_LIMIT_EXCEEDED", retryAfterMs: 120 }),
    new ServerUnreachable("no answer", { doubtful: true }),
    new ServerRefused("failing", { status: 500, errcode: "M_UNKNOWN" }),
  ];
  const at: number[] = [];
  server.after = (asked) => {
    if (asked !== "PUT keys") return;
    at.push(performance.now());
    const failure = failures.shift();
    if (failure !== undefined) throw failure;
  };
  bot.backup.start();
  await until(() => bot.vitals.facts().backup.counts?.backedUp === 2);
  assert.equal(at.length, 4);
  assert.ok((at[1] ?? 0) - (at[0] ?? 0) >= 115, "as long as the homeserver asked");
  assert.equal(bot.vitals.facts().backup.trouble, null);
});

test("a version that is gone while keys are uploaded is looked up, and its successor is used only if it is ours", async (t) => {
  const server = new RoomKeyServer();
  const bot = await device(t, server);
  await makeKeys(bot, 2);
  await bot.backup.create(bot.backup.newKey(), signal);
  bot.backup.start();
  await until(() => bot.vitals.facts().backup.counts?.backedUp === 2);

  const theirs = server.make({ public_key: "A".repeat(43) });
  await makeKeys(bot, 1, 2);
  await until(() => bot.backup.state.kind === "untrusted");
  assert.equal(theirs.rooms.size, 0);
  assert.match(bot.vitals.noted().get("key_backup") ?? "", /not trusted/);

  await bot.backup.create(bot.backup.newKey(), signal);
  await until(() => server.sessions().length === 3);
  assert.deepEqual(new Set(server.sessions()), new Set(bot.told), "what was in the first version, too");
});

test("a version that is refused ends no loop, and a 404 is no reason to stop for ever", async (t) => {
  const server = new RoomKeyServer();
  const bot = await device(t, server);
  await bot.backup.create(bot.backup.newKey(), signal);
  await makeKeys(bot, 1);
  let refusals = 3;
  server.before = (asked) => {
    if (asked === "PUT keys" && refusals-- > 0) throw wrongVersion();
  };
  bot.backup.start();
  await until(() => bot.vitals.facts().backup.counts?.backedUp === 1);
});

test("after a restart only what is not in the backup yet is uploaded", async (t) => {
  const server = new RoomKeyServer();
  const first = await device(t, server);
  await first.backup.create(first.backup.newKey(), signal);
  await makeKeys(first, 3);
  first.backup.start();
  await until(() => first.vitals.facts().backup.counts?.backedUp === 3);

  const again = await device(t, server, { machine: first.machine });
  server.current.rooms.clear();
  await makeKeys(again, 1, 3);
  again.backup.start();
  await until(() => again.vitals.facts().backup.counts?.backedUp === 4);
  assert.deepEqual(server.sessions(), again.told);
});

test("a session that an event can't be decrypted without is fetched by itself, and told like any new key", async (t) => {
  const { server, key } = await filledBackup(t, 5);
  const reader = await device(t, server, { deviceId: "READER" });
  reader.backup.start();
  const [wanted] = refs(server);
  assert.ok(wanted !== undefined);
  // Before there is a key, too: it is asked for as soon as there is one.
  reader.backup.noteUndecryptable(wanted.roomId, { reason: "no_session", sessionId: wanted.sessionId });
  await reader.backup.adopt(key, signal);
  await until(() => reader.told.length === 1);
  assert.deepEqual(reader.told, [wanted.sessionId]);
  assert.deepEqual(await counts(reader.machine), { total: 1, backedUp: 1 }, "and need not be uploaded");
});

test("what the journal waits for is asked for by itself, page by page", async (t) => {
  const { server, key } = await filledBackup(t, 5);
  const parked = refs(server);
  const reader = await device(t, server, {
    deviceId: "READER",
    parkedSessions: (after, most) => {
      const first = after === null ? 0 : parked.findIndex(({ sessionId }) => sessionId === after.sessionId) + 1;
      return parked.slice(first, first + most);
    },
    limits: { ...WANTED_LIMITS, page: 2 },
  });
  await reader.backup.adopt(key, signal);
  reader.backup.start();
  await until(() => reader.told.length >= parked.length);
  assert.deepEqual(new Set(reader.told), new Set(parked.map(({ sessionId }) => sessionId)));
});

test("a session that something before the homeserver refuses, a proxy say, holds up no other", async (t) => {
  const { server, key } = await filledBackup(t, 1);
  const homeserver = {
    request: async (method: "GET", path: string, options: RequestOptions) => {
      if (path.includes("with%2Fslash")) throw new ServerRefused("Not found.", { status: 404, errcode: null });
      return await server.homeserver.request(method, path, options);
    },
  } as Homeserver;
  const pauses: number[] = [];
  const sleep = (ms: number): Promise<void> => {
    pauses.push(ms);
    return systemClock.sleep(1);
  };
  const reader = await device(t, server, { deviceId: "READER", homeserver, clock: { ...systemClock, sleep } });
  await reader.backup.adopt(key, signal);
  for (let number = 10; number < 20; number += 1)
    reader.backup.noteUndecryptable(roomId(number), { reason: "no_session", sessionId: `with/slash${number}` });
  for (const { roomId: room, sessionId } of refs(server))
    reader.backup.noteUndecryptable(room, { reason: "no_session", sessionId });
  reader.backup.start();
  await until(() => reader.told.length === 1);
  assert.deepEqual(
    pauses.filter((ms) => ms >= 1_000),
    [],
  );
});

test("ten thousand sessions that nobody has cost a bounded number of requests, and another room's key comes between them", async (t) => {
  const { server, key } = await filledBackup(t, 1);
  const limits = { ...WANTED_LIMITS, burst: 40, perMinute: 1 };
  const reader = await device(t, server, { deviceId: "READER", limits });
  await reader.backup.adopt(key, signal);
  reader.backup.start();
  for (let number = 0; number < 10_000; number += 1)
    reader.backup.noteUndecryptable("!flood:example.org" as RoomId, {
      reason: "no_session",
      sessionId: `session${number}`,
    });
  for (const { roomId: room, sessionId } of refs(server))
    reader.backup.noteUndecryptable(room, { reason: "withheld", sessionId });
  const lookups = (): number => server.asked.filter((asked) => asked === "GET keys").length;
  await until(() => reader.told.length === 1);
  assert.ok(lookups() <= 6, "its turn was the second");
  await until(() => lookups() === 40);
});

test("an entry of the backup that is broken, or another session's, costs itself alone and is named", async (t) => {
  const { server, key } = await filledBackup(t, 8);
  const entries = [...server.current.rooms.values()];
  const edit = (place: number, change: (entry: JsonObject) => JsonObject | null): string => {
    const sessions = entries[place] ?? new Map<string, JsonValue>();
    for (const [sessionId, entry] of sessions) {
      sessions.set(sessionId, change(entry as JsonObject));
      return sessionId;
    }
    throw new Error("there is no such entry");
  };
  const other = [...(entries[7]?.values() ?? [])][0] as JsonObject;
  const broken = [
    edit(0, () => null),
    edit(1, (entry) => ({ ...entry, session_data: {} })),
    edit(2, (entry) => ({ ...entry, session_data: { ...(entry["session_data"] as JsonObject), mac: "AAAAAAAAAAA" } })),
    edit(3, (entry) => ({ ...entry, session_data: { ephemeral: 1, mac: [], ciphertext: null } })),
    edit(4, () => other),
  ];
  server.current.rooms.set("no room", new Map([["x", other]]));
  const reader = await device(t, server, { deviceId: "READER" });
  await reader.backup.adopt(key, signal);
  const steps: number[] = [];

  const restored = await reader.backup.restore(({ done, total }) => {
    assert.equal(total, 9);
    steps.push(done);
  }, signal);

  assert.deepEqual(steps, [0, 9]);
  assert.ok(restored !== null);
  assert.equal(restored.total, 9);
  assert.equal(restored.imported, 3);
  assert.equal(restored.corrupt, 6);
  assert.deepEqual(new Set(restored.named.map(({ sessionId }) => sessionId)), new Set([...broken, "x"]));
  await until(() => reader.told.length === 3);

  const again = await reader.backup.restore(() => undefined, signal);
  assert.equal(again?.imported, 0, "what is here is not taken in again");
  assert.equal(again?.corrupt, 6);
});

test("a backup is restored in portions, and other work on the engine goes on between them", async (t) => {
  const { server, key } = await filledBackup(t, 250);
  const reader = await device(t, server, { deviceId: "READER" });
  await reader.backup.adopt(key, signal);
  const portions: number[] = [];
  let between = 0;
  const restored = await reader.backup.restore(({ done }) => {
    portions.push(done);
    void reader.machine.use("roomKeyCounts", async (olm) => void (between = (await olm.roomKeyCounts()).total));
    if (done === 200) assert.equal(between, 100);
  }, signal);
  assert.deepEqual(portions, [0, 100, 200, 250]);
  assert.equal(restored?.imported, 250);
  assert.deepEqual(await counts(reader.machine), { total: 250, backedUp: 250 });
});

test("a backup whose key is not here can't be restored, and says so", async (t) => {
  const { server } = await filledBackup(t, 1);
  const reader = await device(t, server, { deviceId: "READER" });
  assert.equal(await reader.backup.restore(() => undefined, signal), null);
  assert.equal(reader.backup.state.kind, "untrusted");
});

test("the key of a version that another session made is taken from secret storage, if it is that version's; then all goes there", async (t) => {
  const server = new RoomKeyServer();
  let stored: string | null = null;
  const bot = await device(t, server, { pace: { ...AT_ONCE, checkEveryMs: 1 }, storedKey: async () => stored });
  await bot.backup.create(bot.backup.newKey(), signal);
  await makeKeys(bot, 2);
  bot.backup.start();
  await until(() => bot.vitals.facts().backup.counts?.backedUp === 2);

  const key = bot.backup.newKey();
  stored = bot.backup.newKey();
  server.make({ public_key: publicKeyOf(key) });
  await until(() => bot.backup.state.kind === "untrusted");
  stored = key;
  await until(() => bot.backup.state.kind === "in_use" && server.sessions().length === 2);
  assert.equal(bot.backup.state.version, "2");
});

test("a token that the homeserver refuses ends the bot, once", async (t) => {
  const server = new RoomKeyServer();
  const bot = await device(t, server);
  server.before = () => {
    throw new ServerRefused("signed out", { status: 401, errcode: "M_UNKNOWN_TOKEN", tokenRefused: true });
  };
  bot.backup.start();
  await until(() => bot.fatal.length > 0);
  assert.equal(bot.fatal.length, 1);
});

test("a journal that can't be read any more ends the bot, with the journal's own error", async (t) => {
  const { server, key } = await filledBackup(t, 1);
  const broken = new StoreFailed("The disk is gone.");
  const parkedSessions = (): never => {
    throw broken;
  };
  const reader = await device(t, server, { deviceId: "READER", parkedSessions });
  await reader.backup.adopt(key, signal);
  reader.backup.start();
  await until(() => reader.fatal.length > 0);
  assert.deepEqual(reader.fatal, [broken]);
});
