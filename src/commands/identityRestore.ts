/** `docket identity restore`: takes in the room keys that are in the account's key backup. */
import type { Command } from "commander";
import { Cancelled, ExitCode } from "../errors.ts";
import { restoreBackup, type RestoreResult, type WhyNothing } from "../ops/device/restoreBackup.ts";
import { printable, printableJson } from "../protocol/printable.ts";
import { defaultConfigFile, type CommandContext, type CommandResult, type RunCommand } from "./command.ts";
import { onDevice } from "./onDevice.ts";
import { ProgressBar } from "./progressBar.ts";
import { whyUnread } from "./standardInput.ts";

interface RestoreOptions {
  readonly config: string;
  readonly json?: boolean;
}

const SOME_CORRUPT = 1;
const NOTHING_RESTORED = 2;
const LONGEST_KEY_BYTES = 4 * 1024;

export function addIdentityRestore(identity: Command, context: CommandContext, run: RunCommand): void {
  identity
    .command("restore")
    .summary("take in the account's key backup")
    .description(
      "Takes in all room keys of the account's key backup, and wakes the events that wait for them. The recovery key is that of " +
        "account.recovery_key; where there is none, or another is needed, it is asked for at the terminal or read from standard input. " +
        "The running bot does it, or the command itself where none runs. Can be repeated.",
    )
    .option("-c, --config <file>", "the configuration file of the bot", defaultConfigFile)
    .option("--json", "print JSON")
    .addHelpText("after", "\nExit codes: 0 all was taken in, 1 all but entries that can't be used, 2 nothing.")
    .action((options: RestoreOptions) => run(() => restore(options, context)));
}

async function restore({ config, json }: RestoreOptions, context: CommandContext): Promise<CommandResult> {
  const { stdout, stderr } = context;
  const bar = new ProgressBar(stderr, "room keys");
  let unread: string | null = null;
  const talk = {
    tell: ({ done, total }: { done: number; total: number }) => bar.show(done, total),
    ask: async () => {
      const given = await recoveryKey(context);
      if ("key" in given) return given.key;
      unread = given.problem;
      throw new Cancelled("There is no recovery key to go on with.");
    },
    signal: context.stopSignal(),
  };
  const outcome = await onDevice(restoreBackup, null, config, talk, context)
    .catch((error: unknown) => {
      if (unread === null) throw error;
      return null;
    })
    .finally(() => bar.clear());
  if (outcome === null) {
    stderr.write(`docket: nothing was restored: ${unread}\n`);
    return ExitCode.usage;
  }
  if (outcome.kind === "failed") return outcome.exitCode;
  const { result } = outcome;
  if (json === true) stdout.write(`${printableJson(result, 2)}\n`);
  else (result.kind === "restored" ? stdout : stderr).write(inWords(result));
  if (result.kind === "nothing") return NOTHING_RESTORED;
  return result.corrupt > 0 ? SOME_CORRUPT : ExitCode.ok;
}

async function recoveryKey({ stdin }: CommandContext): Promise<{ key: string } | { problem: string }> {
  if (stdin.isTerminal) return { key: await stdin.hiddenLine("Recovery key of the account (it is not shown): ") };
  try {
    return { key: await stdin.text(LONGEST_KEY_BYTES) };
  } catch (error) {
    return {
      problem: `the recovery key can't be read from standard input (${whyUnread(error)}). Pipe in nothing but the key.`,
    };
  }
}

function inWords(result: RestoreResult): string {
  if (result.kind === "nothing") {
    const problem = result.problem === null ? "" : ` (${result.problem})`;
    return `docket: nothing was restored: ${WORDS[result.why]}${problem}.\n`;
  }
  const { version, total, imported, corrupt, named } = result;
  const known = total - imported - corrupt;
  const lines = [
    `${total} room keys in the backup (version ${printable(version)}): ${imported} taken in, ${known} were here already.`,
  ];
  if (corrupt > 0) {
    lines.push(`${corrupt} can't be used: the backup's key does not open them, or they are no room keys:`);
    for (const { roomId, sessionId } of named) lines.push(`  ${printable(sessionId)} of ${printable(roomId)}`);
    if (corrupt > named.length) lines.push(`  and ${corrupt - named.length} more`);
  }
  return `${lines.join("\n")}\n`;
}

const WORDS: Readonly<Record<WhyNothing, string>> = {
  no_backup: "the account has no key backup",
  unsupported_backup: "the account's key backup is of a kind that Docket does not know",
  no_storage: "the account has no secret storage that a recovery key would open",
  unsupported_storage: "the account's secret storage is of a kind that Docket does not know",
  no_secret: "the account's secret storage does not have the key of a backup",
  wrong_key: "this recovery key is not the one of the account's secret storage",
  other_backup:
    "the key in the account's secret storage is not that of its present backup; somebody has made a new one, whose key is elsewhere",
  unreadable_key: "this is no recovery key, and not the passphrase of the account's secret storage",
};
