/** Owns the SQL of the key store: applies changes of IndexedDB to its tables and reads them back. Opens no transaction itself. */
import type { Database, Statement } from "../journal/database.ts";
import { decodeKey, decodeValue, type IdbKey } from "./keyStoreEncoding.ts";

export type KeyPath = string | readonly string[] | null;

export interface IndexShape {
  readonly name: string;
  readonly keyPath: KeyPath;
  readonly unique: boolean;
  readonly multiEntry: boolean;
}

export interface StoreShape {
  readonly id: number;
  readonly name: string;
  readonly keyPath: KeyPath;
  readonly autoIncrement: boolean;
  readonly indexes: readonly IndexShape[];
}

export interface DatabaseShape {
  readonly id: number;
  readonly name: string;
  readonly version: number;
  readonly stores: readonly StoreShape[];
}

/** What a committed IndexedDB transaction changed, in the order in which it has to be written. Stores are named by our own ids. */
export type Change =
  /** The database has this version and exactly these stores now; records of stores that are gone go with them. */
  | { readonly kind: "shape"; readonly shape: DatabaseShape }
  | { readonly kind: "databaseDeleted"; readonly databaseId: number }
  | { readonly kind: "generated"; readonly storeId: number; readonly last: number }
  | { readonly kind: "cleared"; readonly storeId: number }
  | { readonly kind: "put"; readonly storeId: number; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly kind: "deleted"; readonly storeId: number; readonly key: Uint8Array };

export interface StoredStore extends StoreShape {
  /** The last key that its generator gave out. */
  readonly generated: number;
  readonly records: readonly { readonly key: IdbKey; readonly value: unknown }[];
}

export interface StoredDatabase extends Omit<DatabaseShape, "stores"> {
  readonly stores: readonly StoredStore[];
}

export class KeyStoreTables {
  private readonly database: Database;

  constructor(database: Database) {
    this.database = database;
  }

  /** Null before the first start. */
  state(): { readonly libraryVersion: string; readonly commits: number } | null {
    const row = this.sql<{ library_version: string; commits: number }>(
      "SELECT library_version, commits FROM key_store",
    ).get();
    return row === undefined ? null : { libraryVersion: row.library_version, commits: row.commits };
  }

  setLibraryVersion(version: string): void {
    this.sql(
      "INSERT INTO key_store (id, library_version, commits) VALUES (1, ?, 0) ON CONFLICT (id) DO UPDATE SET library_version = excluded.library_version",
    ).run(version);
  }

  /** @returns false when there are not exactly `commits` commits on disk: one was lost, or another wrote here */
  countCommit(commits: number): boolean {
    return this.sql("UPDATE key_store SET commits = commits + 1 WHERE commits = ?").run(commits).changes === 1;
  }

  hasRecords(databaseId: number): boolean {
    return (
      this.sql(
        "SELECT 1 FROM key_store_records WHERE store_id IN (SELECT id FROM key_store_stores WHERE database_id = ?) LIMIT 1",
      ).get(databaseId) !== undefined
    );
  }

  write(changes: readonly Change[]): void {
    for (const change of changes) this.writeOne(change);
  }

  /** Everything, as it was committed last. */
  read(): StoredDatabase[] {
    return this.sql<{ id: number; name: string; version: number }>(
      "SELECT id, name, version FROM key_store_databases ORDER BY id",
    )
      .all()
      .map((row) => ({ ...row, stores: this.readStores(row.id) }));
  }

  private readStores(databaseId: number): StoredStore[] {
    interface StoreRow {
      id: number;
      name: string;
      key_path: string;
      auto_increment: number;
      generated: number;
    }
    return this.sql<StoreRow>(
      "SELECT id, name, key_path, auto_increment, generated FROM key_store_stores WHERE database_id = ? ORDER BY id",
    )
      .all(databaseId)
      .map((row) => ({
        id: row.id,
        name: row.name,
        keyPath: JSON.parse(row.key_path) as KeyPath,
        autoIncrement: row.auto_increment === 1,
        generated: row.generated,
        indexes: this.readIndexes(row.id),
        records: this.sql<{ key: Uint8Array; value: Uint8Array }>(
          "SELECT key, value FROM key_store_records WHERE store_id = ?",
        )
          .all(row.id)
          .map(({ key, value }) => ({ key: decodeKey(key), value: decodeValue(value) })),
      }));
  }

  private readIndexes(storeId: number): IndexShape[] {
    return this.sql<{ name: string; key_path: string; only_unique: number; multi_entry: number }>(
      "SELECT name, key_path, only_unique, multi_entry FROM key_store_indexes WHERE store_id = ?",
    )
      .all(storeId)
      .map((row) => ({
        name: row.name,
        keyPath: JSON.parse(row.key_path) as KeyPath,
        unique: row.only_unique === 1,
        multiEntry: row.multi_entry === 1,
      }));
  }

  private writeOne(change: Change): void {
    switch (change.kind) {
      case "put":
        this.sql(
          "INSERT INTO key_store_records (store_id, key, value) VALUES (?, ?, ?) ON CONFLICT (store_id, key) DO UPDATE SET value = excluded.value",
        ).run(change.storeId, change.key, change.value);
        return;
      case "deleted":
        this.sql("DELETE FROM key_store_records WHERE store_id = ? AND key = ?").run(change.storeId, change.key);
        return;
      case "cleared":
        this.sql("DELETE FROM key_store_records WHERE store_id = ?").run(change.storeId);
        return;
      case "generated":
        this.sql("UPDATE key_store_stores SET generated = ? WHERE id = ?").run(change.last, change.storeId);
        return;
      case "databaseDeleted":
        this.sql("DELETE FROM key_store_databases WHERE id = ?").run(change.databaseId);
        return;
      case "shape":
        this.writeShape(change.shape);
    }
  }

  private writeShape({ id, name, version, stores }: DatabaseShape): void {
    this.sql(
      "INSERT INTO key_store_databases (id, name, version) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET version = excluded.version",
    ).run(id, name, version);
    const staying = JSON.stringify(stores.map((store) => store.id));
    this.sql("DELETE FROM key_store_stores WHERE database_id = ? AND id NOT IN (SELECT value FROM json_each(?))").run(
      id,
      staying,
    );
    for (const store of stores) {
      this.sql(
        `INSERT INTO key_store_stores (id, database_id, name, key_path, auto_increment, generated) VALUES (?, ?, ?, ?, ?, 0)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name`,
      ).run(store.id, id, store.name, JSON.stringify(store.keyPath), store.autoIncrement ? 1 : 0);
      this.sql("DELETE FROM key_store_indexes WHERE store_id = ?").run(store.id);
      for (const index of store.indexes) {
        this.sql(
          "INSERT INTO key_store_indexes (store_id, name, key_path, only_unique, multi_entry) VALUES (?, ?, ?, ?, ?)",
        ).run(store.id, index.name, JSON.stringify(index.keyPath), index.unique ? 1 : 0, index.multiEntry ? 1 : 0);
      }
    }
  }

  private sql<Row = unknown>(text: string): Statement<Row> {
    return this.database.prepare<Row>(text);
  }
}
