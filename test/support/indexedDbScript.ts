/**
 * A random life of an IndexedDB, played against any factory, and a dump of what it holds afterwards: two factories that got
 * the same script are compared by both their answers and their dumps.
 */
import fc from "fast-check";

/* The little of IndexedDB that scripts use; Node's types have none of it. */
export interface Factory {
  open(name: string, version?: number): Request;
  deleteDatabase(name: string): Request;
  databases(): Promise<{ name: string; version: number }[]>;
}
interface Request {
  result: unknown;
  error: { name: string } | null;
  transaction: Transaction;
  onsuccess: (() => void) | null;
  onerror: ((event: { preventDefault(): void; stopPropagation(): void }) => void) | null;
  onupgradeneeded: (() => void) | null;
}
export interface Connection {
  version: number;
  objectStoreNames: Iterable<string>;
  transaction(names: string[], mode: string): Transaction;
  createObjectStore(name: string, options: object): Store;
  deleteObjectStore(name: string): void;
  close(): void;
}
interface Transaction {
  error: { name: string } | null;
  objectStoreNames: Iterable<string>;
  oncomplete: (() => void) | null;
  onabort: (() => void) | null;
  objectStore(name: string): Store;
  abort(): void;
}
interface Source {
  openCursor(range?: unknown): Request;
}
export interface Store extends Source {
  name: string;
  keyPath: unknown;
  autoIncrement: boolean;
  indexNames: Iterable<string>;
  _rawObjectStore: { keyGenerator: { num: number } | null };
  put(value: unknown, key?: unknown): Request;
  add(value: unknown, key?: unknown): Request;
  delete(key: unknown): Request;
  clear(): Request;
  getAll(): Request;
  getAllKeys(): Request;
  index(name: string): Source & { keyPath: unknown; unique: boolean; multiEntry: boolean };
  createIndex(name: string, keyPath: unknown, options: object): unknown;
  deleteIndex(name: string): void;
}
interface Cursor {
  key: unknown;
  primaryKey: unknown;
  advance(by: number): void;
  continue(): void;
  update(value: unknown): Request;
  delete(): Request;
}
interface KeyRanges {
  bound(lower: unknown, upper: unknown, lowerOpen: boolean, upperOpen: boolean): unknown;
}

type SchemaStep =
  | { kind: "createStore"; store: string; shape: number }
  | { kind: "deleteStore"; store: string }
  | { kind: "renameStore"; store: string; to: string }
  | { kind: "createIndex"; store: string; index: string; shape: number }
  | { kind: "deleteIndex"; store: string; index: string };
/** Stores by number: any that is there will do. */
type DataStep =
  | { kind: "put" | "add"; store: number; value: unknown; key: unknown; keyed: boolean }
  | { kind: "delete"; store: number; key: unknown }
  | { kind: "deleteRange"; store: number; from: unknown; to: unknown; open: readonly [boolean, boolean] }
  | { kind: "clear"; store: number }
  | { kind: "cursorUpdate"; store: number; index: string | null; at: number; value: unknown }
  | { kind: "cursorDelete"; store: number; index: string | null; at: number };
interface Work {
  data: readonly DataStep[];
  /** Whether the failure of a request is caught, so that its transaction goes on. */
  forgiving: boolean;
  end: "complete" | "abort";
}
export type ScriptStep =
  | ({ kind: "upgrade"; database: string; schema: readonly SchemaStep[] } & Work)
  /** All at once, so that they queue for the stores. */
  | { kind: "transactions"; database: string; works: readonly Work[] }
  | { kind: "deleteDatabase"; database: string }
  | { kind: "reopen" };

const STORES = ["shape 0", "shape 1", "shape 4", "new"] as const;
const INDEXES = ["first", "second"] as const;
const STORE_SHAPES = [
  {},
  { autoIncrement: true },
  { keyPath: "id" },
  { keyPath: "id", autoIncrement: true },
  { keyPath: ["tag", "id"] },
] as const;
const INDEX_SHAPES = [
  { keyPath: "tag", unique: false, multiEntry: false },
  { keyPath: "tag", unique: true, multiEntry: false },
  { keyPath: "list", unique: false, multiEntry: true },
  { keyPath: ["tag", "flag"], unique: false, multiEntry: false },
] as const;

