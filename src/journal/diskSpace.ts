/** Watches the room on the disk: below the operator's limit the bot stops, while it still can stop cleanly. */
import { statfsSync } from "node:fs";
import { StoreFailed } from "../errors.ts";

/**
 * @param directory the data directory
 * @param minimumBytes the operator's `limits.free_disk`
 * @throws StoreFailed less than that is free
 */
export function requireFreeSpace(directory: string, minimumBytes: number): void {
  const { bavail, bsize } = statfsSync(directory);
  const free = bavail * bsize;
  if (free >= minimumBytes) return;
  throw new StoreFailed(
    `Only ${mebibytes(free)} MiB are free on the disk of ${directory}; limits.free_disk asks for ${mebibytes(minimumBytes)} MiB. Make room and start again; nothing received was lost.`,
  );
}

function mebibytes(bytes: number): number {
  return Math.floor(bytes / 1024 ** 2);
}
