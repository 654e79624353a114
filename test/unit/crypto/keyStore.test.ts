/** What the key store promises, on stores small enough to see through. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { encodeValue } from "../../../src/crypto/keyStoreEncoding.ts";
import { KeyStoreTables, type Change } from "../../../src/crypto/keyStoreTables.ts";
import { StoreFailed } from "../../../src/errors.ts";
import { Database } from "../../../src/journal/database.ts";
import type { LogFields } from "../../../src/logging.ts";
import { dump, ended, finished, type Connection, type Factory } from "../../support/indexedDbScript.ts";
import { copyAsKilled, openKeyStore, type OpenKeyStore } from "../../support/keyStoreFixture.ts";
import { temporaryDirectory } from "../../support/temporaryDirectory.ts";

const factoryOf = (opened: OpenKeyStore): Factory => opened.store.indexedDB as Factory;

/** One store with a generator, in a database of its own. */
async function connect(opened: OpenKeyStore, version = 1): Promise<Connection> {
  const request = factoryOf(opened).open("keys", version);
  request.onupgradeneeded = () => {
    const connection = request.result as Connection;
    if (![...connection.objectStoreNames].includes("numbered"))
      connection.createObjectStore("numbered", { autoIncrement: true });
  };
  return (await finished(request)) as Connection;
}

/** @returns how the transaction ended */
function put(connection: Connection, value: unknown, key?: unknown): Promise<string> {
  const transaction = connection.transaction(["numbered"], "readwrite");
  transaction.objectStore("numbered").put(value, key);
  return ended(transaction);
}

/** What a start after a kill at this moment would find. */
async function afterKill(opened: OpenKeyStore, name: string): Promise<unknown> {
  const directory = join(opened.directory, name);
  mkdirSync(directory);
  copyAsKilled(opened.directory, directory);
  const killed = await openKeyStore(directory);
  const contents = await dump(factoryOf(killed));
  await killed.close();
  return contents;
}

async function open(t: TestContext, options: Parameters<typeof openKeyStore>[1] = {}): Promise<OpenKeyStore> {
  const opened = await openKeyStore(join(temporaryDirectory(t), "data"), options);
  t.after(() => opened.close());
  return opened;
}

test("a transaction is on disk before anybody learns that it is complete", async (t) => {
  const opened = await open(t);
  const connection = await connect(opened);
  const transaction = connection.transaction(["numbered"], "readwrite");
  transaction.objectStore("numbered").put("kept");
  const found = await new Promise((resolve) => {
    transaction.oncomplete = () => {
      const other = Database.openReadOnly(opened.directory);
      resolve(other.prepare("SELECT value FROM key_store_records").all());
      other.close();
    };
  });
  assert.deepEqual(found, [{ value: encodeValue("kept") }]);
});

test("a key generator goes on where it was, also after explicit keys and aborts", async (t) => {
  const directory = temporaryDirectory(t);
  let opened = await openKeyStore(directory);
  let connection = await connect(opened);
  await put(connection, "one");
  await put(connection, "explicit", 41);
  const aborted = connection.transaction(["numbered"], "readwrite");
  aborted.objectStore("numbered").put("dropped", 99);
  const request = aborted.objectStore("numbered").put("dropped too");
  request.onsuccess = () => aborted.abort();
  assert.equal(await ended(aborted), "aborted ");
  assert.equal(await put(connection, "two"), "complete");
  await opened.close();

  opened = await openKeyStore(directory);
  t.after(() => opened.close());
  connection = await connect(opened);
  await put(connection, "three");
  const keys = connection.transaction(["numbered"], "readonly").objectStore("numbered").getAllKeys();
  assert.deepEqual(await finished(keys), [1, 41, 42, 43]);
});

test("held transactions are complete for their caller, and reach the disk with the journal's transaction", async (t) => {
  const opened = await open(t);
  const connection = await connect(opened);
  await put(connection, "before");
  const before = await dump(factoryOf(opened));

  const hold = opened.store.hold();
  assert.equal(await put(connection, "held"), "complete");
  assert.equal(await put(connection, "held too"), "complete");
  assert.deepStrictEqual(await afterKill(opened, "killed-held"), before);
  opened.database.transaction(() => hold.apply());
  assert.deepStrictEqual(await afterKill(opened, "killed-applied"), await dump(factoryOf(opened)));
  hold.release();

  assert.equal(await put(connection, "after"), "complete");
  assert.deepStrictEqual(await afterKill(opened, "killed-after"), await dump(factoryOf(opened)));
  assert.deepEqual(opened.fatal, []);
});

