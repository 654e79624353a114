/**
 * The durable store of the crypto library. `@matrix-org/matrix-sdk-crypto-wasm` keeps its keys through IndexedDB, which Node
 * lacks: fake-indexeddb supplies it in memory, and this room makes it durable in `docket.db`.
 *
 * Guarantees:
 * - A transaction is on disk before the library hears that it is complete. An aborted one leaves nothing.
 * - Between `hold()` and `release()` transactions are complete in memory only, until `apply()` writes them inside the
 *   journal's transaction: a sync's keys and its events are kept together or not at all.
 * - When SQLite refuses a write, `onFatal` is called before `complete` is dispatched, and it must end the process. Whatever
 *   it does, from then on no transaction is ever reported as complete and nothing is written: a message that was encrypted
 *   with a ratchet that is not on disk never leaves.
 * - A write on top of a lost one (a hold whose SQLite transaction was rolled back, or a second writer) is noticed and fatal.
 * - Before another version of the library, or an upgrade of its schema, changes the store, the database is copied.
 *
 * The price is memory and time at the start: about 10 KB and 0.06 ms for each inbound session (2 cores, Node 24); a commit
 * costs 0.3 ms. One store for each process: the library finds it as `globalThis.indexedDB`. The library gets no passphrase
 * for it (a passphrase costs 240 ms at each start): encryption at rest is the database's.
 *
 * Life: `KeyStore.open` loads; `install()` puts it where the library looks; `close()` ends it.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { StoreFailed } from "../errors.ts";
import type { Database } from "../journal/database.ts";
import type { HeldWrites } from "../journal/heldWrites.ts";
import type { Logger } from "../logging.ts";
import { installIndexedDb, uninstallIndexedDb } from "./installedIndexedDb.ts";
import { copyBeforeUpdate } from "./keyStoreCopies.ts";
import { KeyStoreTables, type Change } from "./keyStoreTables.ts";
import { RecordedIndexedDb, type CommitSink } from "./recordedIndexedDb.ts";

/** Past this many inbound sessions, memory (about 10 KB each) and start-up time become a burden. */
const MANY_SESSIONS = 20_000;

/** For tests that kill or refuse at a certain commit. What `beforeCommit` throws counts as a refusal by SQLite. */
export interface KeyStoreHooks {
  /** @param commit counted from 1 since the store was opened; commits that are held back count too */
  beforeCommit?(commit: number): void;
  afterCommit?(commit: number): void;
}

export interface KeyStoreOptions {
  /** Open, and not read-only. The key store writes through its connection and never closes it. */
  readonly database: Database;
  /** Version of the crypto library that is about to use the store. */
  readonly libraryVersion: string;
  /** Must end the process at once, synchronously. */
  readonly onFatal: (error: StoreFailed) => never;
  readonly log: Logger;
  readonly hooks?: KeyStoreHooks;
}

/** Writes held back since `KeyStore.hold()`. */
export interface Hold extends HeldWrites {
  /** Writes them. Once, inside the journal's open transaction. @throws StoreFailed */
  apply(): void;
  /**
   * Call when the journal's transaction is on disk; from here on transactions are written one by one again. Fatal when it is
   * not on disk (never applied, or rolled back): memory is then ahead of disk. Idempotent.
   */
  release(): void;
}

export interface KeyStoreStats {
  /** Records of all kinds. */
  readonly records: number;
  /** Inbound room key sessions: what grows with the years. */
  readonly inboundSessions: number;
  /** Time that reading everything from disk took at the start. */
  readonly loadMs: number;
}

interface HeldChanges {
  readonly changes: Change[];
  applied: boolean;
}

export class KeyStore implements CommitSink {
  private readonly options: KeyStoreOptions;
  private readonly tables: KeyStoreTables;
  private readonly indexedDb: RecordedIndexedDb;
  private state: "open" | "dead" | "closed" = "open";
  /** Commits that have to be on disk, by the count kept there. */
  private commitsOnDisk: number;
  /** Commits since the start, for the hooks. */
  private commits = 0;
  private held: HeldChanges | null = null;
  private copied = false;
  private loadMs = 0;

  private constructor(options: KeyStoreOptions) {
    this.options = options;
    this.tables = new KeyStoreTables(options.database);
    this.indexedDb = new RecordedIndexedDb(this);
    this.commitsOnDisk = 0;
  }

  /**
   * Loads what is on disk. Copies the database first when another version of the library wrote it.
   * @throws StoreFailed when the store can't be read or copied
   */
  static async open(options: KeyStoreOptions): Promise<KeyStore> {
    try {
      const store = new KeyStore(options);
      store.adoptVersion();
      await store.load();
      return store;
    } catch (error) {
      throw asStoreFailed(error, `The key store in ${options.database.directory} could not be opened`);
    }
  }

  /** No transaction is reported as complete any more. */
  get stopped(): boolean {
    return this.state !== "open";
  }

  /** The factory that `install` makes `globalThis.indexedDB`, for those who need no globals. */
  get indexedDB(): unknown {
    return this.indexedDb.factory;
  }

  /**
   * Puts the store where the library looks for it: `globalThis.indexedDB` and the classes that its bindings check with
   * `instanceof`. Idempotent. One store at a time.
   */
  install(): void {
    installIndexedDb(this.indexedDb.factory);
  }

