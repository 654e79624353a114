/**
 * The file of the recovery key, and the key that is in it now. Guarantees: those of wholeFile.ts; a file that is there is never touched
 * by `create`.
 */
import type { Config } from "../config/config.ts";
import { readFileFromDisk, readText } from "../config/configFiles.ts";
import { knownCode } from "../matrix/failureCode.ts";
import { writeWholeFile, type WrittenFile } from "./wholeFile.ts";

export type WrittenRecoveryFile =
  | { readonly kind: "written" }
  /** There is something else under that name: it was left alone. */
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
export async function createRecoveryFile(path: string, text: string): Promise<WrittenRecoveryFile> {
  const outcome = outcomeOf(await writeWholeFile(path, `${text}\n`, { replace: false }));
  if (outcome.kind !== "taken") return outcome;
  const there = await readText(readFileFromDisk, path, LARGEST_FILE_BYTES, "the file");
  return there.ok && there.text.trim() === text ? { kind: "written" } : outcome;
}

/** Writes the file in place of what is there; a link still leads to it afterwards. */
export async function replaceRecoveryFile(path: string, text: string): Promise<WrittenRecoveryFile> {
  return outcomeOf(await writeWholeFile(path, `${text}\n`, { replace: true }));
}

function outcomeOf(written: WrittenFile): WrittenRecoveryFile {
  if (written.ok) return { kind: "written" };
  if (typeof written.problem === "string") return { kind: "taken" };
  return { kind: "failed", code: knownCode(written.problem.code) ?? "unknown" };
}
