/**
 * Owns the one OlmMachine and the one lock around it. Every call to the library goes through here.
 *
 * Guarantees: one call at a time; no call runs while a sync is received and not yet committed; nothing goes on after a panic.
 * A panic inside the wasm surfaces in three ways: as a `RuntimeError` from the call, as one thrown out of a microtask (it
 * reaches nobody but the process: `isCryptoPanic` recognises it there), and as a promise that never settles (the watchdog).
 * No network request is made while the lock is held: a slow server stops neither the sync nor other rooms.
 */
import {
  DecryptionSettings,
  DeviceId,
  OlmMachine,
  TrustRequirement,
  UserId,
  initAsync,
} from "@matrix-org/matrix-sdk-crypto-wasm";
import { Cancelled, CryptoPanicked, DataDirectoryRefused } from "../errors.ts";
import type { Metrics } from "../metrics.ts";
import { Mutex } from "./mutex.ts";

export interface MachineOptions {
  readonly userId: string;
  readonly deviceId: string;
  /** Name of the IndexedDB database; null keeps the keys in memory only. */
  readonly storeName: string | null;
  /** A library call that takes longer has panicked, in milliseconds. */
  readonly watchdogMs: number;
  /** Ends the process, synchronously. */
  readonly onFatal: (error: Error) => void;
  readonly metrics?: Metrics | undefined;
}

/** One guarded call to the library, made while the lock is held. Its name, a word of the code, is also a label of a metric. */
export type LibraryCall = <T>(name: string, call: (olm: OlmMachine) => Promise<T>) => Promise<T>;

/** Whether an error (for example one that reached `uncaughtException`) is a panic of the crypto library: exit code 71. */
export function isCryptoPanic(error: unknown): boolean {
  return error instanceof CryptoPanicked || isWasmTrap(error);
}

/** `WebAssembly.RuntimeError`, which the types of Node leave out. */
function isWasmTrap(error: unknown): boolean {
  return error instanceof Error && error.name === "RuntimeError";
}

/** The library's own log lines name users and sessions in its own words: they stay out of ours. */
const silence = { debug() {}, info() {}, warn() {}, error() {} };

export class Machine {
  private readonly olm: OlmMachine;
  private readonly options: MachineOptions;
  private readonly lock = new Mutex();
  /** Set once, by a failure after which nothing may go on, or by `close`. */
  private ended: Error | null = null;

  private constructor(olm: OlmMachine, options: MachineOptions) {
    this.olm = olm;
    this.options = options;
  }

  /** @throws DataDirectoryRefused the store belongs to another account or device */
  static async open(options: MachineOptions): Promise<Machine> {
    await initAsync();
    try {
      const user = new UserId(options.userId);
      const device = new DeviceId(options.deviceId);
      const opened = OlmMachine.initialize(user, device, options.storeName ?? undefined, undefined, silence);
      const olm = await guarded("open", opened, options);
      return new Machine(olm, options);
    } catch (error) {
      if (isWasmTrap(error)) {
        const panic = panicked("open", error);
        options.onFatal(panic);
        throw panic;
      }
      if (error instanceof Error && /account in the store doesn't match/.test(error.message)) {
        throw new DataDirectoryRefused(
          `The data directory holds the keys of another account or device than ${options.userId} with device ${options.deviceId}. Use the directory that belongs to this device, or an empty one.`,
          { cause: error },
        );
      }
      throw error;
    }
  }

  /**
   * Waits for the lock, then makes one call.
   * @param name of the call, for the error
   * @throws CryptoPanicked; Cancelled when the signal aborted before its turn, or after `close`; what the library throws
   */
  use<T>(name: string, call: (olm: OlmMachine) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.hold((library) => library(name, call), signal);
  }

  /** Waits for the lock and keeps it until `work` has settled. `work` makes its calls through the function it is given. */
  hold<T>(work: (library: LibraryCall) => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (this.ended !== null) return Promise.reject(this.ended);
    return this.lock.run(() => {
      if (this.ended !== null) return Promise.reject(this.ended);
      return work((name, call) => this.call(name, call));
    }, signal);
  }

  /** The public keys of the device, in unpadded base64. @throws as `use` */
  identityKeys(): Promise<{ readonly ed25519: string; readonly curve25519: string }> {
    return this.use("identityKeys", (olm) => {
      const { ed25519, curve25519 } = olm.identityKeys;
      return Promise.resolve({ ed25519: ed25519.toBase64(), curve25519: curve25519.toBase64() });
    });
  }

  /** After this every call fails with `error`, and the process ends. */
  fail(error: Error): never {
    this.ended ??= error;
    this.options.onFatal(error);
    throw error;
  }

  /** Waits for the call in progress, then closes the store. Idempotent. */
  async close(): Promise<void> {
    await this.lock.run(() => {
      if (this.ended === null) {
        this.ended = new Cancelled("The crypto engine has been stopped.");
        this.olm.close();
      }
      return Promise.resolve();
    });
  }

  private async call<T>(name: string, call: (olm: OlmMachine) => Promise<T>): Promise<T> {
    if (this.ended !== null) throw this.ended;
    const timed = this.options.metrics?.cryptoCallSeconds.startTimer({ call: name });
    try {
      return await guarded(name, call(this.olm), this.options);
    } catch (error) {
      if (error instanceof CryptoPanicked) this.ended ??= error;
      else if (isWasmTrap(error)) this.fail(panicked(name, error));
      throw error;
    } finally {
      timed?.();
    }
  }
}

/** Decrypts from any device: what is known about the sender's device is recorded, and policy stands above this room. */
export function decryptFromAnyDevice(): DecryptionSettings {
  return new DecryptionSettings(TrustRequirement.Untrusted);
}

function panicked(name: string, cause?: unknown): CryptoPanicked {
  return new CryptoPanicked(
    `The crypto library panicked in ${name}: its state in memory can't be trusted. Start again; what is on disk is whole.`,
    { cause },
  );
}

async function guarded<T>(name: string, call: Promise<T>, options: MachineOptions): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const stuck = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const error = panicked(name);
      options.onFatal(error);
      reject(error);
    }, options.watchdogMs);
  });
  try {
    return await Promise.race([call, stuck]);
  } finally {
    clearTimeout(timer);
  }
}
