/**
 * The account's key backup, as the rest of the house sees it: composes which version is ours (currentBackup.ts), the upload of room keys
 * as they come (backupUpload.ts), the download of single ones that events wait for (backupFetch.ts), and of all (backupRestore.ts).
 * Guarantee: nothing here holds up a sync or an answer: no request is made under the library's lock, and nobody waits for these.
 */
import type { Clock } from "../clock.ts";
import type { Logger } from "../logging.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import type { Metrics } from "../metrics.ts";
import type { RoomId } from "../protocol/ids.ts";
import type { BackupState, Vitals } from "../vitals.ts";
import { BackupFetch, type ParkedSessions } from "./backupFetch.ts";
import { restoreBackup, type Restored, type RestoreProgress } from "./backupRestore.ts";
import { BACKUP_PACE, BackupUpload, type BackupPace, type StoredKey } from "./backupUpload.ts";
import { CurrentBackup } from "./currentBackup.ts";
import type { Machine } from "./machine.ts";
import { WANTED_LIMITS, type WantedLimits } from "./wantedSessions.ts";

export interface KeyBackupOptions {
  readonly machine: Machine;
  readonly homeserver: Homeserver;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics?: Metrics | undefined;
  readonly vitals?: Vitals | undefined;
  readonly signal: AbortSignal;
  /** For failures that end the process. */
  readonly onFatal: (error: Error) => void;
  readonly storedKey?: StoredKey | undefined;
  readonly parkedSessions?: ParkedSessions | undefined;
  readonly pace?: BackupPace | undefined;
  readonly limits?: WantedLimits | undefined;
}

/** Of the reasons in cryptoEngine.ts. A withheld key may have been given to another device of the account. */
const BACKUP_MAY_HELP: ReadonlySet<string> = new Set(["no_session", "unknown_index", "withheld"]);

export class KeyBackup {
  private readonly options: KeyBackupOptions;
  private readonly current: CurrentBackup;
  private readonly upload: BackupUpload;
  private readonly fetch: BackupFetch;

  constructor(options: KeyBackupOptions) {
    this.options = options;
    const { pace = BACKUP_PACE, limits = WANTED_LIMITS } = options;
    const onState = (state: BackupState, before: BackupState): void => {
      this.upload.nudge();
      if (state.kind === "in_use" && (before.kind !== "in_use" || before.version !== state.version))
        this.fetch.refresh();
    };
    this.current = new CurrentBackup({ ...options, onState });
    const shared = { ...options, backup: this.current };
    this.upload = new BackupUpload({ ...shared, pace });
    this.fetch = new BackupFetch({ ...shared, limits, onDoubt: () => this.upload.doubt() });
  }

  /** As last found; `unknown` before the first look. */
  get state(): BackupState {
    return this.current.state;
  }

  /** Begins to look, upload and fetch, in the background. */
  start(): void {
    this.upload.start();
    this.fetch.start();
  }

  /** Resolves when nothing is under way; the signal ends it. */
  async settled(): Promise<void> {
    await Promise.all([this.upload.settled(), this.fetch.settled()]);
  }

  /** There are new room keys. Cheap. */
  noteNewKeys(): void {
    this.upload.nudge();
  }

  /** An event can't be decrypted: where a key would help, the backup is asked for it. Cheap. */
  noteUndecryptable(roomId: RoomId, { reason, sessionId }: { reason: string; sessionId: string | null }): void {
    if (sessionId !== null && BACKUP_MAY_HELP.has(reason)) this.fetch.want({ roomId, sessionId });
  }

  /** See `CurrentBackup.newKey`. */
  newKey(): string {
    return this.current.newKey();
  }

  /** See `CurrentBackup.create`. */
  create(decryptionKey: string, signal: AbortSignal): Promise<BackupState> {
    return this.current.create(decryptionKey, signal);
  }

  /** See `CurrentBackup.remake`. */
  remake(signal: AbortSignal): Promise<BackupState> {
    return this.current.remake(signal);
  }

  /** See `CurrentBackup.adopt`. */
  adopt(decryptionKey: string, signal: AbortSignal): Promise<boolean> {
    return this.current.adopt(decryptionKey, signal);
  }

  /** See `CurrentBackup.check`. */
  check(signal: AbortSignal): Promise<BackupState> {
    return this.current.check(signal);
  }

  /**
   * Takes in the whole backup; events that wait for its keys are woken.
   * @param tell called after each portion, and once before the first
   * @returns null where the current backup is not one that this device has the key of: `state` says what it is
   * @throws ServerRefused | ServerUnreachable | Cancelled | CryptoPanicked
   */
  async restore(tell: (progress: RestoreProgress) => void, signal: AbortSignal): Promise<Restored | null> {
    const { kind, version } = await this.current.check(signal);
    return kind === "in_use" && version !== null ? await restoreBackup(this.options, version, tell, signal) : null;
  }
}
