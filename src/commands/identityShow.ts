/** `docket identity show`: what others see of this device, and what stands behind it; on request a recovery key that nobody has yet. */
import type { Command } from "commander";
import { ExitCode } from "../errors.ts";
import { handOverRecoveryKey } from "../ops/device/handOverRecoveryKey.ts";
import { showIdentity, type IdentityPage } from "../ops/device/showIdentity.ts";
import { printable, printableJson } from "../protocol/printable.ts";
import { defaultConfigFile, type CommandContext, type CommandResult, type RunCommand } from "./command.ts";
import { identityTalk } from "./identityTerminal.ts";
import { onDevice } from "./onDevice.ts";

interface ShowOptions {
  readonly config: string;
  readonly json?: boolean;
  readonly recoveryKey?: boolean;
}

const NOTHING_TO_SHOW = 1;

export function addIdentityShow(identity: Command, context: CommandContext, run: RunCommand): void {
  identity
    .command("show")
    .summary("show the device and its keys")
    .description(
      "Prints the account, the device and its fingerprint, as other clients show them; whether the account's identity signs the device, and who has verified " +
        "that identity, as the homeserver tells it; the key backup, and where the recovery key is. Asks the running bot, or looks itself where none runs.",
    )
    .option("-c, --config <file>", "the configuration file of the bot", defaultConfigFile)
    .option("--json", "print JSON")
    .option(
      "--recovery-key",
      "show the recovery key instead, if nobody has been given it yet: once, on a terminal; exits 1 where there is none to show",
    )
    .action((options: ShowOptions) =>
      run(() => (options.recoveryKey === true ? showRecoveryKey(options, context) : show(options, context))),
    );
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

async function showRecoveryKey({ config }: ShowOptions, context: CommandContext): Promise<CommandResult> {
  const { stderr } = context;
  if (stderr.isTerminal !== true) {
    stderr.write("docket: the recovery key is shown on a terminal only, and standard error is none\n");
    return ExitCode.usage;
  }
  const talk = { ...identityTalk(context), tell: (report: never) => report };
  const outcome = await onDevice(handOverRecoveryKey, null, config, talk, context);
  if (outcome.kind === "failed") return outcome.exitCode;
  if (outcome.result.recoveryKey === "shown") return ExitCode.ok;
  stderr.write(
    "docket: there is no recovery key here that nobody has yet: it was written to its file or shown before, or Docket did not make it.\n",
  );
  return NOTHING_TO_SHOW;
}

const signatures: Readonly<Record<IdentityPage["signature"], string>> = {
  signed: "signs this device",
  unsigned: "does not sign this device",
  broken: "signs this device with a signature that is not good",
  no_keys: "none",
};

const recoveryKeys: Readonly<Record<IdentityPage["recoveryKey"], string>> = {
  configured: "where account.recovery_key says",
  kept: "in docket.db; `docket identity show --recovery-key` shows it once",
  elsewhere: "not here",
};

function inWords(page: IdentityPage): string {
  const { masterKey, signature, hasPrivateKeys, backup, verifiedBy } = page;
  const list = (names: readonly string[]): string => names.map(printable).join(", ") || "nobody";
  const rows: [string, string][] = [
    ["account", printable(page.userId)],
    ["device", printable(page.deviceId)],
    ["fingerprint", inGroups(page.fingerprint)],
    ["identity", signatures[signature]],
  ];
  if (masterKey !== null)
    rows.push(
      ["master key", inGroups(printable(masterKey))],
      ["private keys", hasPrivateKeys ? "in the data directory" : "not here"],
      ["verified by", list(verifiedBy.users)],
      ["own sessions", list(verifiedBy.ownDevices)],
    );
  rows.push(
    [
      "key backup",
      `${backup.state.replaceAll("_", " ")}${backup.version === null ? "" : `, version ${printable(backup.version)}`}`,
    ],
    ["recovery key", recoveryKeys[page.recoveryKey]],
  );
  return rows.map(([name, value]) => `${name.padEnd(12)} ${value}\n`).join("");
}

function inGroups(key: string): string {
  return key.replace(/(.{4})(?=.)/g, "$1 ");
}
