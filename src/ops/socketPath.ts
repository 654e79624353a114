/** Where the control socket is, and how it is named to the system where its path is longer than a socket's may be. */
import { closeSync, existsSync, openSync } from "node:fs";
import { join } from "node:path";
import { DataDirectoryRefused } from "../errors.ts";

export const SOCKET_FILE = "docket.sock";
/** What every system takes, without the zero byte at the end: 107 on Linux, 103 elsewhere. */
const LONGEST_PATH_BYTES = 103;
/** On Linux: each open directory under a short name. */
const OPEN_FILES = "/proc/self/fd";

/**
 * Runs `work` with a path to a socket in the directory that is short enough, where one can be had.
 * @param directory exists
 */
export async function withSocketPath<T>(
  directory: string,
  name: string,
  work: (path: string) => Promise<T>,
): Promise<T> {
  const path = join(directory, name);
  if (Buffer.byteLength(path) <= LONGEST_PATH_BYTES || !existsSync(OPEN_FILES)) return await work(path);
  const handle = openSync(directory, "r");
  try {
    return await work(`${OPEN_FILES}/${handle}/${name}`);
  } finally {
    closeSync(handle);
  }
}

/**
 * Asks the bot that runs on a data directory.
 * @param failed what it means that the bot took the connection and did not answer
 * @returns null where no bot listens there
 * @throws DataDirectoryRefused the socket belongs to another user
 */
export async function onControlSocket<T>(
  directory: string,
  ask: (socketPath: string) => Promise<T>,
  failed: (cause: unknown) => Error,
): Promise<T | null> {
  try {
    return await withSocketPath(directory, SOCKET_FILE, ask);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : null;
    if (code === "ENOENT" || code === "ECONNREFUSED" || code === "ENOTDIR" || code === "ENOTSOCK") return null;
    if (code === "EACCES" || code === "EPERM")
      throw new DataDirectoryRefused(
        `The control socket in ${directory} belongs to another user. Run this command as the user that the bot runs as.`,
        { cause: error },
      );
    throw failed(error);
  }
}
