/**
 * Owns `docket.db`, the one SQLite file of the data directory, and the exclusive lock beside it.
 * Guarantees: one process at a time; a schema no newer than this program; every commit is on disk when it returns
 * (WAL, synchronous=FULL); a failed write ends as StoreFailed.
 */
import Sqlite from "better-sqlite3-multiple-ciphers";
import { chmodSync, closeSync, copyFileSync, existsSync, mkdirSync, openSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import type { EpochMs } from "../clock.ts";
import { DataDirectoryRefused, StoreFailed } from "../errors.ts";
import { migrations } from "./migrations/index.ts";

export type SqliteValue = string | number | bigint | Uint8Array | null;

/** A prepared statement. Rows are unchecked: whoever writes the SQL names the row's type. */
export interface Statement<Row = unknown> {
  run(...values: SqliteValue[]): { changes: number; lastInsertRowid: number | bigint };
  get(...values: SqliteValue[]): Row | undefined;
  all(...values: SqliteValue[]): Row[];
}

const DATABASE_FILE = "docket.db";
const LOCK_FILE = "docket.lock";

export class Database {
  readonly directory: string;
  private readonly sqlite: Sqlite.Database;
  private readonly lock: Sqlite.Database | null;
  private readonly statements = new Map<string, Statement>();

  private readonly files: readonly { readonly path: string; readonly inode: number }[];

  private constructor(directory: string, sqlite: Sqlite.Database, lock: Sqlite.Database | null) {
    this.directory = directory;
    this.sqlite = sqlite;
    this.lock = lock;
    this.files = [DATABASE_FILE, LOCK_FILE]
      .map((name) => join(directory, name))
      .flatMap((path) => (existsSync(path) ? [{ path, inode: statSync(path).ino }] : []));
  }

  /**
   * Takes the data directory for this process, creates what is missing and brings the schema up to date.
   * @param directory absolute path; created with mode 0700
   * @throws DataDirectoryRefused in use by another process, or written by a newer version
   * @throws StoreFailed unwritable, full or corrupt
   */
  static open(directory: string): Database {
    const lock = guarded(directory, () => {
      // One that exists keeps its mode: it may be shared with others by mistake, and is theirs then. Our files are 0600.
      makeDirectory(directory);
      return takeLock(directory);
    });
    try {
      return guarded(directory, () => {
        const file = join(directory, DATABASE_FILE);
        if (!existsSync(file)) closeSync(openSync(file, "a", 0o600));
        const sqlite = new Sqlite(file);
        try {
          chmodSync(file, 0o600);
          sqlite.pragma("journal_mode = WAL");
          sqlite.pragma("synchronous = FULL");
          sqlite.pragma("foreign_keys = ON");
          // What is deleted is overwritten: answers, keys, a recovery key that somebody has now.
          sqlite.pragma("secure_delete = ON");
          migrate(sqlite, file);
          return new Database(directory, sqlite, lock);
        } catch (error) {
          sqlite.close();
          throw error;
        }
      });
    } catch (error) {
      lock.close();
      throw error;
    }
  }

  /** Whether there is a database in the directory, of whatever version. */
  static exists(directory: string): boolean {
    return existsSync(join(directory, DATABASE_FILE));
  }

  /**
   * Opens an existing database for reading beside a bot that may be running.
   * @throws DataDirectoryRefused there is none, or it was written by a newer version
   */
  static openReadOnly(directory: string): Database {
    const file = join(directory, DATABASE_FILE);
    if (!Database.exists(directory))
      throw new DataDirectoryRefused(
        `${directory} holds no Docket database yet. Start the bot once, or check data.directory.`,
      );
    return guarded(directory, () => {
      const sqlite = new Sqlite(file, { readonly: true });
      const version = sqlite.pragma("user_version", { simple: true }) as number;
      if (version !== migrations.length) {
        sqlite.close();
        throw new DataDirectoryRefused(
          version > migrations.length
            ? `${file} was written by a newer version of Docket (schema ${version}, this version knows ${migrations.length}). Use that version.`
            : `${file} was written by an older version of Docket (schema ${version}, this version needs ${migrations.length}). Start the bot once to bring it up to date.`,
        );
      }
      return new Database(directory, sqlite, null);
    });
  }

  /**
   * Keeps every other process away from a data directory, and changes nothing in it.
   * @returns lets go again; null where another process holds it
   * @throws StoreFailed
   */
  static hold(directory: string): (() => void) | null {
    // Whoever runs on the directory has made the file; made by somebody else, it might not be the owner's.
    if (!existsSync(join(directory, LOCK_FILE))) return () => undefined;
    try {
      const lock = guarded(directory, () => takeLock(directory));
      return () => void lock.close();
    } catch (error) {
      if (error instanceof DataDirectoryRefused) return null;
      throw error;
    }
  }

  /** Whether the database in a directory waits for a start of this version, to be brought up to date. @throws StoreFailed */
  static isOlder(directory: string): boolean {
    return guarded(directory, () => {
      const sqlite = new Sqlite(join(directory, DATABASE_FILE), { readonly: true });
      try {
        return (sqlite.pragma("user_version", { simple: true }) as number) < migrations.length;
      } finally {
        sqlite.close();
      }
    });
  }

  /** An empty one with the same schema that nobody else sees, and that is gone when it is closed. */
  static inMemory(): Database {
    const sqlite = new Sqlite(":memory:");
    migrate(sqlite, ":memory:");
    return new Database(":memory:", sqlite, null);
  }

  /** Prepared once, then kept. */
  prepare<Row = unknown>(sql: string): Statement<Row> {
    let statement = this.statements.get(sql);
    if (statement === undefined) {
      statement = this.guardedStatement(sql);
      this.statements.set(sql, statement);
    }
    return statement as Statement<Row>;
  }

  private guardedStatement(sql: string): Statement {
    const { directory, sqlite } = this;
    const prepared = guarded(directory, () => sqlite.prepare(sql));
    return {
      run: (...values) => guarded(directory, () => prepared.run(...values)),
      get: (...values) => guarded(directory, () => prepared.get(...values)),
      all: (...values) => guarded(directory, () => prepared.all(...values)),
    };
  }

  /**
   * Runs `work` in one transaction, on disk when this returns. Not to be nested.
   * @throws StoreFailed when SQLite refuses; whatever `work` throws is passed on after a rollback
   */
  transaction<T>(work: () => T): T {
    return guarded(this.directory, () => this.sqlite.transaction(work).immediate());
  }

  /** True while the work of `transaction` runs. */
  get inTransaction(): boolean {
    return this.sqlite.inTransaction;
  }

  /**
   * SQLite goes on writing into a file that was deleted or replaced, and all of it would be gone at the end.
   * @throws StoreFailed a file of the database is not the one that was opened
   */
  requireInPlace(): void {
    for (const { path, inode } of this.files) {
      if (inodeOf(path) === inode) continue;
      throw new StoreFailed(
        `${path} was deleted or replaced while the bot was running. What was written since is lost with it. Put the file back from where it went, or from a backup, and start again.`,
      );
    }
  }

  /**
   * Writes a row that means nothing, through to the disk, so that a disk that takes no writes is noticed when there are none.
   * @throws StoreFailed
   */
  probe(now: EpochMs): void {
    this.transaction(() =>
      this.prepare(
        "INSERT INTO meta (key, value) VALUES ('heartbeat', ?) ON CONFLICT DO UPDATE SET value = excluded.value",
      ).run(String(now)),
    );
  }

  /** Idempotent. */
  close(): void {
    if (this.sqlite.open) this.sqlite.close();
    if (this.lock?.open) this.lock.close();
  }
}

/** Level by level: the recursive form of Node never ends where a file system has no room for directories (/proc). */
function makeDirectory(directory: string): void {
  if (existsSync(directory)) return;
  makeDirectory(dirname(directory));
  mkdirSync(directory, { mode: 0o700 });
}

function inodeOf(path: string): number | null {
  try {
    return statSync(path).ino;
  } catch {
    return null;
  }
}

/** SQLite's own lock dies with the process, whatever kills it: no stale PID files. */
function takeLock(directory: string): Sqlite.Database {
  const file = join(directory, LOCK_FILE);
  if (!existsSync(file)) closeSync(openSync(file, "a", 0o600));
  const lock = new Sqlite(file, { timeout: 0 });
  try {
    lock.pragma("locking_mode = EXCLUSIVE");
    lock.exec("BEGIN EXCLUSIVE; CREATE TABLE IF NOT EXISTS held (by INTEGER) STRICT; COMMIT");
    return lock;
  } catch (error) {
    lock.close();
    if (error instanceof Sqlite.SqliteError && error.code.startsWith("SQLITE_BUSY")) {
      throw new DataDirectoryRefused(
        `The data directory ${directory} is in use by another Docket process. Stop that one first, or give this one a data.directory of its own.`,
        { cause: error },
      );
    }
    throw error;
  }
}

function migrate(sqlite: Sqlite.Database, file: string): void {
  const version = sqlite.pragma("user_version", { simple: true }) as number;
  if (version > migrations.length) {
    throw new DataDirectoryRefused(
      `${file} was written by a newer version of Docket (schema ${version}, this version knows ${migrations.length}). Use that version, or an empty data.directory.`,
    );
  }
  if (version === migrations.length) return;
  if (version > 0) {
    sqlite.pragma("wal_checkpoint(TRUNCATE)");
    copyFileSync(file, `${file}.schema-${version}.bak`);
    chmodSync(`${file}.schema-${version}.bak`, 0o600);
  }
  sqlite
    .transaction(() => {
      for (const migration of migrations.slice(version)) sqlite.exec(migration);
      sqlite.pragma(`user_version = ${migrations.length}`);
    })
    .immediate();
}

/** Turns what SQLite and the file system throw into StoreFailed, with what to do about it; the rest passes through. */
function guarded<T>(directory: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const code = error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : null;
    const fromStore = error instanceof Sqlite.SqliteError || (code !== null && /^E[A-Z]+$/.test(code));
    if (!fromStore) throw error;
    throw new StoreFailed(`The database in ${directory} failed (${code}): ${adviceFor(code ?? "")}`, { cause: error });
  }
}

function adviceFor(code: string): string {
  if (/FULL|ENOSPC|EDQUOT/.test(code))
    return "the disk is full. Make room and start again; nothing acknowledged was lost.";
  if (/ENOENT|ENOTDIR|EEXIST|ENAMETOOLONG/.test(code))
    return "it can't be a directory there. Check data.directory: every part of the path must be a directory, or one that can be made.";
  if (/READONLY|EROFS|EACCES|EPERM|PERM|CANTOPEN/.test(code))
    return "it can't be written. Check the owner and mode of the directory, and that its file system is not read-only.";
  if (/CORRUPT|NOTADB/.test(code))
    return "the file is damaged or not a Docket database. Restore it from a backup; do not delete it: it holds the bot's keys.";
  if (/IOERR|EIO/.test(code))
    return "the disk reports an error. Check the hardware and the system's log before starting again.";
  return "see the cause in the log.";
}
