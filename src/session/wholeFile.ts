/**
 * Writes a file that only its owner may read. Guarantees: under its name it is whole or not there at all, whatever kills the process;
 * what stands there already is replaced only if that is wanted and it is a file, and then in one step; where a link leads to a file, that
 * one is replaced. An interrupted one leaves at most `NAME.partial-…`.
 */
import { randomUUID } from "node:crypto";
import { link, lstat, open, realpath, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";

export type WrittenFile =
  { readonly ok: true } | { readonly ok: false; readonly problem: "exists" | "no_file" | { readonly code: string } };

/** A directory, a device such as /dev/full, a socket: to put a file in its place would harm more than help. */
export async function isNoFile(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  return found !== null && !found.isFile();
}

export async function isTaken(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => null)) !== null;
}

/** @param replace what stands there. @param signal once it aborts, nothing is put under the name any more */
export async function writeWholeFile(
  name: string,
  text: string,
  { replace, signal }: { readonly replace: boolean; readonly signal?: AbortSignal },
): Promise<WrittenFile> {
  if (await isNoFile(name)) return { ok: false, problem: "no_file" };
  const path = replace ? await realpath(name).catch(() => name) : name;
  const partial = `${path}.partial-${randomUUID().slice(0, 8)}`;
  try {
    const file = await open(partial, "wx", 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    signal?.throwIfAborted();
    await (replace ? rename(partial, path) : claim(partial, path));
    await sync(dirname(path));
    return { ok: true };
  } catch (error) {
    const code = error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : null;
    if (signal?.aborted === true || code === null) throw error;
    return { ok: false, problem: code === "EEXIST" ? "exists" : { code } };
  } finally {
    // Where it could not be made there is nothing to take away.
    await rm(partial, { force: true }).catch(() => undefined);
  }
}

/** Not `rename`, which would replace what came there meanwhile. */
async function claim(partial: string, path: string): Promise<void> {
  try {
    await link(partial, path);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : null;
    // Some file systems have no hard links.
    if (code !== "EPERM" && code !== "ENOSYS" && code !== "ENOTSUP" && code !== "EOPNOTSUPP") throw error;
    if (await isTaken(path)) throw Object.assign(new Error("it exists"), { code: "EEXIST" });
    await rename(partial, path);
  }
}

/** Else a power failure could take the name away again. */
async function sync(directory: string): Promise<void> {
  const opened = await open(directory, "r");
  try {
    await opened.sync().catch(() => undefined);
  } finally {
    await opened.close();
  }
}
