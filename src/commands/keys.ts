/** `docket keys`: the bot's room keys in a file. Its subcommands are plugged in here. */
import type { Command } from "commander";
import type { AddCommand, CommandContext, RunCommand } from "./command.ts";
import { addKeysExport } from "./keysExport.ts";
import { addKeysImport } from "./keysImport.ts";

/** In the order of `docket keys --help`. */
const subcommands: readonly AddCommand[] = [addKeysExport, addKeysImport];

export function addKeys(program: Command, context: CommandContext, run: RunCommand): void {
  const keys = program
    .command("keys")
    .summary("take room keys out to a file, or in from one")
    .description(
      "Takes the keys of encrypted messages out to a file under a passphrase, or in from one: the file that Element and other clients export and import.",
    );
  for (const add of subcommands) add(keys, context, run);
}
