/**
 * What a peer in Node keeps in IndexedDB, carried from one process to the next in a file: matrix-js-sdk stores its keys there, and
 * Node has none. Written when the peer stops in good order; a killed one loses what it has learned. It uses the public interface of
 * IndexedDB alone, and nothing of the bot's key store.
 */
import "fake-indexeddb/auto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { deserialize, serialize } from "node:v8";

type KeyPath = string | string[] | null;

interface IndexSettings {
  readonly name: string;
  readonly keyPath: KeyPath;
  readonly unique: boolean;
  readonly multiEntry: boolean;
}

interface StoredObjects {
  readonly name: string;
  readonly keyPath: KeyPath;
  readonly autoIncrement: boolean;
  readonly indexes: readonly IndexSettings[];
  readonly records: readonly { readonly key: unknown; readonly value: unknown }[];
}

interface StoredDatabase {
  readonly name: string;
  readonly version: number;
  readonly stores: readonly StoredObjects[];
}

// What is used of IndexedDB: the compiler knows no browser here.
interface IdbRequest<Result> {
  readonly result: Result;
  readonly error: Error | null;
  onsuccess: (() => void) | null;
  onerror: (() => void) | null;
}
interface OpenRequest extends IdbRequest<IdbDatabase> {
  onupgradeneeded: (() => void) | null;
}
interface IdbFactory {
  databases(): Promise<{ name: string; version: number }[]>;
  open(name: string, version?: number): OpenRequest;
}
interface IdbDatabase {
  readonly version: number;
  readonly objectStoreNames: Iterable<string>;
  createObjectStore(name: string, settings: { keyPath: KeyPath; autoIncrement: boolean }): IdbStore;
  transaction(store: string): { objectStore(name: string): IdbStore };
  close(): void;
}
interface IdbStore {
  readonly keyPath: KeyPath;
  readonly autoIncrement: boolean;
  readonly indexNames: Iterable<string>;
  index(name: string): IndexSettings;
  createIndex(name: string, keyPath: KeyPath, settings: { unique: boolean; multiEntry: boolean }): unknown;
  put(value: unknown, key?: unknown): unknown;
  getAll(): IdbRequest<unknown[]>;
  getAllKeys(): IdbRequest<unknown[]>;
}

const factory = (globalThis as unknown as { readonly indexedDB: IdbFactory }).indexedDB;

/** Fills this process's empty IndexedDB from the file; does nothing where there is none. */
export async function loadIndexedDb(file: string): Promise<void> {
  if (!existsSync(file)) return;
  for (const database of deserialize(readFileSync(file)) as readonly StoredDatabase[]) {
    const request = factory.open(database.name, database.version);
    request.onupgradeneeded = () => {
      for (const { name, keyPath, autoIncrement, indexes, records } of database.stores) {
        const store = request.result.createObjectStore(name, { keyPath, autoIncrement });
        for (const index of indexes) store.createIndex(index.name, index.keyPath, index);
        for (const { key, value } of records) {
          if (keyPath === null) store.put(value, key);
          else store.put(value);
        }
      }
    };
    (await done(request)).close();
  }
}

/** Writes all of this process's databases. Whoever uses them has closed them. */
export async function saveIndexedDb(file: string): Promise<void> {
  const databases: StoredDatabase[] = [];
  for (const { name, version } of await factory.databases()) {
    const database = await done(factory.open(name));
    const stores: StoredObjects[] = [];
    for (const storeName of database.objectStoreNames) stores.push(await readStore(database, storeName));
    databases.push({ name, version, stores });
    database.close();
  }
  writeFileSync(file, serialize(databases), { mode: 0o600 });
}

async function readStore(database: IdbDatabase, name: string): Promise<StoredObjects> {
  const store = database.transaction(name).objectStore(name);
  const indexes = [...store.indexNames].map((indexName) => {
    const { keyPath, unique, multiEntry } = store.index(indexName);
    return { name: indexName, keyPath, unique, multiEntry };
  });
  const { keyPath, autoIncrement } = store;
  const [keys, values] = await Promise.all([done(store.getAllKeys()), done(store.getAll())]);
  const records = values.map((value, place) => ({ key: keys[place], value }));
  return { name, keyPath, autoIncrement, indexes, records };
}

function done<Result>(request: IdbRequest<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("IndexedDB refused, and did not say why"));
  });
}
