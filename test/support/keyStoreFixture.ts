/** A key store on a real database, and the files that a kill would leave of it. */
import { copyFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { KeyStore, type KeyStoreHooks } from "../../src/crypto/keyStore.ts";
import type { StoreFailed } from "../../src/errors.ts";
import { Database } from "../../src/journal/database.ts";
import { silentLogger, type Logger } from "../../src/logging.ts";

export interface OpenKeyStore {
  readonly directory: string;
  readonly database: Database;
  readonly store: KeyStore;
  /** What `onFatal` was called with. It returns, so that the test goes on and sees what the store lets through. */
  readonly fatal: StoreFailed[];
  close(): Promise<void>;
}

export async function openKeyStore(
  directory: string,
  options: { libraryVersion?: string; hooks?: KeyStoreHooks; log?: Logger } = {},
): Promise<OpenKeyStore> {
  const database = Database.open(directory);
  const fatal: StoreFailed[] = [];
  const store = await KeyStore.open({
    database,
    libraryVersion: options.libraryVersion ?? "1.0.0",
    onFatal: ((error: StoreFailed) => void fatal.push(error)) as (error: StoreFailed) => never,
    log: options.log ?? silentLogger,
    ...(options.hooks === undefined ? {} : { hooks: options.hooks }),
  });
  return {
    directory,
    database,
    store,
    fatal,
    close: async () => {
      await store.close();
      database.close();
    },
  };
}

/** The files as a SIGKILL at this moment would leave them. */
export function copyAsKilled(from: string, to: string): void {
  for (const name of ["docket.db", "docket.db-wal"]) {
    if (existsSync(join(from, name))) copyFileSync(join(from, name), join(to, name));
  }
}
