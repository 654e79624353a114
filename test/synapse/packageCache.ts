/**
 * Sets of unpacked packages, kept outside the work tree between runs. A set is used only once it was tried and worked; the last one
 * that did is kept, and used on when the archive has moved to a set that doesn't, or can't be reached.
 *
 * - A set appears under its name when it is complete; what a killed run left half unpacked is removed by the next one.
 * - One process at a time changes the folder: the lock is SQLite's on a file, and goes with the process that holds it.
 * - The archive is asked once a day, or when the caller wants to know.
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import Database from "better-sqlite3-multiple-ciphers";
import { askArchive, type Offer, type PackagesWanted } from "./debianPackages.ts";

const ASK_AGAIN_AFTER_MS = 86_400_000;
/** After a question that went wrong. */
const ASK_AGAIN_AFTER_FAILURE_MS = 3_600_000;
/** For another run that downloads, unpacks and tries. */
const LOCK_PATIENCE_MS = 600_000;
const LOCK_POLL_MS = 50;

export interface CacheOptions {
  /** Made when it is missing. */
  readonly folder: string;
  /** Read when the archive is asked. @throws Error when there is none to ask */
  readonly wanted: () => Omit<PackagesWanted, "folder">;
  /** Uses an unpacked set once, for real. @returns its version @throws Error when it does not work */
  readonly tryOut: (root: string) => Promise<string>;
  /** Told what takes long, and what went wrong and was got around. */
  readonly say: (line: string) => void;
  /** Unix milliseconds; by default this machine's clock. */
  readonly now?: () => number;
}

export interface PackageSet {
  /** What `tryOut` said. */
  readonly version: string;
  /** Where the packages are unpacked. */
  readonly root: string;
}

interface Good {
  readonly id: string;
  readonly version: string;
}

/** The file `state.json`. */
interface State {
  /** The last that worked. */
  readonly good: Good | null;
  /** The one that worked before it: another run may still be using it. */
  readonly before: Good | null;
  /** IDs of sets that did not work. */
  readonly bad: readonly string[];
  /** When the archive may be asked again, in Unix milliseconds. */
  readonly askAgainAt: number;
  /** Why the last good set is not the newest one; null if it is. */
  readonly trouble: string | null;
}

const NOTHING: State = { good: null, before: null, bad: [], askAgainAt: 0, trouble: null };

/**
 * @param options.refresh asks the archive whatever is there, and tries sets again that did not work
 * @throws Error there is no set that works, and why
 */
export async function preparePackages(options: CacheOptions & { readonly refresh?: boolean }): Promise<PackageSet> {
  const cache = new PackageCache(options);
  const ready = options.refresh === true ? null : cache.recentlyGood();
  return ready ?? (await cache.underLock(() => cache.prepare(options.refresh === true)));
}

class PackageCache {
  readonly #options: CacheOptions;

