/**
 * An IndexedDB in memory that tells what each transaction changed before its `complete` event reaches anybody.
 *
 * Records, for each transaction, which keys of which stores it touched (put, add, delete by key and by range, clear, cursor
 * update and delete all end in three methods of the raw store), and at its end reads what stands there now. That is exact,
 * because no two transactions that overlap are ever at work at once. An upgrade also hands over the shape of the whole
 * database. What an aborted transaction touched is forgotten.
 *
 * Watches objects of its own factory only; other uses of fake-indexeddb in the process are left alone.
 */
import {
  checkDatabase,
  checkStore,
  checkTransaction,
  createShape,
  isKeyRange,
  knownFactory,
  type FakeFactory,
  type RawDatabase,
  type RawStore,
  type RawTransaction,
} from "./fakeIndexedDb.ts";
import { encodeKey, encodeValue, type IdbKey } from "./keyStoreEncoding.ts";
import type { Change, DatabaseShape, StoredDatabase, StoredStore } from "./keyStoreTables.ts";

/** Where finished transactions go. */
export interface CommitSink {
  /** Once true, no transaction is reported as complete any more. */
  readonly stopped: boolean;
  /** @returns false when the changes were not kept: then nobody may learn that the transaction ended */
  commit(changes: () => readonly Change[]): boolean;
}

interface Touched {
  cleared: boolean;
  /** By the bytes of the key. */
  readonly keys: Map<string, IdbKey>;
}

export class RecordedIndexedDb {
  readonly factory: FakeFactory = knownFactory();
  private readonly sink: CommitSink;
  private loading = false;
  private nextId = 1;
  private readonly databaseIds = new Map<string, number>();
  private readonly storeIds = new WeakMap<RawStore, number>();
  /** What each key generator had given out when its store was committed last. */
  private readonly generated = new WeakMap<RawStore, number>();
  /** By rollback log, the one thing that an operation on a raw store knows of its transaction. */
  private readonly touches = new WeakMap<(() => void)[], Map<RawStore, Touched>>();

  constructor(sink: CommitSink) {
    this.sink = sink;
    const { factory } = this;
    const setDatabase = factory._databases.set.bind(factory._databases);
    factory._databases.set = (name, raw) => {
      this.watchDatabase(raw);
      return setDatabase(name, raw);
    };
    const deleteDatabase = factory.deleteDatabase.bind(factory);
    factory.deleteDatabase = (...nameAndMore) => {
      const request = deleteDatabase(...nameAndMore);
      const dispatch = request.dispatchEvent.bind(request);
      request.dispatchEvent = (event) =>
        event.type === "success" && !this.databaseDeleted(nameAndMore[0]) ? false : dispatch(event);
      return request;
    };
  }

  /** Fills the empty factory. Call once, before anybody else uses it. */
  async load(databases: readonly StoredDatabase[]): Promise<void> {
    this.loading = true;
    for (const database of databases) {
      await createShape(this.factory, database);
      const raw = this.factory._databases.get(database.name);
      this.databaseIds.set(database.name, database.id);
      this.nextId = Math.max(this.nextId, database.id + 1);
      for (const stored of database.stores) {
        const store = raw?.rawObjectStores.get(stored.name);
        if (store !== undefined) this.fill(store, stored);
        this.nextId = Math.max(this.nextId, stored.id + 1);
      }
    }
    this.loading = false;
  }

  /** Records in all stores whose name `matches`. */
  count(matches: (storeName: string) => boolean): number {
    let count = 0;
    for (const raw of this.factory._databases.values()) {
      for (const store of raw.rawObjectStores.values()) if (matches(store.name)) count += store.records.size();
    }
    return count;
  }

  /** Whether a transaction is open anywhere. */
  get busy(): boolean {
    return [...this.factory._databases.values()].some((raw) =>
      raw.transactions.some((transaction) => transaction._state !== "finished"),
    );
  }

  /** Straight into the raw store: a request and an event for each record would take most of the time of a start. */
  private fill(store: RawStore, stored: StoredStore): void {
    this.storeIds.set(store, stored.id);
    for (const { key, value } of stored.records) store.storeRecord({ key, value }, false);
    if (store.keyGenerator !== null) store.keyGenerator.num = stored.generated;
    this.generated.set(store, stored.generated);
  }

  private watchDatabase(raw: RawDatabase): void {
    checkDatabase(raw);
    const push = raw.transactions.push.bind(raw.transactions);
    raw.transactions.push = (...transactions) => {
      for (const transaction of transactions) this.watchTransaction(raw, transaction);
      return push(...transactions);
    };
    const watched = new WeakSet<RawStore>();
    const setStore = raw.rawObjectStores.set.bind(raw.rawObjectStores);
    raw.rawObjectStores.set = (name, store) => {
      // A store that is renamed or comes back by an abort is set again.
      if (!watched.has(store)) this.watchStore(store);
      watched.add(store);
      return setStore(name, store);
    };
  }

