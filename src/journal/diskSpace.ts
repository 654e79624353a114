/** Watches the room on the disk: below the operator's limit the bot stops, while it still can stop cleanly. */
import { statfsSync } from "node:fs";
import { StoreFailed } from "../errors.ts";

/**
 * @param directory the data directory
 * @param minimumBytes the operator's `limits.free_disk`
 * @returns how many bytes are free
 * @throws StoreFailed less than that is free
 */
export function requireFreeSpace(directory: string, minimumBytes: number): number {
  const free = freeBytes(directory);
  if (free >= minimumBytes) return free;
  throw new StoreFailed(
    `Only ${mebibytes(free)} MiB are free on the disk of ${directory}; limits.free_disk asks for ${mebibytes(minimumBytes)} MiB. Make room and start again; nothing received was lost.`,
  );
}

/** @throws StoreFailed the file system does not tell */
export function freeBytes(directory: string): number {
  try {
    const { bavail, bsize } = statfsSync(directory);
    return bavail * bsize;
  } catch (error) {
    throw new StoreFailed(
      `The file system of ${directory} does not answer. Is it still mounted, and the directory still there? Mend that and start again.`,
      { cause: error },
    );
  }
}

function mebibytes(bytes: number): number {
  return Math.floor(bytes / 1024 ** 2);
}