const bytes = fc.uint8Array({ maxLength: 6 });
/** Few different ones, so that they meet. No numbers for stores with a generator: see `valueOf`. */
const keys = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom("a", "b", "c", "d") },
  { weight: 1, arbitrary: bytes.map((array) => new Uint8Array(array).buffer) },
  { weight: 1, arbitrary: fc.constantFrom("\ud800", "ä\u0000", "").map((text) => text) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 3 }).map((day) => new Date(day * 86_400_000)) },
  { weight: 1, arbitrary: fc.constantFrom<unknown>(["a", 1], ["a", ["b"]], []) },
  { weight: 1, arbitrary: fc.constantFrom<unknown>(Number.NaN, null, {}) }, // not valid keys
);
const payloads = fc.oneof(
  fc.constant(undefined),
  fc.string(),
  bytes,
  bytes.map((array) => new Uint16Array(array)),
  bytes.map((array) => new Uint8Array([9, ...array, 9]).subarray(1, 1 + array.length)),
  bytes.map((array) => new Uint8Array(array).buffer),
  fc.bigInt(),
  fc.constantFrom<unknown>(
    null,
    Number.NaN,
    Infinity,
    new Date(5),
    new Map([["k", new Set([1])]]),
    [1, undefined, "x"],
    { deep: { undef: undefined } },
  ),
);
const values = fc.record(
  {
    id: fc.constantFrom("a", "b", "c", "d"),
    tag: fc.constantFrom("x", "y", "z"),
    flag: fc.constantFrom(0, 1),
    list: fc.subarray(["p", "q", "r"]),
    payload: payloads,
  },
  { requiredKeys: ["payload"] },
);
const store = fc.constantFrom(...STORES);
const anyStore = fc.nat(4);
const indexOrNone = fc.constantFrom(null, null, ...INDEXES);
const put = (kind: "put" | "add"): fc.Arbitrary<DataStep> =>
  fc.record({ kind: fc.constant(kind), store: anyStore, value: values, key: keys, keyed: fc.boolean() });
const dataStep: fc.Arbitrary<DataStep> = fc.oneof(
  { weight: 6, arbitrary: put("put") },
  { weight: 3, arbitrary: put("add") },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("delete" as const), store: anyStore, key: keys }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("deleteRange" as const),
      store: anyStore,
      from: keys,
      to: keys,
      open: fc.tuple(fc.boolean(), fc.boolean()),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("clear" as const), store: anyStore }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("cursorUpdate" as const),
      store: anyStore,
      index: indexOrNone,
      at: fc.nat(2),
      value: values,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("cursorDelete" as const),
      store: anyStore,
      index: indexOrNone,
      at: fc.nat(2),
    }),
  },
);
const schemaStep: fc.Arbitrary<SchemaStep> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant("createStore" as const), store, shape: fc.nat(STORE_SHAPES.length - 1) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("createIndex" as const),
      store,
      index: fc.constantFrom(...INDEXES),
      shape: fc.nat(INDEX_SHAPES.length - 1),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("deleteStore" as const), store }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("renameStore" as const), store, to: store }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("deleteIndex" as const), store, index: fc.constantFrom(...INDEXES) }),
  },
);
const work = {
  data: fc.array(dataStep, { maxLength: 10, size: "max" }),
  forgiving: fc.boolean(),
  end: fc.constantFrom("complete" as const, "complete" as const, "complete" as const, "abort" as const),
};
const database = fc.constantFrom("keys", "keys", "meta");

