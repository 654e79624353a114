/**
 * Reads which keys the device has in a data directory that is not to be changed: the library opens a copy in memory, because opening
 * its store may write there (an update of its schema).
 */
import { Database, type SqliteValue } from "../journal/database.ts";
import { closeAll } from "../lifecycle.ts";
import { silentLogger } from "../logging.ts";
import type { DeviceId, UserId } from "../protocol/ids.ts";
import type { OwnIdentity } from "./ownIdentity.ts";
import { STORE_NAME } from "./engine.ts";
import { KeyStore } from "./keyStore.ts";
import { Machine } from "./machine.ts";

/** A library call that takes longer has panicked. */
const WATCHDOG_MS = 10_000;
/** In an order in which each row's owner is there before it. */
const TABLES = ["key_store", "key_store_databases", "key_store_stores", "key_store_indexes", "key_store_records"];

/**
 * Not beside another key store in the same process: the library knows one.
 * @returns null where the directory has no keys yet
 * @throws DataDirectoryRefused they are another device's
 * @throws StoreFailed | CryptoPanicked
 */
export async function storedIdentity(
  database: Database,
  owner: { userId: UserId; deviceId: DeviceId },
): Promise<OwnIdentity | null> {
  const written = database.prepare<{ library_version: string }>("SELECT library_version FROM key_store").get();
  if (written === undefined) return null;
  const copy = Database.inMemory();
  const opened: (() => Promise<void> | void)[] = [() => copy.close()];
  const onFatal = (error: Error): never => {
    throw error;
  };
  try {
    copyKeys(database, copy);
    // As the version that wrote it: another one would make a copy on disk first.
    const options = { database: copy, libraryVersion: written.library_version, onFatal, log: silentLogger };
    const keyStore = await KeyStore.open(options);
    opened.push(() => keyStore.close());
    keyStore.install();
    const machine = await Machine.open({ ...owner, storeName: STORE_NAME, watchdogMs: WATCHDOG_MS, onFatal });
    opened.push(() => machine.close());
    return { ...owner, ...(await machine.identityKeys()) };
  } finally {
    await closeAll(opened, silentLogger);
  }
}

function copyKeys(from: Database, to: Database): void {
  to.transaction(() => {
    for (const table of TABLES) {
      for (const row of from.prepare<Record<string, SqliteValue>>(`SELECT * FROM ${table}`).all()) {
        const columns = Object.keys(row);
        to.prepare(`INSERT INTO ${table} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`).run(
          ...Object.values(row),
        );
      }
    }
  });
}
