/**
 * The account's key backup (client-server API, "Server-side key backups", `m.megolm_backup.v1.curve25519-aes-sha2`): makes a version,
 * finds out which one is current and whether it is ours, and keeps the key that reads it.
 *
 * Guarantees: room keys go only to a version that the account's identity has signed (or this device, as long as it holds no key of a
 * backup), or whose decryption key this device holds: the homeserver can't name another one. A version that is neither is never used, and said in the log and in the notes of the
 * health report; what was backed up elsewhere is backed up again when a version takes the place of another. The decryption key stays in
 * the key store; it is handed out to whoever puts it into secret storage, and never logged.
 */
import { BackupDecryptionKey, SignatureState } from "@matrix-org/matrix-sdk-crypto-wasm";
import { DocketError } from "../errors.ts";
import type { Logger } from "../logging.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "../protocol/json.ts";
import { printable } from "../protocol/printable.ts";
import type { BackupState, Vitals } from "../vitals.ts";
import { BACKUP_ALGORITHM, currentVersion, makeVersion, type BackupVersion } from "./backupVersion.ts";
import { isCryptoPanic, type LibraryCall, type Machine } from "./machine.ts";
import { Mutex } from "./mutex.ts";

export interface CurrentBackupOptions {
  readonly machine: Machine;
  readonly homeserver: Homeserver;
  readonly log: Logger;
  readonly vitals?: Vitals | undefined;
  /** Told of each state that is found, changed or not. */
  readonly onState?: (state: BackupState, before: BackupState) => void;
}

/** A version that the library encrypts room keys for. */
interface Enabled {
  readonly version: string;
  readonly publicKey: string;
}

const NOTE = "key_backup";

export class CurrentBackup {
  private readonly options: CurrentBackupOptions;
  /** Finding out and changing, one at a time: each ends with the state that it found. */
  private readonly line = new Mutex();
  private found: BackupState = { kind: "unknown", version: null };
  private enabled: Enabled | null = null;

  constructor(options: CurrentBackupOptions) {
    this.options = options;
  }

  /** As last found; `unknown` before the first look and after the homeserver refused the version. */
  get state(): BackupState {
    return this.found;
  }

  /** Whether room keys may go there. */
  get isUsable(): boolean {
    return this.found.kind === "in_use" || this.found.kind === "upload_only";
  }

  /** A new decryption key, in base64: for secret storage (as `m.megolm_backup.v1`), then for `create`. */
  newKey(): string {
    const key = BackupDecryptionKey.createRandomKey();
    const text = key.toBase64();
    key.free();
    return text;
  }

  /**
   * Makes a backup that this key reads, signed by this device and, where its private part is here, by the account's master key. Can be
   * repeated: where the current version is this key's already, none is made.
   * @param decryptionKey in base64, from `newKey`
   * @throws ServerRefused | ServerUnreachable (it may have been made) | Cancelled | CryptoPanicked
   */
  create(decryptionKey: string, signal: AbortSignal): Promise<BackupState> {
    return this.line.run(async () => {
      const current = await currentVersion(this.options.homeserver, signal);
      return await this.createIn(current, decryptionKey, signal);
    }, signal);
  }

  /**
   * Makes the backup again where the account has none any more, for the key that is kept here, which is still in secret storage.
   * @returns the state after it; `absent` where there was no key to make it for
   * @throws as `create`
   */
  remake(signal: AbortSignal): Promise<BackupState> {
    return this.line.run(async () => {
      const { homeserver, machine } = this.options;
      const current = await currentVersion(homeserver, signal);
      const saved = await machine.hold(savedKey, signal);
      if (current !== null || saved === null) return await this.settle(current, null);
      return await this.createIn(null, saved.key, signal);
    }, signal);
  }

  /**
   * Takes a decryption key that came from secret storage, a person or another device.
   * @param decryptionKey in base64
   * @returns whether the account's current backup is this key's; if not, nothing was kept
   * @throws ServerRefused | ServerUnreachable | Cancelled | CryptoPanicked
   */
  adopt(decryptionKey: string, signal: AbortSignal): Promise<boolean> {
    return this.line.run(async () => {
      const publicKey = publicKeyOf(decryptionKey);
      const current = await currentVersion(this.options.homeserver, signal);
      const fits = publicKey !== null && current?.publicKey === publicKey;
      await this.settle(current, fits ? decryptionKey : null);
      return fits;
    }, signal);
  }

  /**
   * Asks the homeserver which version is current, and uses it if it is ours; also after something changed what is ours, such as a
   * verification of the own identity.
   * @throws ServerRefused | ServerUnreachable | Cancelled | CryptoPanicked
   */
  check(signal: AbortSignal): Promise<BackupState> {
    return this.line.run(
      async () => await this.settle(await currentVersion(this.options.homeserver, signal), null),
      signal,
    );
  }

  /** The homeserver refused the version: nothing goes there until it was looked at again. */
  forget(): void {
    this.tell({ kind: "unknown", version: this.found.version });
  }

  private async createIn(
    current: BackupVersion | null,
    decryptionKey: string,
    signal: AbortSignal,
  ): Promise<BackupState> {
    const publicKey = publicKeyOf(decryptionKey);
    if (publicKey === null) throw new TypeError("the key of the new backup is no decryption key");
    if (current?.publicKey === publicKey) return await this.settle(current, decryptionKey);
    const authData = await this.sign({ public_key: publicKey });
    const version = await makeVersion(this.options.homeserver, authData, signal);
    const made = { version, algorithm: BACKUP_ALGORITHM, authData, publicKey, count: 0 };
    return await this.settle(made, decryptionKey);
  }