/** Every script starts with a database in which something can happen. */
const start: ScriptStep = {
  kind: "upgrade",
  database: "keys",
  schema: [
    ...STORE_SHAPES.map((_, shape) => ({ kind: "createStore" as const, store: `shape ${shape}`, shape })),
    ...INDEX_SHAPES.map((_, shape) => ({
      kind: "createIndex" as const,
      store: `shape ${shape}`,
      index: "first",
      shape,
    })),
  ],
  data: [],
  forgiving: false,
  end: "complete",
};

export const scripts: fc.Arbitrary<ScriptStep[]> = fc
  .array(
    fc.oneof(
      {
        weight: 3,
        arbitrary: fc.record({
          kind: fc.constant("upgrade" as const),
          database,
          schema: fc.array(schemaStep, { maxLength: 3 }),
          ...work,
        }),
      },
      {
        weight: 12,
        arbitrary: fc.record({
          kind: fc.constant("transactions" as const),
          database,
          works: fc.array(fc.record(work), { minLength: 1, maxLength: 3 }),
        }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant("deleteDatabase" as const), database }) },
      { weight: 3, arbitrary: fc.constant({ kind: "reopen" as const }) },
    ),
    { minLength: 4, maxLength: 14, size: "max" },
  )
  .map((steps) => [start, ...steps]);

export function finished(request: Request): Promise<unknown> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(new Error(request.error?.name));
  });
}

export function ended(transaction: Transaction): Promise<string> {
  return new Promise((resolve) => {
    transaction.oncomplete = () => resolve("complete");
    transaction.onabort = () => resolve(`aborted ${transaction.error?.name ?? ""}`);
  });
}

/** @returns what the factory answered, step by step */
export async function play(
  factory: Factory,
  ranges: KeyRanges,
  step: Exclude<ScriptStep, { kind: "reopen" }>,
): Promise<unknown[]> {
  if (step.kind === "deleteDatabase") return [await finished(factory.deleteDatabase(step.database))];
  const known = (await factory.databases()).find(({ name }) => name === step.database);
  if (step.kind === "upgrade") return upgrade(factory, ranges, step, (known?.version ?? 0) + 1);
  if (known === undefined) return ["no database"];
  const connection = (await finished(factory.open(step.database))) as Connection;
  const names = [...connection.objectStoreNames];
  const answers =
    names.length === 0
      ? ["no stores"]
      : await Promise.all(
          step.works.map(async (part) => {
            const transaction = connection.transaction(names, "readwrite");
            const end = ended(transaction);
            return [await run(transaction, ranges, part), await end];
          }),
        );
  connection.close();
  return answers;
}

async function upgrade(
  factory: Factory,
  ranges: KeyRanges,
  step: Extract<ScriptStep, { kind: "upgrade" }>,
  version: number,
): Promise<unknown[]> {
  const request = factory.open(step.database, version);
  const answers: unknown[] = [];
  let working: Promise<unknown> = Promise.resolve();
  request.onupgradeneeded = () => {
    const connection = request.result as Connection;
    for (const part of step.schema) answers.push(outcomeOf(() => changeSchema(connection, request.transaction, part)));
    working = run(request.transaction, ranges, step);
  };
  const opened = await finished(request).then(
    (connection) => {
      (connection as Connection).close();
      return "opened";
    },
    (error: Error) => error.message,
  );
  return [...answers, await working, opened];
}

function changeSchema(connection: Connection, transaction: Transaction, step: SchemaStep): void {
  switch (step.kind) {
    case "createStore":
      connection.createObjectStore(step.store, STORE_SHAPES[step.shape] ?? {});
      return;
    case "deleteStore":
      connection.deleteObjectStore(step.store);
      return;
    case "renameStore":
      transaction.objectStore(step.store).name = step.to;
      return;
    case "createIndex": {
      const { keyPath, ...options } = INDEX_SHAPES[step.shape] ?? INDEX_SHAPES[0];
      transaction.objectStore(step.store).createIndex(step.index, keyPath, options);
      return;
    }
    case "deleteIndex":
      transaction.objectStore(step.store).deleteIndex(step.index);
  }
}

