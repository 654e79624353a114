/**
 * The parts of fake-indexeddb that the key store relies on: its public entry and, because no event tells what a transaction
 * changed, some of its insides. Its version is pinned for that reason; `knownFactory` refuses one that is built differently.
 */
import * as fake from "fake-indexeddb";
import { StoreFailed } from "../errors.ts";
import type { IdbKey } from "./keyStoreEncoding.ts";
import type { DatabaseShape, KeyPath } from "./keyStoreTables.ts";

export interface FakeEvent {
  readonly type: string;
}

/** Only `open`, `deleteDatabase` and the map of databases. */
export interface FakeFactory {
  _databases: Map<string, RawDatabase>;
  open(name: string, version?: number): OpenRequest;
  deleteDatabase(name: string): OpenRequest;
}

export interface OpenRequest {
  readonly result: Connection;
  readonly error: unknown;
  onupgradeneeded: (() => void) | null;
  onsuccess: (() => void) | null;
  onerror: (() => void) | null;
  dispatchEvent(event: FakeEvent): boolean;
}

export interface Connection {
  createObjectStore(name: string, options: { keyPath: KeyPath; autoIncrement: boolean }): ObjectStoreHandle;
  close(): void;
}

export interface ObjectStoreHandle {
  createIndex(name: string, keyPath: KeyPath, options: { unique: boolean; multiEntry: boolean }): unknown;
}

export interface RawDatabase {
  readonly name: string;
  readonly version: number;
  readonly transactions: RawTransaction[];
  readonly rawObjectStores: Map<string, RawStore>;
}

export interface RawTransaction {
  readonly mode: "readonly" | "readwrite" | "versionchange";
  readonly _state: "active" | "inactive" | "committing" | "finished";
  /** Handed to every operation that changes a store: it tells which transaction the operation belongs to. */
  readonly _rollbackLog: (() => void)[];
  _abort(errorName: string | null): void;
  dispatchEvent(event: FakeEvent): boolean;
}

export interface RawRecord {
  key?: IdbKey;
  value: unknown;
}

export interface RawIndex {
  readonly name: string;
  readonly keyPath: KeyPath;
  readonly unique: boolean;
  readonly multiEntry: boolean;
  readonly deleted: boolean;
}

export interface RawStore {
  readonly name: string;
  readonly keyPath: KeyPath;
  readonly autoIncrement: boolean;
  readonly keyGenerator: { num: number } | null;
  readonly rawIndexes: Map<string, RawIndex>;
  readonly records: {
    get(key: IdbKey): RawRecord | undefined;
    values(range: unknown): Iterable<{ readonly key: IdbKey }>;
    size(): number;
  };
  storeRecord(record: RawRecord, noOverwrite: boolean, rollbackLog?: (() => void)[]): IdbKey;
  deleteRecord(keyOrRange: unknown, rollbackLog?: (() => void)[]): void;
  clear(rollbackLog?: (() => void)[]): void;
}

export function isKeyRange(value: unknown): boolean {
  return value instanceof (fake.IDBKeyRange as unknown as new () => object);
}

/** An empty factory. @throws StoreFailed when the installed fake-indexeddb is not built as this file says */
export function knownFactory(): FakeFactory {
  const factory = new (fake.IDBFactory as unknown as new () => FakeFactory)();
  if (factory._databases instanceof Map) return factory;
  throw strangeBuild("the factory");
}

/** Creates a database with its stores and indexes, without records. */
export function createShape(factory: FakeFactory, { name, version, stores }: DatabaseShape): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = factory.open(name, version);
    request.onupgradeneeded = () => {
      for (const store of stores) {
        const handle = request.result.createObjectStore(store.name, {
          keyPath: store.keyPath,
          autoIncrement: store.autoIncrement,
        });
        for (const index of store.indexes) handle.createIndex(index.name, index.keyPath, index);
      }
    };
    request.onerror = () => reject(request.error as Error);
    request.onsuccess = () => {
      request.result.close();
      resolve();
    };
  });
}

/** @throws StoreFailed */
export function checkDatabase(raw: RawDatabase): void {
  if (!Array.isArray(raw.transactions) || !(raw.rawObjectStores instanceof Map)) throw strangeBuild("a database");
}

/** @throws StoreFailed */
export function checkTransaction(transaction: RawTransaction): void {
  if (!Array.isArray(transaction._rollbackLog) || !hasMethods(transaction, ["_abort", "dispatchEvent"])) {
    throw strangeBuild("a transaction");
  }
}

/** @throws StoreFailed */
export function checkStore(store: RawStore): void {
  const usable =
    store.rawIndexes instanceof Map &&
    hasMethods(store, ["storeRecord", "deleteRecord", "clear"]) &&
    hasMethods(store.records, ["get", "values", "size"]);
  if (!usable) throw strangeBuild("an object store");
}

function hasMethods(object: object, names: readonly string[]): boolean {
  return names.every((name) => typeof (object as Record<string, unknown>)[name] === "function");
}

function strangeBuild(part: string): StoreFailed {
  return new StoreFailed(
    `The installed fake-indexeddb builds ${part} in a way that the key store does not know, so nothing would be kept. Install the version that package.json names.`,
  );
}
