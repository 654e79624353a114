/**
 * The file of the recovery key, and the key that is in it now. Guarantees: it has mode 0600 from its first byte on, is whole or not there, and is on disk when a call
 * returns; a file that is there is never touched by `create`.
 */
import { randomBytes } from "node:crypto";
import { link, open, readFile, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import type { Config } from "../config/config.ts";
import { readFileFromDisk, readText } from "../config/configFiles.ts";
import { knownCode } from "../matrix/failureCode.ts";

export type WrittenFile =
  | { readonly kind: "written" }
  /** There is a file with something else in it: it was left alone. */
  | { readonly kind: "taken" }
  /** `code` is the system's. */
  | { readonly kind: "failed"; readonly code: string };

const LARGEST_FILE_BYTES = 64 * 1024;

/**
 * The recovery key that the configuration names, as its file has it now: a first start, or a reset, writes that after the configuration
 * was read. Of a file that can't be read, what was in it when it could.
 * @returns null where there is none
 */
export async function recoveryKeyNow({ recoveryKey }: Pick<Config["account"], "recoveryKey">): Promise<string | null> {
  if (recoveryKey === null) return null;
  const { file, value } = recoveryKey;
  const read = file === null ? null : await readText(readFileFromDisk, file, LARGEST_FILE_BYTES, "the file");
  const text = read?.ok === true ? read.text.trim() : "";
  return text === "" ? (value?.reveal() ?? null) : text;
}

/** Writes the file if there is none; one that says the same counts as written. */
export function createRecoveryFile(path: string, text: string): Promise<WrittenFile> {
  return place(path, text, async (temporary) => {
    try {
      await link(temporary, path);
      return { kind: "written" };
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
      return { kind: (await readFile(path, "utf8")).trim() === text ? "written" : "taken" };
    }
  });
}

/** Writes the file in place of what is there. */
export function replaceRecoveryFile(path: string, text: string): Promise<WrittenFile> {
  return place(path, text, async (temporary) => {
    await rename(temporary, path);
    return { kind: "written" };
  });
}

async function place(
  path: string,
  text: string,
  settle: (temporary: string) => Promise<WrittenFile>,
): Promise<WrittenFile> {
  const temporary = `${path}.${randomBytes(6).toString("hex")}.new`;
  try {
    await writeDurably(temporary, `${text}\n`);
    const settled = await settle(temporary);
    await syncDirectory(dirname(path));
    return settled;
  } catch (error) {
    return { kind: "failed", code: codeOf(error) };
  } finally {
    await unlink(temporary).catch(() => undefined);
  }
}

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function codeOf(error: unknown): string {
  return knownCode(error instanceof Error && "code" in error ? error.code : undefined) ?? "unknown";
}
