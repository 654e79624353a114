/** `docket identity show`: what others see of this device. */
import type { Command } from "commander";
import { ExitCode } from "../errors.ts";
import { showIdentity, type IdentityPage } from "../ops/device/showIdentity.ts";
import { printable, printableJson } from "../protocol/printable.ts";
import { defaultConfigFile, type CommandContext, type CommandResult, type RunCommand } from "./command.ts";
import { onDevice } from "./onDevice.ts";

interface ShowOptions {
  readonly config: string;
  readonly json?: boolean;
}

export function addIdentityShow(identity: Command, context: CommandContext, run: RunCommand): void {
  identity
    .command("show")
    .summary("show the device and its keys")
    .description(
      "Prints the account, the device and its fingerprint, as other clients show them. Asks the running bot, or looks itself where none runs.",
    )
    .option("-c, --config <file>", "the configuration file of the bot", defaultConfigFile)
    .option("--json", "print JSON")
    .action((options: ShowOptions) => run(() => show(options, context)));
}

async function show({ config, json }: ShowOptions, context: CommandContext): Promise<CommandResult> {
  const talk = {
    tell: (report: never) => report,
    ask: (question: never) => Promise.resolve(question),
    signal: context.stopSignal(),
  };
  const outcome = await onDevice(showIdentity, null, config, talk, context);
  if (outcome.kind === "failed") return outcome.exitCode;
  context.stdout.write(json === true ? `${printableJson(outcome.result, 2)}\n` : inWords(outcome.result));
  return ExitCode.ok;
}

function inWords({ userId, deviceId, fingerprint }: IdentityPage): string {
  const rows = [
    ["account", printable(userId)],
    ["device", printable(deviceId)],
    ["fingerprint", fingerprint.replace(/(.{4})(?=.)/g, "$1 ")],
  ] as const;
  return rows.map(([name, value]) => `${name.padEnd(12)} ${value}\n`).join("");
}
