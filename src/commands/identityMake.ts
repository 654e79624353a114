/** `docket identity create` and `docket identity reset`: with somebody at the terminal who gives what is missing. */
import type { Command } from "commander";
import { ExitCode } from "../errors.ts";
import { createIdentity, resetIdentity, type MadeIdentity } from "../ops/device/makeIdentity.ts";
import { printable } from "../protocol/printable.ts";
import { defaultConfigFile, type CommandContext, type CommandResult, type RunCommand } from "./command.ts";
import { identityTalk } from "./identityTerminal.ts";
import { onDevice } from "./onDevice.ts";

const NOT_SIGNED = 1;

export function addIdentityCreate(identity: Command, context: CommandContext, run: RunCommand): void {
  identity
    .command("create")
    .summary("make the account's identity, or have it sign this device")
    .description(
      "Makes a cross-signing identity, secret storage and a key backup where the account has none; where it has an identity, its recovery key " +
        "(account.recovery_key, or typed in) has it sign this device. `docket start` does the same by itself; here a password or a recovery key can be " +
        "typed in that no file should hold. Replaces nothing. Exits 1 when the device is not signed afterwards.",
    )
    .option("-c, --config <file>", "the configuration file of the bot", defaultConfigFile)
    .action(({ config }: { config: string }) => run(() => make(createIdentity, config, context)));
}

export function addIdentityReset(identity: Command, context: CommandContext, run: RunCommand): void {
  identity
    .command("reset")
    .summary("give the account a new identity")
    .description(
      "Gives the account a new cross-signing identity, a new secret storage and a new key backup in place of what it has. Lost are: the trust of everybody " +
        "who has verified the account, the signatures of its other devices, and whatever only the old recovery key opens, such as backed-up room keys " +
        "that this device does not have. What the bot has recorded stays. Exits 1 when it did not come about.",
    )
    .requiredOption("--i-know", "say that this is wanted")
    .option("-c, --config <file>", "the configuration file of the bot", defaultConfigFile)
    .action(({ config }: { config: string }) => run(() => make(resetIdentity, config, context)));
}

async function make(operation: typeof createIdentity, config: string, context: CommandContext): Promise<CommandResult> {
  const outcome = await onDevice(operation, null, config, identityTalk(context), context);
  if (outcome.kind === "failed") return outcome.exitCode;
  const { result } = outcome;
  if (result.problem !== null) context.stderr.write(`docket: ${printable(result.problem)}\n`);
  if (result.signed) context.stdout.write("The account's identity signs the bot's device.\n");
  context.stdout.write(recoveryWords(result, config));
  return result.signed ? ExitCode.ok : NOT_SIGNED;
}

function recoveryWords({ recoveryKey, file }: MadeIdentity, config: string): string {
  switch (recoveryKey) {
    case "file":
      return `The account's recovery key is in ${printable(file ?? "")}: keep a copy of it where the data directory is not.\n`;
    case "kept":
      return `The recovery key is kept in the data directory, because there is no terminal to show it on. On one, run: docket identity show --recovery-key --config ${config}\n`;
    case "none":
    case "shown":
      return "";
  }
}
