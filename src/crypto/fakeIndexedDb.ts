/**
 * The parts of fake-indexeddb that the key store relies on: its public entry and, because no event tells what a transaction
 * changed, some of its insides. Its version is pinned for that reason; `knownFactory` refuses one that is built differently.
 */
import * as fake from "fake-indexeddb";
import { StoreFailed } from "../errors.ts";
import type { IdbKey } from "./keyStoreEncoding.ts";
import type { KeyPath } from "./keyStoreTables.ts";

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

/** The classes that stand beside `indexedDB` among a browser's globals, by their names there. */
export const indexedDbClasses: Readonly<Record<string, unknown>> = {
  IDBCursor: fake.IDBCursor,
  IDBCursorWithValue: fake.IDBCursorWithValue,
  IDBDatabase: fake.IDBDatabase,
  IDBFactory: fake.IDBFactory,
  IDBIndex: fake.IDBIndex,
  IDBKeyRange: fake.IDBKeyRange,
  IDBObjectStore: fake.IDBObjectStore,
  IDBOpenDBRequest: fake.IDBOpenDBRequest,
  IDBRecord: fake.IDBRecord,
  IDBRequest: fake.IDBRequest,
  IDBTransaction: fake.IDBTransaction,
  IDBVersionChangeEvent: fake.IDBVersionChangeEvent,
};

export function isKeyRange(value: unknown): boolean {
  return value instanceof (fake.IDBKeyRange as unknown as new () => object);
}

/** An empty factory. @throws StoreFailed when the installed fake-indexeddb is not built as this file says */
export function knownFactory(): FakeFactory {
  const factory = new (fake.IDBFactory as unknown as new () => FakeFactory)();
  if (factory._databases instanceof Map) return factory;
  throw strangeBuild("the factory");
}

/** @throws StoreFailed */
export function checkDatabase(raw: RawDatabase): void {
  if (!Array.isArray(raw.transactions) || !(raw.rawObjectStores instanceof Map)) throw strangeBuild("a database");
}

/** @throws StoreFailed */
export function checkTransaction(transaction: RawTransaction): void {
  const usable =
    Array.isArray(transaction._rollbackLog) &&
    typeof transaction._abort === "function" &&
    typeof transaction.dispatchEvent === "function";
  if (!usable) throw strangeBuild("a transaction");
}

/** @throws StoreFailed */
export function checkStore(store: RawStore): void {
  const usable =
    [store.storeRecord, store.deleteRecord, store.clear, store.records?.get, store.records?.values].every(
      (method) => typeof method === "function",
    ) && store.rawIndexes instanceof Map;
  if (!usable) throw strangeBuild("an object store");
}

function strangeBuild(part: string): StoreFailed {
  return new StoreFailed(
    `The installed fake-indexeddb builds ${part} in a way that the key store does not know, so nothing would be kept. Install the version that package.json names.`,
  );
}