  constructor(options: CacheOptions) {
    this.#options = options;
    mkdirSync(this.#path("sets"), { recursive: true });
  }

  /** The last good set, if the archive need not be asked today. */
  recentlyGood(): PackageSet | null {
    const state = this.#state();
    // A clock that was set back must not keep an old set for ever.
    const waitMs = state.askAgainAt - this.#now();
    if (state.good === null || waitMs <= 0 || waitMs > ASK_AGAIN_AFTER_MS || !this.#isThere(state.good)) return null;
    if (state.trouble !== null) this.#options.say(fallingBack(state.good, state.trouble));
    return this.#setOf(state.good);
  }

  /** Asks the archive and takes what it offers, or falls back. */
  async prepare(refresh: boolean): Promise<PackageSet> {
    // Another run may have done it while this one waited for the lock.
    const ready = refresh ? null : this.recentlyGood();
    if (ready !== null) return ready;
    this.#removeRemains();
    const before = this.#state();
    const good = before.good !== null && this.#isThere(before.good) ? before.good : null;
    const bad = refresh ? [] : before.bad;
    try {
      const offer = await askArchive({ ...this.#options.wanted(), folder: this.#path("apt") });
      const taken = offer.id === good?.id ? good : await this.#take(offer, bad);
      this.#write({
        good: taken,
        before: taken === good ? before.before : good,
        bad,
        askAgainAt: this.#now() + ASK_AGAIN_AFTER_MS,
        trouble: null,
      });
      offer.forgetDownloads();
      this.#removeRemains();
      return this.#setOf(taken);
    } catch (error) {
      const trouble = error instanceof Error ? error.message : String(error);
      const known = error instanceof SetDoesNotWork ? [...new Set([...bad, error.id])] : bad;
      this.#write({ ...before, good, bad: known, askAgainAt: this.#now() + ASK_AGAIN_AFTER_FAILURE_MS, trouble });
      if (good === null) throw new Error(`there are no packages that work: ${trouble}`, { cause: error });
      this.#options.say(fallingBack(good, trouble));
      return this.#setOf(good);
    }
  }

  async underLock<T>(work: () => Promise<T>): Promise<T> {
    const database = new Database(this.#path("lock"), { timeout: 0 });
    try {
      const endsAt = performance.now() + LOCK_PATIENCE_MS;
      let waited = false;
      while (!tryLock(database)) {
        if (!waited) this.#options.say("waiting for another run that prepares the packages");
        waited = true;
        if (performance.now() > endsAt)
          throw new Error(`another run has not let go of ${this.#options.folder} in ten minutes`);
        await pause(LOCK_POLL_MS);
      }
      return await work();
    } finally {
      database.close();
    }
  }

  async #take(offer: Offer, bad: readonly string[]): Promise<Good> {
    if (bad.includes(offer.id)) throw new SetDoesNotWork(offer.id, "the archive still has the set that did not work");
    const root = this.#path("sets", offer.id);
    const startedMs = performance.now();
    if (!existsSync(root)) {
      this.#options.say(`unpacking ${offer.count} packages into ${this.#options.folder}`);
      const unpacking = this.#path(`unpacking-${process.pid}`);
      await offer.unpackInto(unpacking);
      renameSync(unpacking, root);
    }
    try {
      const version = await this.#options.tryOut(root);
      this.#options.say(`version ${version} is ready after ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
      return { id: offer.id, version };
    } catch (error) {
      rmSync(root, { recursive: true, force: true });
      const why = error instanceof Error ? error.message : String(error);
      throw new SetDoesNotWork(offer.id, `the archive's present set does not work: ${why}`);
    }
  }

  /** Half-unpacked sets, and whole ones that are neither the last good one nor the one before it. */
  #removeRemains(): void {
    const { good, before } = this.#state();
    for (const name of readdirSync(this.#options.folder)) {
      if (name.startsWith("unpacking-")) rmSync(this.#path(name), { recursive: true, force: true });
    }
    for (const id of readdirSync(this.#path("sets"))) {
      if (id !== good?.id && id !== before?.id) rmSync(this.#path("sets", id), { recursive: true, force: true });
    }
  }

  #now(): number {
    return (this.#options.now ?? Date.now)();
  }

  #state(): State {
    try {
      return { ...NOTHING, ...(JSON.parse(readFileSync(this.#path("state.json"), "utf8")) as Partial<State>) };
    } catch {
      // Missing or unreadable: the archive knows the rest.
      return NOTHING;
    }
  }

  #write(state: State): void {
    writeFileSync(this.#path("state.json.new"), `${JSON.stringify(state, null, 2)}\n`);
    renameSync(this.#path("state.json.new"), this.#path("state.json"));
  }

  #isThere({ id }: Good): boolean {
    return existsSync(this.#path("sets", id));
  }

  #setOf({ id, version }: Good): PackageSet {
    return { version, root: this.#path("sets", id) };
  }

  #path(...parts: readonly string[]): string {
    return join(this.#options.folder, ...parts);
  }
}

class SetDoesNotWork extends Error {
  readonly id: string;

  constructor(id: string, message: string) {
    super(message);
    this.id = id;
  }
}

function fallingBack(good: Good, trouble: string): string {
  return `using the last good set (version ${good.version}): ${trouble}`;
}

function tryLock(database: Database.Database): boolean {
  try {
    database.exec("BEGIN EXCLUSIVE");
    return true;
  } catch (error) {
    if (error instanceof Database.SqliteError && error.code.startsWith("SQLITE_BUSY")) return false;
    throw error;
  }
}
