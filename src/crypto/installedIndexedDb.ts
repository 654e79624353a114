/**
 * Where the crypto library looks for IndexedDB: among the globals. Its bindings check what they get with `instanceof`, so the
 * classes stand there too. One IndexedDB for each process is a limit of the library.
 */
import * as fake from "fake-indexeddb";
import type { FakeFactory } from "./fakeIndexedDb.ts";

/** By their names among a browser's globals. */
const classes: Readonly<Record<string, unknown>> = {
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

/** Idempotent. @throws Error when another IndexedDB stands there: its keys and these would be mixed up */
export function installIndexedDb(factory: FakeFactory): void {
  const globals = globalThis as Record<string, unknown>;
  if (globals["indexedDB"] === factory) return;
  if (globals["indexedDB"] !== undefined) {
    throw new Error(
      "Another IndexedDB is installed in this process. Close that one first: the crypto library knows only one.",
    );
  }
  for (const [name, value] of Object.entries({ ...classes, indexedDB: factory })) {
    Object.defineProperty(globals, name, { value, configurable: true, enumerable: false, writable: true });
  }
}

/** Does nothing unless `factory` is the one installed. */
export function uninstallIndexedDb(factory: FakeFactory): void {
  const globals = globalThis as Record<string, unknown>;
  if (globals["indexedDB"] !== factory) return;
  for (const name of ["indexedDB", ...Object.keys(classes)]) delete globals[name];
}