  /**
   * From now on, transactions are complete in memory only, until `apply()`.
   * The caller keeps every other use of the library away until `release()`.
   */
  hold(): Hold {
    if (this.held !== null) throw new Error("The key store is held already.");
    const held: HeldChanges = { changes: [], applied: false };
    this.held = held;
    return { apply: () => this.apply(held), release: () => this.release(held) };
  }

  /** For the recorder, synchronously before `complete`. @returns false when nobody may learn that the transaction ended */
  commit(changesOf: () => readonly Change[]): boolean {
    if (this.state !== "open") return false;
    const { database, hooks } = this.options;
    const commit = (this.commits += 1);
    try {
      hooks?.beforeCommit?.(commit);
      const changes = changesOf();
      this.copyBeforeUpgrade(changes);
      if (this.held !== null && !this.held.applied) this.held.changes.push(...changes);
      else database.transaction(() => this.write(changes));
      hooks?.afterCommit?.(commit);
      return true;
    } catch (error) {
      this.die(
        asStoreFailed(
          error,
          `The key store in ${database.directory} refused a write, so the bot stops before it uses a key that is not kept`,
        ),
      );
      return false;
    }
  }

  /** Counted in memory: cheap enough for a metric. */
  stats(): KeyStoreStats {
    return {
      records: this.indexedDb.count(() => true),
      inboundSessions: this.indexedDb.count((store) => store.startsWith("inbound_group_sessions")),
      loadMs: this.loadMs,
    };
  }

  /** Waits for open transactions, then takes the store away from the library. What is held and not applied is dropped. Idempotent. */
  async close(): Promise<void> {
    while (this.state === "open" && this.indexedDb.busy) await nextTurn();
    if (this.state === "open") this.state = "closed";
    uninstallIndexedDb(this.indexedDb.factory);
  }

  private adoptVersion(): void {
    const { database, libraryVersion, log } = this.options;
    const before = this.tables.state();
    this.commitsOnDisk = before?.commits ?? 0;
    if (before?.libraryVersion === libraryVersion) return;
    if (before !== null) {
      const copy = copyBeforeUpdate(database, before.libraryVersion);
      this.copied = true;
      log.info(
        { from: before.libraryVersion, to: libraryVersion, copy },
        "the crypto library is another version; the database was copied first",
      );
    }
    database.transaction(() => this.tables.setLibraryVersion(libraryVersion));
  }

  private async load(): Promise<void> {
    const startedAt = performance.now();
    await this.indexedDb.load(this.tables.read());
    this.loadMs = Math.round(performance.now() - startedAt);
    const { records, inboundSessions, loadMs } = this.stats();
    const { log } = this.options;
    if (inboundSessions <= MANY_SESSIONS) log.info({ records, inboundSessions, loadMs }, "the key store is loaded");
    else
      log.warn(
        { records, inboundSessions, loadMs },
        "the key store holds very many room keys: starts become slow and memory grows by about 10 KB for each",
      );
  }

  /** A new schema without a new version of the library: not expected, and no less dangerous. */
  private copyBeforeUpgrade(changes: readonly Change[]): void {
    if (this.copied || !changes.some((change) => change.kind === "shape" && this.tables.hasRecords(change.shape.id)))
      return;
    const { database, libraryVersion, log } = this.options;
    const copy = copyBeforeUpdate(database, libraryVersion);
    this.copied = true;
    log.info({ copy }, "the crypto library changes its schema; the database was copied first");
  }

  /** Inside a transaction of SQLite. */
  private write(changes: readonly Change[]): void {
    if (changes.length === 0) return;
    if (!this.tables.countCommit(this.commitsOnDisk)) throw lostWrites(this.options.database.directory);
    this.tables.write(changes);
    this.commitsOnDisk += 1;
  }

  private apply(held: HeldChanges): void {
    const { database } = this.options;
    if (this.state !== "open")
      throw new StoreFailed(`The key store in ${database.directory} has stopped; nothing more is written to it.`);
    if (this.held !== held || held.applied)
      throw new Error("Held writes are applied once, and before they are released.");
    if (!database.inTransaction) throw new Error("Held writes are applied inside the journal's transaction.");
    held.applied = true;
    this.write(held.changes);
  }

  private release(held: HeldChanges): void {
    if (this.held !== held) return;
    if (this.options.database.inTransaction)
      throw new Error("Held writes are released after the journal's transaction.");
    this.held = null;
    if (this.state !== "open") return;
    const onDisk = held.applied && (held.changes.length === 0 || this.tables.state()?.commits === this.commitsOnDisk);
    if (!onDisk) this.die(lostWrites(this.options.database.directory));
  }

  private die(error: StoreFailed): void {
    this.state = "dead";
    this.options.onFatal(error);
  }
}

function lostWrites(directory: string): StoreFailed {
  return new StoreFailed(
    `Keys that the bot has taken over did not reach the disk: the transaction of their sync failed, or another program wrote to the key store in ${directory}. Start again; the server still has the sync.`,
  );
}

function asStoreFailed(error: unknown, what: string): StoreFailed {
  return error instanceof StoreFailed
    ? error
    : new StoreFailed(`${what}: ${error instanceof Error ? error.message : "unknown error"}`, { cause: error });
}
