/** `docket login`: signs the bot's account in, and keeps the device and its tokens in the data directory. */
import { Option, type Command } from "commander";
import { createReadStream } from "node:fs";
import { systemClock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import { loadConfig } from "../config/loadConfig.ts";
import { ExitCode } from "../errors.ts";
import type { SignedInDevice } from "../journal/credentials.ts";
import type { SignIn } from "../session/signIn.ts";
import type { DeviceInvitation } from "../session/oauth/deviceGrant.ts";
import { printable } from "../protocol/printable.ts";
import { defaultConfigFile, type CommandContext, type CommandResult, type RunCommand } from "./command.ts";
import { plainLogger } from "./plainLogger.ts";
import { readText, whyUnread } from "./standardInput.ts";

interface LoginOptions {
  readonly config: string;
  readonly password?: boolean;
  readonly passwordStdin?: boolean;
  readonly passwordFile?: string;
  readonly oauth?: boolean;
  readonly token?: boolean;
  readonly tokenEnv: string;
  readonly deviceName: string;
  readonly again?: boolean;
}

const PASSWORD_VARIABLE = "DOCKET_PASSWORD";
const TOKEN_VARIABLE = "DOCKET_TOKEN";
const LONGEST_PASSWORD_BYTES = 64 * 1024;
/** Of what a homeserver offers, as far as it is shown: how many, and how many characters. */
const MOST_FLOWS = 20;
const LONGEST_FLOWS = 500;

export function addLogin(program: Command, context: CommandContext, run: RunCommand): void {
  const ways = ["oauth", "token", "password", "passwordStdin", "passwordFile"];
  const way = (flags: string, description: string): Option => {
    const option = new Option(flags, description);
    return option.conflicts(ways.filter((name) => name !== option.attributeName()));
  };
  program
    .command("login")
    .summary("sign the bot's account in")
    .description(
      "Signs account.user of the configuration in as a device of its own and keeps that device's tokens in the data directory, where `docket start` finds them. " +
        "Where the homeserver has an authorization server, it shows an address and a code to confirm anywhere else; else it asks for the password. " +
        `Without a terminal the password comes from --password-stdin, --password-file, or the environment (${PASSWORD_VARIABLE}). ` +
        "A device that is signed in already stays as it is. Exits 77 when the homeserver does not accept password or token, and 73 when the data directory can't be used: " +
        "a bot runs on it, or it is another account's.",
    )
    .option("-c, --config <file>", "the configuration file", defaultConfigFile)
    .addOption(way("--password", "use the password, also where there is an authorization server"))
    .addOption(way("--password-stdin", "read the password from standard input"))
    .addOption(way("--password-file <file>", "read the password from a file; one line break at its end is left out"))
    .addOption(way("--oauth", "use the authorization server, and nothing else"))
    .addOption(way("--token", "take over the device of an access token that you have, from the environment"))
    .option("--token-env <name>", "the environment variable with that token", TOKEN_VARIABLE)
    .option("--device-name <name>", "what a new device is called, for people", "Docket")
    .option("--again", "sign in again, as the same device, even if it is signed in")
    .action((options: LoginOptions) => run(() => login(options, context)));
}

async function login(options: LoginOptions, context: CommandContext): Promise<CommandResult> {
  const config = await loadConfig(options.config, context);
  const [{ Database }, { SignIn }] = await Promise.all([
    import("../journal/database.ts"),
    import("../session/signIn.ts"),
  ]);
  const database = Database.open(config.data.directory);
  try {
    const signIn = new SignIn({
      config,
      network: config.network,
      database,
      clock: systemClock,
      log: plainLogger(context.stderr),
      // Nothing is lost when the process is killed: see signIn.ts.
      signal: new AbortController().signal,
    });
    try {
      return await attempt(signIn, options, config, context);
    } finally {
      await signIn.close();
    }
  } finally {
    database.close();
  }
}

async function attempt(
  signIn: SignIn,
  options: LoginOptions,
  config: Config,
  context: CommandContext,
): Promise<CommandResult> {
  const { stdout } = context;
  if (options.again !== true) {
    const current = await signIn.current();
    if (current !== null) {
      stdout.write(
        `${current.userId} is signed in already, as device ${current.deviceId}; nothing was changed. (--again signs in anew.)\n`,
      );
      return ExitCode.ok;
    }
  }
  const device = await inSomeWay(signIn, options, config, context);
  if (typeof device === "number") return device;
  stdout.write(
    `Signed in as ${device.userId}, device ${device.deviceId}. Its tokens are in ${config.data.directory}; the device is the bot's alone.\n` +
      `Next: docket start --config ${options.config}\n`,
  );
  return ExitCode.ok;
}

/** @returns what to exit with where there is no way; it was said why */
async function inSomeWay(
  signIn: SignIn,
  options: LoginOptions,
  config: Config,
  context: CommandContext,
): Promise<SignedInDevice | ExitCode> {
  const { stdin, stdout, env } = context;
  const refuse = (problem: string, code: ExitCode = ExitCode.usage): ExitCode => {
    context.stderr.write(`docket: ${printable(problem)}\n`);
    return code;
  };
  if (options.token === true) {
    const token = env[options.tokenEnv]?.trim() ?? "";
    if (token !== "") return await signIn.byToken(token);
    return refuse(`--token takes the access token from the environment, but ${options.tokenEnv} is not set there`);
  }
  const given = options.oauth === true ? null : await givenPassword(options, context);
  if (given !== null && "problem" in given) return refuse(given.problem);

  const offers = await signIn.offers();
  const offered = `It offers: ${offers.flows.slice(0, MOST_FLOWS).join(", ").slice(0, LONGEST_FLOWS) || "nothing that is known"}`;
  const { authorizationServer } = offers;
  if (options.oauth === true && authorizationServer === null) {
    return refuse(
      `the homeserver has no authorization server at which a sign-in can be confirmed from elsewhere. ${offered}`,
      ExitCode.serverUnreachable,
    );
  }
  if (given === null && options.password !== true && authorizationServer !== null) {
    const device = await signIn.byDeviceGrant(authorizationServer, (invitation) => stdout.write(words(invitation)));
    return device;
  }
  if (!offers.password) {
    return refuse(
      `the homeserver takes no passwords. ${offered}. With an access token from a sign-in elsewhere, \`docket login --token\` takes over its device`,
      ExitCode.serverUnreachable,
    );
  }
  if (given !== null) return await signIn.byPassword(given.password, options.deviceName);
  if (!stdin.isTerminal) {
    return refuse(
      `there is no terminal to ask for the password: use --password-stdin, --password-file FILE, or ${PASSWORD_VARIABLE} in the environment`,
    );
  }
  const password = await stdin.hiddenLine(`Password of ${config.account.user}: `);
  return password === "" ? refuse(EMPTY) : await signIn.byPassword(password, options.deviceName);
}

const EMPTY = "the password is empty";

/** @returns null where none is given, and a person has to be asked */
async function givenPassword(
  options: LoginOptions,
  { stdin, env }: CommandContext,
): Promise<{ readonly password: string } | { readonly problem: string } | null> {
  let text: string;
  try {
    if (options.passwordStdin === true) text = await stdin.text(LONGEST_PASSWORD_BYTES);
    else if (options.passwordFile !== undefined)
      text = await readText(createReadStream(options.passwordFile), LONGEST_PASSWORD_BYTES);
    else if (options.password !== true && env[PASSWORD_VARIABLE] !== undefined) text = env[PASSWORD_VARIABLE];
    else return null;
  } catch (error) {
    const place = options.passwordFile === undefined ? "standard input" : options.passwordFile;
    const code = ` (${whyUnread(error)})`;
    return { problem: `the password can't be read from ${place}${code}` };
  }
  const password = text.replace(/\r?\n$/, "");
  return password === "" ? { problem: EMPTY } : { password };
}

function words({ address, addressWithCode, code, lifetimeMs }: DeviceInvitation): string {
  const minutes = Math.max(1, Math.round(lifetimeMs / 60_000));
  const direct = addressWithCode === null ? "" : `  ${plainAscii(addressWithCode)}\n\nor open `;
  const open = addressWithCode === null ? "Open " : "";
  return (
    "Let the bot in as its own account, in any browser, on any machine. " +
    (addressWithCode === null ? "" : "Open\n\n") +
    `${direct}${open}${plainAscii(address)} and type the code ${plainAscii(code)}. Waiting for at most ${minutes} ${minutes === 1 ? "minute" : "minutes"} ...\n`
  );
}

/** It comes from a server: nothing in it may steer the terminal, or look like another address. */
function plainAscii(text: string): string {
  return text.replace(/[^\x21-\x7e]/g, "?").slice(0, 2_000);
}
