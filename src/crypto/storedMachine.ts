/**
 * The crypto library on a copy in memory of a data directory's keys, for reading beside a bot that may be running: opening the store
 * itself may write there (an update of its schema). What the library writes is gone with the copy.
 */
import { Database, type SqliteValue } from "../journal/database.ts";
import { closeAll } from "../lifecycle.ts";
import { silentLogger } from "../logging.ts";
import type { DeviceId, UserId } from "../protocol/ids.ts";
import { STORE_NAME } from "./engine.ts";
import { KeyStore, type KeyStoreStats } from "./keyStore.ts";
import { Machine } from "./machine.ts";

/** In an order in which each row's owner is there before it. */
const TABLES = ["key_store", "key_store_databases", "key_store_stores", "key_store_indexes", "key_store_records"];

/**
 * Not beside another key store in the same process: the library knows one.
 * @param watchdogMs a library call that takes longer has panicked
 * @returns null where the directory has no keys yet
 * @throws DataDirectoryRefused they are another device's
 * @throws StoreFailed | CryptoPanicked; what `work` throws
 */
export async function withStoredMachine<T>(
  database: Database,
  owner: { userId: UserId; deviceId: DeviceId },
  watchdogMs: number,
  work: (machine: Machine, stats: KeyStoreStats) => Promise<T>,
): Promise<T | null> {
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
    const machine = await Machine.open({ ...owner, storeName: STORE_NAME, watchdogMs, onFatal });
    opened.push(() => machine.close());
    return await work(machine, keyStore.stats());
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
