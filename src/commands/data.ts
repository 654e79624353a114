/** `docket data`: the data directory. Its subcommands are plugged in here. */
import type { Command } from "commander";
import type { AddCommand, CommandContext, RunCommand } from "./command.ts";
import { addDataRestored } from "./dataRestored.ts";

/** In the order of `docket data --help`. */
const subcommands: readonly AddCommand[] = [addDataRestored];

export function addData(program: Command, context: CommandContext, run: RunCommand): void {
  const data = program.command("data").summary("the data directory").description("Looks after the data directory.");
  for (const add of subcommands) add(data, context, run);
}