test("a hold is applied once, inside a transaction, and there is one at a time", async (t) => {
  const opened = await open(t);
  const connection = await connect(opened);
  const hold = opened.store.hold();
  await put(connection, "held");
  assert.throws(() => opened.store.hold(), /held already/);
  assert.throws(() => hold.apply(), /inside the journal's transaction/);
  opened.database.transaction(() => {
    hold.apply();
    assert.throws(() => hold.release(), /after the journal's transaction/);
    assert.throws(() => hold.apply(), /once/);
  });
  hold.release();
  hold.release();
  assert.deepEqual(opened.fatal, []);
});

test("a hold that is released without being applied is fatal", async (t) => {
  const opened = await open(t);
  const connection = await connect(opened);
  const hold = opened.store.hold();
  await put(connection, "held");
  hold.release();
  assert.equal(opened.fatal.length, 1);
  assert.ok(opened.fatal[0] instanceof StoreFailed);
  await assertStopped(opened, connection);
});

test("a hold whose transaction was rolled back is fatal when it is released", async (t) => {
  const opened = await open(t);
  const connection = await connect(opened);
  const hold = opened.store.hold();
  await put(connection, "held");
  rollBack(opened, () => hold.apply());
  hold.release();
  assert.equal(opened.fatal.length, 1);
  await assertStopped(opened, connection);
});

test("nothing is written on top of a hold whose transaction was rolled back", async (t) => {
  const opened = await open(t);
  const connection = await connect(opened);
  const before = await dump(factoryOf(opened));
  const hold = opened.store.hold();
  await put(connection, "held");
  rollBack(opened, () => hold.apply());
  await assertStopped(opened, connection);
  assert.equal(opened.fatal.length, 1);
  assert.deepStrictEqual(await afterKill(opened, "killed"), before);
});

test("after a refused write nothing is written, applied or deleted any more", async (t) => {
  let refusing = false;
  const hooks = {
    beforeCommit() {
      if (refusing) throw new Error("refused by the test");
    },
  };
  const opened = await open(t, { hooks });
  const connection = await connect(opened);
  const before = await dump(factoryOf(opened));
  const hold = opened.store.hold();
  refusing = true;
  await assertStopped(opened, connection);
  refusing = false;
  await assertStopped(opened, connection);
  assert.throws(() => opened.database.transaction(() => hold.apply()), StoreFailed);
  connection.close();
  let answered = false;
  void finished(factoryOf(opened).deleteDatabase("keys")).then(() => (answered = true));
  await turns();
  assert.equal(answered, false);
  assert.equal(opened.fatal.length, 1);
  assert.deepStrictEqual(await afterKill(opened, "killed"), before);
});

test("a deleted database stays deleted, and one of the same name starts empty", async (t) => {
  const directory = temporaryDirectory(t);
  let opened = await openKeyStore(directory);
  const connection = await connect(opened);
  await put(connection, "old");
  connection.close();
  await finished(factoryOf(opened).deleteDatabase("keys"));
  assert.deepStrictEqual(await afterKill(opened, "killed"), []);
  (await connect(opened)).close();
  const contents = await dump(factoryOf(opened));
  await opened.close();
  opened = await openKeyStore(directory);
  t.after(() => opened.close());
  assert.deepStrictEqual(await dump(factoryOf(opened)), contents);
});

test("commits are counted from one, held ones too, and transactions that change nothing are not", async (t) => {
  const calls: string[] = [];
  const opened = await open(t, {
    hooks: { beforeCommit: (n) => void calls.push(`before ${n}`), afterCommit: (n) => void calls.push(`after ${n}`) },
  });
  const connection = await connect(opened);
  const hold = opened.store.hold();
  await put(connection, "held");
  await ended(connection.transaction(["numbered"], "readwrite"));
  opened.database.transaction(() => hold.apply());
  hold.release();
  await put(connection, "direct");
  assert.deepEqual(calls, ["before 1", "after 1", "before 2", "after 2", "before 3", "after 3"]);
});

test("the database is copied before another version of the library uses it, and the newest two copies stay", async (t) => {
  const directory = temporaryDirectory(t);
  let contents: unknown;
  for (const [index, libraryVersion] of ["library 1", "library 2", "library 2", "library 3", "library 4"].entries()) {
    const opened = await openKeyStore(directory, { libraryVersion });
    const connection = await connect(opened);
    await put(connection, `written by start ${index}`);
    if (index === 3) contents = await dump(factoryOf(opened));
    connection.close();
    await opened.close();
  }
  const copies = readdirSync(directory)
    .filter((name) => name.endsWith(".bak"))
    .sort();
  assert.deepEqual(copies, ["docket.db.crypto-library_2.bak", "docket.db.crypto-library_3.bak"]);
  for (const copy of copies) assert.equal(statSync(join(directory, copy)).mode & 0o777, 0o600);
  assert.deepEqual(
    readdirSync(directory).filter((name) => name.includes("unfinished")),
    [],
  );

  // The way back.
  const restored = join(directory, "restored");
  mkdirSync(restored);
  writeFileSync(join(restored, "docket.db"), readCopy(directory, "library_3"));
  const opened = await openKeyStore(restored, { libraryVersion: "library 3" });
  t.after(() => opened.close());
  assert.deepStrictEqual(await dump(factoryOf(opened)), contents);
});

test("a first start and an update of an empty schema make no copy; an upgrade of a filled one does", async (t) => {
  const opened = await open(t);
  const copies = (): string[] => readdirSync(opened.directory).filter((name) => name.endsWith(".bak"));
  let connection = await connect(opened, 1);
  connection.close();
  connection = await connect(opened, 2);
  await put(connection, "kept");
  assert.deepEqual(copies(), []);
  connection.close();
  connection = await connect(opened, 3);
  assert.deepEqual(copies(), ["docket.db.crypto-1.0.0.bak"]);
  const restored = join(opened.directory, "restored");
  mkdirSync(restored);
  writeFileSync(join(restored, "docket.db"), readCopy(opened.directory, "1.0.0"));
  const before = await openKeyStore(restored);
  t.after(() => before.close());
  assert.deepEqual(await factoryOf(before).databases(), [{ name: "keys", version: 2 }]);
});

test("the library finds the store among the globals, one store at a time, until it is closed", async (t) => {
  const root = temporaryDirectory(t);
  const first = await openKeyStore(join(root, "first"));
  const second = await openKeyStore(join(root, "second"));
  const globals = globalThis as Record<string, unknown>;
  first.store.install();
  first.store.install();
  assert.equal(globals["indexedDB"], first.store.indexedDB);
  assert.ok(first.store.indexedDB instanceof (globals["IDBFactory"] as new () => object));
  assert.throws(() => second.store.install(), /Another IndexedDB/);
  await first.close();
  assert.equal(globals["indexedDB"], undefined);
  assert.equal(globals["IDBKeyRange"], undefined);
  second.store.install();
  await second.close();
});

test("more than 20,000 room keys are counted and warned of at the start", async (t) => {
  const directory = temporaryDirectory(t);
  const database = Database.open(directory);
  const tables = new KeyStoreTables(database);
  const keys = Array.from({ length: 20_001 }, (_, index): Change => {
    return {
      kind: "put",
      storeId: 2,
      key: Buffer.concat([Buffer.of(3), Buffer.from(`session ${index}`)]),
      value: encodeValue({ index }),
    };
  });
  const store = { id: 2, name: "inbound_group_sessions3", keyPath: null, autoIncrement: false, indexes: [] };
  database.transaction(() =>
    tables.write([{ kind: "shape", shape: { id: 1, name: "crypto", version: 1, stores: [store] } }, ...keys]),
  );
  database.close();

  const warnings: LogFields[] = [];
  const ignore = (): void => {};
  const log = { debug: ignore, info: ignore, error: ignore, warn: (fields: LogFields) => void warnings.push(fields) };
  const opened = await openKeyStore(directory, { log });
  t.after(() => opened.close());
  assert.equal(opened.store.stats().inboundSessions, 20_001);
  assert.deepEqual(
    warnings.map(({ inboundSessions }) => inboundSessions),
    [20_001],
  );
});

async function turns(): Promise<void> {
  for (let turn = 0; turn < 50; turn += 1) await nextTurn();
}

/** Neither a reading nor a put from now on is ever reported as complete. */
async function assertStopped(opened: OpenKeyStore, connection: Connection): Promise<void> {
  let end: string | null = null;
  if (opened.store.stopped) void ended(connection.transaction(["numbered"], "readonly")).then((how) => (end = how));
  void put(connection, "too late").then((how) => (end = how));
  await turns();
  assert.equal(end, null);
  assert.ok(opened.store.stopped);
}

function rollBack(opened: OpenKeyStore, work: () => void): void {
  assert.throws(
    () =>
      opened.database.transaction(() => {
        work();
        throw new Error("the journal's own write failed");
      }),
    /own write failed/,
  );
}

function readCopy(directory: string, version: string): Buffer {
  return readFileSync(join(directory, `docket.db.crypto-${version}.bak`));
}
