/** `docket identity`: who the bot is to others. Its subcommands are plugged in here. */
import type { Command } from "commander";
import type { AddCommand, CommandContext, RunCommand } from "./command.ts";
import { addIdentityCreate, addIdentityReset } from "./identityMake.ts";
import { addIdentityRestore } from "./identityRestore.ts";
import { addIdentityShow } from "./identityShow.ts";
import { addIdentityVerify } from "./identityVerify.ts";

/** In the order of `docket identity --help`. */
const subcommands: readonly AddCommand[] = [
  addIdentityShow,
  addIdentityCreate,
  addIdentityVerify,
  addIdentityRestore,
  addIdentityReset,
];

export function addIdentity(program: Command, context: CommandContext, run: RunCommand): void {
  const identity = program
    .command("identity")
    .summary("who the bot is to others")
    .description("The bot's cryptographic identity: what others see of it, and may trust; made, restored, replaced.");
  for (const add of subcommands) add(identity, context, run);
}
