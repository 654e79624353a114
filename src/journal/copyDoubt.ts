/**
 * Whether this data directory is an older copy of one that was used after it, and what follows for what waits to be sent. Stays
 * until `docket data restored`, over restarts: an operator has to see to it that nobody else uses the device.
 */
import type { EpochMs } from "../clock.ts";
import type { Database } from "./database.ts";
import { forgetSentIndexes } from "./sentIndexes.ts";

/** What gave it away. */
export type CopySign =
  /** A message of this device, under a room key that the directory does not know, or is not that far with. */
  | "newer_message"
  /** The mark on the homeserver is none that this directory ever put there. */
  | "foreign_mark"
  /** The homeserver has other one-time keys under the IDs of those that the bot wants to upload. */
  | "one_time_keys";

export interface CopyDoubt {
  readonly sign: CopySign;
  readonly since: EpochMs;
}

const DOUBT = "copy_doubt";
const RESTORED_AT = "restored_at";

/** @throws StoreFailed */
export function copyDoubt(database: Database): CopyDoubt | null {
  const row = database.prepare<{ value: string }>("SELECT value FROM meta WHERE key = ?").get(DOUBT);
  return row === undefined ? null : (JSON.parse(row.value) as CopyDoubt);
}

/** The first sign counts. @returns whether there was none before. @throws StoreFailed */
export function raiseCopyDoubt(database: Database, doubt: CopyDoubt): boolean {
  return database.transaction(() => {
    const { changes } = database
      .prepare("INSERT OR IGNORE INTO meta (key, value) VALUES (?, ?)")
      .run(DOUBT, JSON.stringify(doubt));
    if (changes > 0) doubtWhatWaits(database, doubt.since);
    return changes > 0;
  });
}

/**
 * The operator has said so, and has stopped whoever else used the device.
 * @returns how many messages wait that may have been sent already
 * @throws StoreFailed
 */
export function settleCopyDoubt(database: Database, now: EpochMs): number {
  return database.transaction(() => {
    database.prepare("DELETE FROM meta WHERE key = ?").run(DOUBT);
    // What the other copy sent still comes, with the next sync, and is no sign any more.
    forgetSentIndexes(database);
    return doubtWhatWaits(database, now);
  });
}

/** What waits, and answers to whatever was sent before now, may have been sent by the other copy (`askFirst` in outboxEntry.ts). */
function doubtWhatWaits(database: Database, now: EpochMs): number {
  database.prepare("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)").run(RESTORED_AT, String(now));
  return database.prepare("UPDATE outbox SET doubtful = 1 WHERE state = 'pending'").run().changes;
}
