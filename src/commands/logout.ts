/** `docket logout`: signs the bot's device out, and forgets its tokens. */
import { Option, type Command } from "commander";
import { systemClock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import { loadConfig } from "../config/loadConfig.ts";
import { ExitCode, ServerRefused, ServerUnreachable } from "../errors.ts";
import type { SignedOut } from "../session/signOut.ts";
import { defaultConfigFile, type CommandContext, type CommandResult, type RunCommand } from "./command.ts";
import { plainLogger } from "./plainLogger.ts";

interface LogoutOptions {
  readonly config: string;
  readonly local?: boolean;
  readonly configuredToken?: boolean;
}

export function addLogout(program: Command, context: CommandContext, run: RunCommand): void {
  program
    .command("logout")
    .summary("sign the bot's device out")
    .description(
      "Signs the device that `docket login` signed in out of the homeserver, which deletes it, and removes its tokens from the data directory. The record stays. " +
        "The device's keys are of no use after that: the next sign-in needs a data directory of its own. If the homeserver can't be reached, nothing is removed. " +
        "Exits 0 also when nobody is signed in.",
    )
    .option("-c, --config <file>", "the configuration file", defaultConfigFile)
    .addOption(
      new Option("--local", "remove the tokens here without asking the homeserver, which keeps the device").conflicts(
        "configuredToken",
      ),
    )
    .option("--configured-token", "sign out the device of account.token, which `docket login` has nothing to do with")
    .action((options: LogoutOptions) => run(() => logout(options, context)));
}

async function logout(options: LogoutOptions, context: CommandContext): Promise<CommandResult> {
  const { stdout } = context;
  const config = await loadConfig(options.config, context);
  const { directory } = config.data;
  const { token } = config.account;
  const nobody = `Nobody is signed in with tokens in ${directory}.`;
  if (options.configuredToken === true && token === null) {
    context.stderr.write(
      `docket: ${config.file} has no account.token; without --configured-token, the stored one counts\n`,
    );
    return ExitCode.usage;
  }
  const { Database } = await import("../journal/database.ts");
  if (!Database.exists(directory) && options.configuredToken !== true) {
    stdout.write(`${nobody}${ownToken(config)}\n`);
    return ExitCode.ok;
  }
  const database = Database.open(directory);
  try {
    const { signOutConfigured, signOutStored } = await import("../session/signOut.ts");
    const ports = {
      network: config.network,
      clock: systemClock,
      log: plainLogger(context.stderr),
      signal: new AbortController().signal,
    };
    if (options.configuredToken === true && token !== null) {
      const signedOut = await signOutConfigured(database, config, token, ports);
      stdout.write(`${whatRemains(signedOut)}\n`);
      return ExitCode.ok;
    }
    if (options.local === true) {
      const { Credentials } = await import("../journal/credentials.ts");
      const credentials = new Credentials(database);
      const device = credentials.read();
      credentials.clear();
      stdout.write(
        device === null
          ? `${nobody}${ownToken(config)}\n`
          : `Removed the tokens of device ${device.deviceId} here. The homeserver still has the device: sign in again with \`docket login\`, or remove it with another client of ${device.userId}.\n`,
      );
      return ExitCode.ok;
    }
    const signedOut = await signOutStored(database, ports);
    stdout.write(signedOut === null ? `${nobody}${ownToken(config)}\n` : `${whatRemains(signedOut)}\n`);
    return ExitCode.ok;
  } catch (error) {
    const nothingRemoved = error instanceof ServerUnreachable || error instanceof ServerRefused;
    if (nothingRemoved && options.configuredToken !== true)
      context.stderr.write("docket: not signed out, and nothing was removed. --local removes the tokens here alone\n");
    throw error;
  } finally {
    database.close();
  }
}

function whatRemains({ userId, deviceId, wasKnown, isFree }: SignedOut): string {
  if (!wasKnown)
    return `The homeserver did not accept the tokens of device ${deviceId} any more; they were removed here. The record stays.`;
  const next = isFree
    ? "`docket login` makes a new device."
    : "The record stays, and `docket record` reads it. The device's keys are of no use any more: the next sign-in needs a new, empty data.directory.";
  return `Signed out: ${userId}, device ${deviceId}. ${next}`;
}

function ownToken({ file, account }: Config): string {
  return account.token === null
    ? ""
    : ` The configuration has a token of its own, which \`docket login\` did not bring and \`docket logout\` leaves alone; --configured-token signs its device out (account.token in ${file}).`;
}
