/**
 * Copies of the database from before an update of the crypto library changed its store: the way back when the update turns
 * out to be bad. `docket.db.crypto-VERSION.bak`, readable by the owner only; the newest two stay. A copy is complete or not
 * there, and encrypted like the database itself.
 */
import { chmodSync, closeSync, fsyncSync, openSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Database } from "../journal/database.ts";

const COPIES_KEPT = 2;
const PREFIX = "docket.db.crypto-";
const SUFFIX = ".bak";

/**
 * Call outside a transaction. An older copy of the same version is replaced.
 * @param libraryVersion the version that wrote the store so far
 * @returns the path of the copy
 */
export function copyBeforeUpdate(database: Database, libraryVersion: string): string {
  const { directory } = database;
  const file = join(directory, `${PREFIX}${libraryVersion.replace(/[^\w.+-]/g, "_")}${SUFFIX}`);
  const unfinished = `${file}.unfinished`;
  rmSync(unfinished, { force: true });
  // VACUUM INTO takes an empty file: so the copy is never readable by others, not for a moment.
  closeSync(openSync(unfinished, "wx", 0o600));
  chmodSync(unfinished, 0o600);
  database.prepare("VACUUM INTO ?").run(unfinished);
  syncToDisk(unfinished);
  renameSync(unfinished, file);
  syncToDisk(directory);
  for (const old of copies(directory).slice(COPIES_KEPT)) rmSync(old, { force: true });
  return file;
}

/** Newest first. */
function copies(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => name.startsWith(PREFIX) && name.endsWith(SUFFIX))
    .map((name) => join(directory, name))
    .map((file) => ({ file, writtenMs: statSync(file).mtimeMs }))
    .sort((a, b) => b.writtenMs - a.writtenMs)
    .map(({ file }) => file);
}

function syncToDisk(path: string): void {
  const handle = openSync(path, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