async function run(transaction: Transaction, ranges: KeyRanges, { data, forgiving, end }: Work): Promise<unknown[]> {
  const answers: unknown[] = [];
  for (const step of data) {
    const answer = await new Promise((resolve) => {
      const settled = (request: Request): void => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = (event) => {
          if (forgiving) event.preventDefault();
          resolve(request.error?.name);
        };
      };
      try {
        const names = [...transaction.objectStoreNames];
        if (names.length === 0) return resolve("no stores");
        request(transaction.objectStore(names[step.store % names.length] ?? ""), ranges, step, settled, resolve);
      } catch (error) {
        resolve((error as Error).name);
      }
    });
    answers.push(answer);
  }
  if (end === "abort") answers.push(outcomeOf(() => transaction.abort()));
  return answers;
}

function request(
  target: Store,
  ranges: KeyRanges,
  step: DataStep,
  settled: (request: Request) => void,
  resolve: (answer: unknown) => void,
): void {
  switch (step.kind) {
    case "put":
    case "add":
      return settled(
        takesKey(target, step.keyed) ? target[step.kind](step.value, step.key) : target[step.kind](step.value),
      );
    case "delete":
      return settled(target.delete(step.key));
    case "deleteRange":
      return settled(target.delete(ranges.bound(step.from, step.to, ...step.open)));
    case "clear":
      return settled(target.clear());
    default: {
      const opening = (step.index === null ? target : target.index(step.index)).openCursor();
      settled(opening); // for its failure; the answer comes below
      let advanced = step.at === 0;
      opening.onsuccess = () => {
        const cursor = opening.result as Cursor | null;
        if (cursor === null) return resolve("past the end");
        if (!advanced) {
          advanced = true;
          return cursor.advance(step.at);
        }
        try {
          settled(step.kind === "cursorDelete" ? cursor.delete() : cursor.update(step.value));
        } catch (error) {
          resolve((error as Error).name);
        }
      };
    }
  }
}

/** `choice` decides where IndexedDB leaves one. */
function takesKey(target: Store, choice: boolean): boolean {
  return target.keyPath === null && (choice || !target.autoIncrement);
}

function outcomeOf(action: () => unknown): string {
  try {
    action();
    return "done";
  } catch (error) {
    return (error as Error).name;
  }
}

/** Everything that a program can see of the databases, and the state of key generators. */
export async function dump(factory: Factory): Promise<unknown> {
  const databases = (await factory.databases()).sort((a, b) => (a.name < b.name ? -1 : 1));
  const dumps: unknown[] = [];
  for (const { name, version } of databases) {
    const connection = (await finished(factory.open(name))) as Connection;
    const stores: unknown[] = [];
    for (const storeName of connection.objectStoreNames) {
      const target = connection.transaction([storeName], "readonly").objectStore(storeName);
      const indexes: unknown[] = [];
      for (const indexName of target.indexNames) {
        const { keyPath, unique, multiEntry, ...rest } = target.index(indexName);
        void rest;
        indexes.push({ indexName, keyPath, unique, multiEntry, entries: await entries(target.index(indexName)) });
      }
      stores.push({
        storeName,
        keyPath: target.keyPath,
        autoIncrement: target.autoIncrement,
        generated: target._rawObjectStore.keyGenerator?.num,
        keys: await finished(target.getAllKeys()),
        values: await finished(target.getAll()),
        indexes,
      });
    }
    connection.close();
    dumps.push({ name, version, stores });
  }
  return dumps;
}

function entries(source: Source): Promise<unknown[]> {
  return new Promise((resolve, reject) => {
    const found: unknown[] = [];
    const opening = source.openCursor();
    opening.onerror = () => reject(new Error(opening.error?.name));
    opening.onsuccess = () => {
      const cursor = opening.result as Cursor | null;
      if (cursor === null) return resolve(found);
      found.push([cursor.key, cursor.primaryKey]);
      cursor.continue();
    };
  });
}
