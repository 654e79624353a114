/** Reading the configuration file and the files that secrets stand in: bounded, strict UTF-8, no surprises thrown. */
import { open } from "node:fs/promises";

export interface ReadFile {
  readonly bytes: Uint8Array;
  /** The permissions let every account on the machine read it. */
  readonly worldReadable: boolean;
}

/**
 * @param path absolute
 * @param maxBytes reads at most one byte more than this, so that the caller can tell
 * @throws a system error (`code`) such as ENOENT
 */
export type FileReader = (path: string, maxBytes: number) => Promise<ReadFile>;

export const readFileFromDisk: FileReader = async (path, maxBytes) => {
  const handle = await open(path, "r");
  try {
    const { mode } = await handle.stat();
    const chunks: Uint8Array[] = [];
    let length = 0;
    while (length <= maxBytes) {
      const { bytesRead, buffer } = await handle.read({
        buffer: Buffer.alloc(Math.min(65_536, maxBytes + 1 - length)),
      });
      if (bytesRead === 0) break;
      chunks.push(buffer.subarray(0, bytesRead));
      length += bytesRead;
    }
    return { bytes: Buffer.concat(chunks), worldReadable: (mode & 0o004) !== 0 };
  } finally {
    await handle.close();
  }
};

export type ReadText =
  | { readonly ok: true; readonly text: string; readonly worldReadable: boolean }
  | {
      readonly ok: false;
      readonly message: string;
      /** There is no such file; anything else may be there and can't be read. */
      readonly absent: boolean;
    };

/**
 * Reads a text file. Never throws.
 * @param what how the file is called in a message, such as `the configuration file`
 * @returns the text without a byte-order mark, or what is wrong (never a piece of the content)
 */
export async function readText(read: FileReader, path: string, maxBytes: number, what: string): Promise<ReadText> {
  let file: ReadFile;
  try {
    file = await read(path, maxBytes);
  } catch (error) {
    const absent = codeOf(error) === "ENOENT";
    return { ok: false, message: `${what} can't be read: ${explain(error)}`, absent };
  }
  if (file.bytes.length > maxBytes)
    return { ok: false, message: `${what} is larger than ${maxBytes} bytes, expected less`, absent: false };
  try {
    return {
      ok: true,
      text: new TextDecoder("utf-8", { fatal: true }).decode(file.bytes),
      worldReadable: file.worldReadable,
    };
  } catch {
    return { ok: false, message: `${what} is not UTF-8 text, expected it in that encoding`, absent: false };
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "UNKNOWN";
}

function explain(error: unknown): string {
  const code = codeOf(error);
  const known: Record<string, string> = {
    ENOENT: "there is no such file",
    EISDIR: "it is a directory, expected a file",
    ENOTDIR: "a part of its path is not a directory",
    EACCES: "permission denied",
    EPERM: "permission denied",
    ELOOP: "too many symbolic links",
    ENAMETOOLONG: "its name is too long",
    ERR_INVALID_ARG_VALUE: "its name is no valid path",
  };
  return known[code] ?? `the system says ${code}`;
}