  private watchTransaction(raw: RawDatabase, transaction: RawTransaction): void {
    checkTransaction(transaction);
    const touches = new Map<RawStore, Touched>();
    this.touches.set(transaction._rollbackLog, touches);
    const dispatch = transaction.dispatchEvent.bind(transaction);
    transaction.dispatchEvent = (event) =>
      event.type === "complete" && !this.completed(raw, transaction, touches) ? false : dispatch(event);
    const abort = transaction._abort.bind(transaction);
    transaction._abort = (errorName) => {
      // fake-indexeddb would roll back twice when an error handler aborts before the error's own abort.
      if (transaction._state === "finished") return;
      abort(errorName);
      // fake-indexeddb leaves a generator where an explicit key had moved it; the specification says it is reverted.
      for (const store of touches.keys()) {
        if (store.keyGenerator !== null) store.keyGenerator.num = this.generated.get(store) ?? 0;
      }
    };
  }

  private watchStore(store: RawStore): void {
    checkStore(store);
    const storeRecord = store.storeRecord.bind(store);
    store.storeRecord = (record, noOverwrite, rollbackLog) => {
      const touched = this.touch(store, rollbackLog);
      try {
        return storeRecord(record, noOverwrite, rollbackLog);
      } finally {
        // Only now: a generator may have made the key.
        if (record.key !== undefined) note(touched, record.key);
      }
    };
    const deleteRecord = store.deleteRecord.bind(store);
    store.deleteRecord = (keyOrRange, rollbackLog) => {
      const touched = this.touch(store, rollbackLog);
      if (touched !== null && isKeyRange(keyOrRange)) {
        for (const { key } of store.records.values(keyOrRange)) note(touched, key);
      } else {
        note(touched, keyOrRange as IdbKey);
      }
      deleteRecord(keyOrRange, rollbackLog);
    };
    const clear = store.clear.bind(store);
    store.clear = (rollbackLog) => {
      const touched = this.touch(store, rollbackLog);
      if (touched !== null) {
        touched.cleared = true;
        touched.keys.clear();
      }
      clear(rollbackLog);
    };
  }

  /** Null while loading and while fake-indexeddb rolls back: neither is anybody's change. */
  private touch(store: RawStore, rollbackLog: (() => void)[] | undefined): Touched | null {
    const touches = rollbackLog === undefined ? undefined : this.touches.get(rollbackLog);
    if (touches === undefined) return null;
    let touched = touches.get(store);
    if (touched === undefined) {
      touched = { cleared: false, keys: new Map() };
      touches.set(store, touched);
    }
    return touched;
  }

  /** @returns whether `complete` may be dispatched */
  private completed(raw: RawDatabase, transaction: RawTransaction, touches: ReadonlyMap<RawStore, Touched>): boolean {
    if (this.loading) return true;
    if (this.sink.stopped) return false;
    const upgrade = transaction.mode === "versionchange";
    if (!upgrade && touches.size === 0) return true;
    if (!this.sink.commit(() => [...(upgrade ? [this.shapeOf(raw)] : []), ...this.recordsOf(raw, touches)]))
      return false;
    for (const store of touches.keys())
      if (store.keyGenerator !== null) this.generated.set(store, store.keyGenerator.num);
    return true;
  }

  /** @returns whether `success` may be dispatched */
  private databaseDeleted(name: string): boolean {
    if (this.sink.stopped) return false;
    const databaseId = this.databaseIds.get(name);
    if (databaseId === undefined) return true;
    this.databaseIds.delete(name);
    return this.sink.commit(() => [{ kind: "databaseDeleted", databaseId }]);
  }

  private shapeOf(raw: RawDatabase): Change {
    const id = this.databaseIds.get(raw.name) ?? this.nextId++;
    this.databaseIds.set(raw.name, id);
    const stores = [...raw.rawObjectStores.values()].map((store) => ({
      id: this.idOf(store),
      name: store.name,
      keyPath: store.keyPath,
      autoIncrement: store.keyGenerator !== null,
      indexes: [...store.rawIndexes.values()]
        .filter((index) => !index.deleted)
        .map(({ name, keyPath, unique, multiEntry }) => ({ name, keyPath, unique, multiEntry })),
    }));
    const shape: DatabaseShape = { id, name: raw.name, version: raw.version, stores };
    return { kind: "shape", shape };
  }

  private recordsOf(raw: RawDatabase, touches: ReadonlyMap<RawStore, Touched>): Change[] {
    const changes: Change[] = [];
    for (const [store, touched] of touches) {
      if (raw.rawObjectStores.get(store.name) !== store) continue; // deleted later in the same upgrade
      const storeId = this.idOf(store);
      if (touched.cleared) changes.push({ kind: "cleared", storeId });
      for (const key of touched.keys.values()) {
        const record = store.records.get(key);
        changes.push(
          record === undefined
            ? { kind: "deleted", storeId, key: encodeKey(key) }
            : { kind: "put", storeId, key: encodeKey(key), value: encodeValue(record.value) },
        );
      }
      const last = store.keyGenerator?.num;
      if (last !== undefined && last !== (this.generated.get(store) ?? 0))
        changes.push({ kind: "generated", storeId, last });
    }
    return changes;
  }

  private idOf(store: RawStore): number {
    const id = this.storeIds.get(store) ?? this.nextId++;
    this.storeIds.set(store, id);
    return id;
  }
}

function note(touched: Touched | null, key: IdbKey): void {
  touched?.keys.set(encodeKey(key).toString("latin1"), key);
}
