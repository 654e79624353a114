/** The passphrase of a file: typed at the terminal, or read from a file. It is never an argument, where others could read it. */
import { createReadStream } from "node:fs";
import type { CommandContext } from "./command.ts";
import { readText, whyUnread } from "./standardInput.ts";

const LONGEST_BYTES = 64 * 1024;

export type GivenPassphrase = { readonly passphrase: string } | { readonly problem: string };

/**
 * @param file where `--passphrase-file` names one; one line break at its end is left out
 * @param twice at the terminal it is asked for again: a slip would make what is encrypted unreadable
 */
export async function askPassphrase(
  { file, twice }: { readonly file: string | undefined; readonly twice: boolean },
  { stdin }: CommandContext,
): Promise<GivenPassphrase> {
  if (file !== undefined) return await fromFile(file);
  if (!stdin.isTerminal)
    return { problem: "there is no terminal to ask for the passphrase: use --passphrase-file FILE" };
  const passphrase = await stdin.hiddenLine("Passphrase of the file: ");
  if (passphrase === "") return { problem: "the passphrase is empty" };
  if (twice && (await stdin.hiddenLine("The same again: ")) !== passphrase)
    return { problem: "the two passphrases are not the same; nothing was done" };
  return { passphrase };
}

async function fromFile(file: string): Promise<GivenPassphrase> {
  try {
    const passphrase = (await readText(createReadStream(file), LONGEST_BYTES)).replace(/\r?\n$/, "");
    return passphrase === "" ? { problem: `the passphrase in ${file} is empty` } : { passphrase };
  } catch (error) {
    return { problem: `the passphrase can't be read from ${file} (${whyUnread(error)})` };
  }
}
