/**
 * Brings room keys into the account's key backup, in the background: looks which version is current (at the start, now and then, and when
 * the homeserver refuses one), then uploads what is not there yet, a hundred keys at a time with a pause between. New keys are gathered
 * for a moment. A failure is repeated with a growing pause, or as the homeserver asks; what a kill interrupts goes on at the next start,
 * since the library keeps with each key whether it is in the backup.
 */
import type { Clock, EpochMs } from "../clock.ts";
import { Cancelled, DocketError, endsTheBot, ServerRefused } from "../errors.ts";
import { Nudge } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import { pauseAfter } from "../matrix/retries.ts";
import type { Vitals } from "../vitals.ts";
import { isVersionGone } from "./backupVersion.ts";
import type { CurrentBackup } from "./currentBackup.ts";
import { GossipedBackupKey } from "./gossipedBackupKey.ts";
import { readKeyRequest, sendKeyRequest } from "./keyRequest.ts";
import type { Machine } from "./machine.ts";
import { markAnswered } from "./serverAnswers.ts";

export interface BackupPace {
  /** New keys wait for others, in milliseconds. */
  readonly gatherMs: number;
  /** Between two requests. */
  readonly betweenMs: number;
  /** Between two looks at the current version, where nothing calls for an earlier one. */
  readonly checkEveryMs: number;
  /** However much calls for one. */
  readonly checkAtMostEveryMs: number;
  /** First pause after a failure, and the longest of our own choosing. */
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
}

export const BACKUP_PACE: BackupPace = {
  gatherMs: 1_000,
  betweenMs: 500,
  checkEveryMs: 60 * 60_000,
  checkAtMostEveryMs: 10 * 60_000,
  firstPauseMs: 2_000,
  longestPauseMs: 5 * 60_000,
};

export type StoredKey = (signal: AbortSignal) => Promise<string | null>;

export interface BackupUploadOptions {
  readonly machine: Machine;
  readonly homeserver: Homeserver;
  readonly backup: CurrentBackup;
  readonly clock: Clock;
  readonly log: Logger;
  readonly vitals?: Vitals | undefined;
  readonly signal: AbortSignal;
  /** For failures that end the process. */
  readonly onFatal: (error: Error) => void;
  /** Fetches the key that secret storage has for the account's backup, in base64; null where there is none, or no way to it. */
  readonly storedKey?: StoredKey | undefined;
  readonly pace: BackupPace;
}

export class BackupUpload {
  private readonly options: BackupUploadOptions;
  private readonly nudges = new Nudge();
  private checkedAt: EpochMs = 0;
  private nextCheckAt: EpochMs = 0;
  private readonly gossiped: GossipedBackupKey;
  private running: Promise<void> | null = null;

  constructor(options: BackupUploadOptions) {
    this.options = options;
    this.gossiped = new GossipedBackupKey(options.machine, options.log);
  }

  /** There may be something to upload. Cheap. */
  nudge(): void {
    this.nudges.nudge();
  }

  /** The version may be another one by now: it is looked at soon, unless that was done a while ago. Cheap. */
  doubt(): void {
    this.nextCheckAt = Math.min(this.nextCheckAt, this.checkedAt + this.options.pace.checkAtMostEveryMs);
    this.nudges.nudge();
  }

  start(): void {
    this.running ??= this.loop();
  }

  /** Resolves when the loop has ended; the signal ends it. */
  async settled(): Promise<void> {
    await this.running;
  }

  private async loop(): Promise<void> {
    const { clock, signal, pace } = this.options;
    let failures = 0;
    await this.gossiped.listen(() => this.nudge()).catch(() => undefined);
    while (!signal.aborted) {
      const error = await this.round().then(
        () => null,
        (cause: unknown) => ({ cause }),
      );
      if (error === null) {
        failures = 0;
        await this.nudges.wait(signal, Math.max(this.nextCheckAt - clock.now(), pace.gatherMs));
        await clock.sleep(pace.gatherMs, signal);
      } else if (this.isRepeatable(error.cause)) {
        failures += 1;
        // Whatever it was: the version is looked at first.
        this.nextCheckAt = 0;
        const limits = { baseMs: pace.firstPauseMs, maxBackoffMs: pace.longestPauseMs };
        await clock.sleep(pauseAfter(error.cause, failures, limits), signal);
      } else return;
    }
  }

  private async round(): Promise<void> {
    const { backup, clock, machine, signal, vitals, pace } = this.options;
    const isDue = backup.state.kind === "unknown" || clock.now() >= this.nextCheckAt;
    if (isDue) {
      // Before, so that a doubt that comes meanwhile counts.
      this.checkedAt = clock.now();
      this.nextCheckAt = this.checkedAt + pace.checkEveryMs;
      await backup.check(signal);
    }
    if (backup.state.kind !== "in_use") await this.gossiped.take(backup, signal);
    if (isDue) await this.fetchKey();
    if (!backup.isUsable) return;
    const uploaded = await this.uploadAll();
    if (!uploaded && !isDue) return;
    vitals?.backedUp(
      await machine.use("roomKeyCounts", async (olm) => {
        const counts = await olm.roomKeyCounts();
        const { total, backedUp } = counts;
        counts.free();
        return { total, backedUp };
      }),
    );
  }

  /** There is a backup that can't be read: another session may have made it, and put its key where the recovery key opens it. */
  private async fetchKey(): Promise<void> {
    const { backup, signal, storedKey } = this.options;
    if (storedKey === undefined || (backup.state.kind !== "untrusted" && backup.state.kind !== "upload_only")) return;
    const key = await storedKey(signal);
    if (key !== null) await backup.adopt(key, signal);
  }

  /** @returns whether there was anything */
  private async uploadAll(): Promise<boolean> {
    const { backup, clock, homeserver, machine, signal, pace } = this.options;
    for (let requests = 0; ; requests += 1) {
      if (requests > 0) await clock.sleep(pace.betweenMs, signal);
      const request = await machine.use(
        "backupRoomKeys",
        async (olm) => {
          const batch = await olm.backupRoomKeys();
          return batch === undefined ? null : readKeyRequest(batch);
        },
        signal,
      );
      // Another version may have been found meanwhile, which is then looked at from the beginning.
      if (request === null || !backup.isUsable || request.path !== backup.state.version) return requests > 0;
      const response = await sendKeyRequest(homeserver, request, { signal, retry: "none" });
      await markAnswered(machine, request, response);
    }
  }

  /** @returns false where the loop ends */
  private isRepeatable(error: unknown): boolean {
    const { backup, clock, log, vitals, signal, onFatal } = this.options;
    if (signal.aborted || error instanceof Cancelled) return false;
    if (error instanceof Error && endsTheBot(error)) {
      onFatal(error);
      return false;
    }
    if (isVersionGone(error)) backup.forget();
    vitals?.backupFailed(clock.now(), error);
    log.warn(
      {
        code: error instanceof DocketError ? error.code : "BUG",
        status: error instanceof ServerRefused ? error.status : undefined,
        errcode: error instanceof ServerRefused ? error.errcode : undefined,
        problem: error instanceof DocketError ? error.message : undefined,
      },
      "room keys could not be backed up; it will be tried again",
    );
    return true;
  }
}