  private async settle(current: BackupVersion | null, decryptionKey: string | null): Promise<BackupState> {
    const state = current === null ? absent : await this.use(current, decryptionKey);
    this.tell(state);
    return state;
  }

  /** Enables the version in the library if it is ours. */
  private async use(current: BackupVersion, decryptionKey: string | null): Promise<BackupState> {
    const { version, publicKey } = current;
    if (publicKey === null) return { kind: "unsupported", version };
    return await this.options.machine.hold(async (library) => {
      const saved = await savedKey(library);
      const isReadable = decryptionKey !== null || saved?.publicKey === publicKey;
      if (!isReadable && !(await isSignedByUs(library, current, saved !== null))) return { kind: "untrusted", version };
      // At its start the library goes on with the version of the saved key.
      this.enabled ??= (await library("isBackupEnabled", (olm) => olm.isBackupEnabled())) ? saved : null;
      if (this.enabled?.version !== version || this.enabled.publicKey !== publicKey) {
        // What is marked as backed up is in another version.
        await library("disableBackup", (olm) => olm.disableBackup());
        await library("enableBackupV1", (olm) => olm.enableBackupV1(publicKey, version));
        this.enabled = { version, publicKey };
      }
      // Last, because the library goes on with this version after a restart: by now the marks are this version's.
      const key = decryptionKey ?? (isReadable && saved?.version !== version ? (saved?.key ?? null) : null);
      if (key !== null)
        await library("saveBackupDecryptionKey", (olm) =>
          olm.saveBackupDecryptionKey(BackupDecryptionKey.fromBase64(key), version),
        );
      return { kind: isReadable ? "in_use" : "upload_only", version };
    });
  }

  private async sign(authData: JsonObject): Promise<JsonObject> {
    // One member only: this is its canonical JSON.
    const text = JSON.stringify(authData);
    const signatures = await this.options.machine.use("sign", async (olm) => {
      const signed = await olm.sign(text);
      const json = JSON.parse(signed.asJSON()) as JsonValue;
      signed.free();
      return json;
    });
    return isJsonObject(signatures) ? { ...authData, signatures } : authData;
  }

  private tell(state: BackupState): void {
    const { log, vitals, onState } = this.options;
    const before = this.found;
    this.found = state;
    vitals?.backupFound(state);
    vitals?.note(NOTE, noteOf(state, vitals.noted().get(NOTE) ?? null));
    const version = state.version === null ? null : printable(state.version);
    if (before.kind !== state.kind || before.version !== state.version) {
      const fields = { state: state.kind, version };
      if (state.kind === "untrusted" || state.kind === "unsupported")
        log.warn(fields, "the account's key backup is not trusted: no room keys go there");
      else if (state.kind === "absent" && before.version !== null)
        log.warn(fields, "the account's key backup is gone: room keys are in the data directory alone");
      else log.info(fields, "key backup");
    }
    onState?.(state, before);
  }
}

const absent: BackupState = { kind: "absent", version: null };

/** @param before what stands there: where nothing is known it stays, since nothing is better by that */
function noteOf({ kind, version }: BackupState, before: string | null): string | null {
  const named = `key backup (version ${JSON.stringify(printable(version ?? "").slice(0, 40))})`;
  switch (kind) {
    case "unknown":
      return before;
    case "untrusted":
      return `The account's ${named} is not signed by the bot's account, and its key is not ours: it is not trusted, and room keys are not backed up.`;
    case "unsupported":
      return `The account's ${named} is of a kind that Docket does not know: room keys are not backed up.`;
    case "upload_only":
      return `Room keys go to the account's ${named}, but its key is not here: keys can't be taken from it.`;
    case "absent":
    case "in_use":
      return null;
  }
}

/** @returns null for a text that is no decryption key */
function publicKeyOf(decryptionKey: string): string | null {
  try {
    const key = BackupDecryptionKey.fromBase64(decryptionKey);
    const { publicKeyBase64 } = key.megolmV1PublicKey;
    key.free();
    return publicKeyBase64;
  } catch (error) {
    // A panic is not a matter of the key.
    if (isCryptoPanic(error)) throw error;
    return null;
  }
}

interface SavedKey extends Enabled {
  readonly key: string;
}

async function savedKey(library: LibraryCall): Promise<SavedKey | null> {
  return await library("getBackupKeys", async (olm) => {
    const keys = await olm.getBackupKeys();
    const { decryptionKey, backupVersion: version } = keys;
    keys.free();
    if (decryptionKey === undefined || version === undefined) return null;
    const saved = {
      version,
      publicKey: decryptionKey.megolmV1PublicKey.publicKeyBase64,
      key: decryptionKey.toBase64(),
    };
    decryptionKey.free();
    return saved;
  });
}

/**
 * @param identityOnly this device's signature does not count: it made one before, for a key that it has given up since, maybe because
 * somebody has stolen that. Whoever has the old version's description can show it again.
 */
async function isSignedByUs(
  library: LibraryCall,
  { algorithm, authData: auth_data }: BackupVersion,
  identityOnly: boolean,
): Promise<boolean> {
  try {
    return await library("verifyBackup", async (olm) => {
      const verification = await olm.verifyBackup({ algorithm, auth_data });
      const isTrusted = identityOnly
        ? verification.userState === SignatureState.ValidAndTrusted
        : verification.trusted();
      verification.free();
      return isTrusted;
    });
  } catch (error) {
    // The library refuses what it can't read; its words may quote that.
    if (error instanceof DocketError) throw error;
    return false;
  }
}
