import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../../src/clock.ts";
import { Invites } from "../../../src/journal/invites.ts";
import { migrations } from "../../../src/journal/migrations/index.ts";
import { RoomStates } from "../../../src/journal/roomStates.ts";
import Sqlite from "better-sqlite3-multiple-ciphers";
import { DataDirectoryRefused, ExitCode, StoreFailed } from "../../../src/errors.ts";
import { Database } from "../../../src/journal/database.ts";
import { requireFreeSpace } from "../../../src/journal/diskSpace.ts";
import { claimOwnership } from "../../../src/journal/ownership.ts";
import type { DeviceId } from "../../../src/protocol/ids.ts";
import { ALICE, BOT } from "../../support/journal.ts";
import { temporaryDirectory } from "../../support/temporaryDirectory.ts";

const owner = { userId: BOT, deviceId: "DEVICE" as DeviceId };

test("a second process on the same data directory is refused with a reason, and the lock dies with its holder", (t) => {
  const directory = temporaryDirectory(t);
  const first = Database.open(directory);
  t.after(() => first.close());
  const openInChild = () =>
    spawnSync(
      process.execPath,
      [
        "--input-type=module",
        "--eval",
        `import { Database } from ${JSON.stringify(new URL("../../../src/journal/database.ts", import.meta.url).href)};
         try { Database.open(${JSON.stringify(directory)}); process.kill(process.pid, "SIGKILL"); }
         catch (error) { console.log(error.message); process.exit(error.exitCode ?? 1); }`,
      ],
      { encoding: "utf8" },
    );
  const refused = openInChild();
  assert.equal(refused.status, ExitCode.dataDirectory);
  assert.match(refused.stdout, /in use by another Docket process/);
  first.close();
  assert.equal(openInChild().signal, "SIGKILL", "the lock was free");
  Database.open(directory).close();
});

test("a directory of another account or device is refused and names both", (t) => {
  const database = Database.open(temporaryDirectory(t));
  t.after(() => database.close());
  claimOwnership(database, owner, null);
  claimOwnership(database, owner, null);
  assert.throws(
    () => claimOwnership(database, { ...owner, userId: ALICE }, null),
    (error: unknown) => {
      assert(error instanceof DataDirectoryRefused);
      assert.match(error.message, /@docket:example\.org.*@alice:example\.org/s);
      return true;
    },
  );
  assert.throws(
    () => claimOwnership(database, { ...owner, deviceId: "OTHER" as DeviceId }, null),
    DataDirectoryRefused,
  );
});

test("a database of a newer version is refused, also for reading, and is not touched", (t) => {
  const directory = temporaryDirectory(t);
  Database.open(directory).close();
  const sqlite = new Sqlite(join(directory, "docket.db"));
  sqlite.pragma("user_version = 999");
  sqlite.close();
  assert.throws(() => Database.open(directory), /newer version of Docket \(schema 999/);
  assert.throws(() => Database.openReadOnly(directory), /newer version of Docket \(schema 999/);
  assert.throws(() => Database.open(directory), DataDirectoryRefused, "the lock was given back");
});

test("the directory is 0700 and the database 0600", (t) => {
  const directory = join(temporaryDirectory(t), "data");
  Database.open(directory).close();
  assert.equal(statSync(directory).mode & 0o777, 0o700);
  assert.equal(statSync(join(directory, "docket.db")).mode & 0o777, 0o600);
});

test("a file that is no database ends as a storage error that says not to delete it", (t) => {
  const directory = temporaryDirectory(t);
  writeFileSync(
    join(directory, "docket.db"),
    "this is not a database, but it is long enough to be looked at. ".repeat(20),
  );
  assert.throws(
    () => Database.open(directory),
    (error: unknown) => {
      assert(error instanceof StoreFailed);
      assert.equal(error.exitCode, ExitCode.storage);
      assert.match(error.message, /damaged or not a Docket database.*do not delete/s);
      return true;
    },
  );
});

test("a data directory that can't be made ends as a storage error that names it", (t) => {
  const file = join(temporaryDirectory(t), "file");
  writeFileSync(file, "");
  assert.throws(
    () => Database.open(join(file, "data")),
    (error: unknown) => error instanceof StoreFailed && error.message.includes(file),
  );
});

test("reading where no bot has been is refused and creates nothing", (t) => {
  const directory = join(temporaryDirectory(t), "data");
  assert.throws(() => Database.openReadOnly(directory), /holds no Docket database yet/);
  assert.equal(existsSync(directory), false);
});

test("a transaction that throws leaves nothing behind", (t) => {
  const database = Database.open(temporaryDirectory(t));
  t.after(() => database.close());
  assert.throws(
    () =>
      database.transaction(() => {
        database.prepare("INSERT INTO meta (key, value) VALUES ('a', 'b')").run();
        throw new Error("no");
      }),
    /no/,
  );
  assert.deepEqual(database.prepare("SELECT * FROM meta").all(), []);
});

test("a data directory that is gone while the bot runs ends as a storage error that names it", (t) => {
  const gone = join(temporaryDirectory(t), "gone");
  assert.throws(
    () => requireFreeSpace(gone, 1),
    (error: unknown) => error instanceof StoreFailed && error.message.includes(gone),
  );
});

test("a database from before there was a policy for rooms keeps its public rooms, and knows which are empty", (t) => {
  const directory = temporaryDirectory(t);
  const sqlite = new Sqlite(join(directory, "docket.db"));
  for (const migration of migrations.slice(0, 2)) sqlite.exec(migration);
  sqlite.pragma("user_version = 2");
  sqlite.exec(`
    INSERT INTO meta VALUES ('user_id', '${BOT}');
    INSERT INTO rooms VALUES ('!full:x', 'join', 0, '{}', 'shared', 'public'), ('!empty:x', 'join', 0, '{}', 'shared', 'invite');
    INSERT INTO members VALUES ('!full:x', '${BOT}', 'join'), ('!full:x', '${ALICE}', 'join'), ('!empty:x', '${BOT}', 'join');
    INSERT INTO invites VALUES ('!full:x', '${ALICE}', 'joined', NULL, 1, 0, 1);
  `);
  sqlite.close();
  const database = Database.open(directory);
  t.after(() => database.close());
  assert.deepEqual(new Invites(database, systemClock).arrivals(), []);
  assert.deepEqual(new RoomStates(database).aloneSinceBefore(Date.now()), ["!empty:x"]);
});

test("a directory that a bot uses is no requester's, and the other way round; signing in decides nothing", (t) => {
  for (const [first, second] of [
    ["bot", "requester"],
    ["requester", "bot"],
  ] as const) {
    const database = Database.open(temporaryDirectory(t));
    t.after(() => database.close());
    claimOwnership(database, owner, null);
    claimOwnership(database, owner, first);
    claimOwnership(database, owner, first);
    assert.throws(
      () => claimOwnership(database, owner, second),
      /docket start.*docket request|docket request.*docket start/s,
    );
  }
});
