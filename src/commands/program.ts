/**
 * The command line: subcommands, `--help`, `--version`, and the exit code of every outcome. Knows nothing of the process: main.ts
 * hands in what is needed.
 */
import { Command, CommanderError } from "commander";
import packageJson from "../../package.json" with { type: "json" };
import { isCryptoPanic } from "../crypto/machine.ts";
import { Cancelled, ConfigError, DocketError, ExitCode, formatProblem } from "../errors.ts";
import { stepKinds } from "../handlers/stepKinds.ts";
import { printableLines } from "../protocol/printable.ts";
import { addCheck } from "./check.ts";
import type { AddCommand, CommandContext, CommandResult } from "./command.ts";
import { addData } from "./data.ts";
import { addDoctor } from "./doctor.ts";
import { addHealth } from "./health.ts";
import { addIdentity } from "./identity.ts";
import { addKeys } from "./keys.ts";
import { addLogin } from "./login.ts";
import { addLogout } from "./logout.ts";
import { addRecord } from "./record.ts";
import { addReload } from "./reload.ts";
import { addRequest } from "./request.ts";
import { addStart } from "./start.ts";

/** As a shell says it of a command that Ctrl-C has ended. */
const STOPPED = 130;

/** In the order of `docket --help`. New subcommands are plugged in here. */
const commands: readonly AddCommand[] = [
  addLogin,
  addLogout,
  addStart,
  addCheck,
  addHealth,
  addDoctor,
  addReload,
  addIdentity,
  addKeys,
  addRequest,
  addRecord,
  addData,
];

/**
 * Runs one command line.
 * @param args without the program's name
 * @returns the exit code; never throws
 */
export async function runProgram(args: readonly string[], world: Omit<CommandContext, "stepKinds">): Promise<number> {
  const context: CommandContext = { ...world, stepKinds };
  let result: CommandResult = ExitCode.ok;
  const program = new Command("docket")
    .description(packageJson.description)
    .version(packageJson.version)
    .exitOverride()
    .configureOutput({ writeOut: (text) => context.stdout.write(text), writeErr: (text) => context.stderr.write(text) })
    .showHelpAfterError("(docket --help lists what there is)")
    .addHelpText("after", `\nExit codes: 0 well, 1-3 a command's own results, ${exitCodes()}.`);
  for (const add of commands) {
    add(program, context, async (work) => {
      result = await work();
    });
  }
  try {
    await program.parseAsync(args, { from: "user" });
    return result;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
    return wasStopped(error, context) ? sayStopped(context) : reportFailure(error, context.stderr);
  }
}

/** Ctrl-C or SIGTERM came, and the command has no words of its own for that. */
function wasStopped(error: unknown, context: CommandContext): boolean {
  const signal = context.stopSignal();
  return signal.aborted && (error instanceof Cancelled || error === signal.reason);
}

function sayStopped({ stderr }: CommandContext): number {
  stderr.write("docket: stopped before the end. What was done by then stays; it can be repeated.\n");
  return STOPPED;
}

/** Says what ended the process, and returns what it exits with. Also for what nobody caught. */
export function reportFailure(error: unknown, stderr: CommandContext["stderr"]): number {
  if (error instanceof ConfigError) {
    for (const problem of error.problems) stderr.write(`${printableLines(formatProblem(problem))}\n`);
    return error.exitCode;
  }
  if (error instanceof DocketError && error.exitCode !== ExitCode.bug) {
    stderr.write(`docket: ${printableLines(error.message)} (${error.code})\n`);
    return error.exitCode;
  }
  // A panic that the crypto library throws out of a microtask reaches nobody but the process.
  if (isCryptoPanic(error)) {
    stderr.write(
      "docket: the crypto library panicked; nothing goes on after that. Start again, and please report it (CRYPTO_PANICKED)\n",
    );
    return ExitCode.cryptoPanic;
  }
  const lines = [
    "docket: this is a bug. Please report it with these lines:",
    `  docket ${packageJson.version}: ${describe(error)}`,
  ];
  const frames = error instanceof Error ? (error.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line)) : [];
  stderr.write(`${[...lines, ...frames].join("\n")}\n`);
  return ExitCode.bug;
}

/** Messages of unknown errors may quote what was read, a body or a token, so only those of Docket's and JavaScript's own are shown. */
function describe(error: unknown): string {
  if (error instanceof DocketError) return `${error.name} (${error.code}): ${error.message}`;
  if (error instanceof TypeError || error instanceof ReferenceError || error instanceof RangeError)
    return `${error.name}: ${error.message}`;
  if (!(error instanceof Error)) return `something of type ${typeof error} was thrown`;
  return "code" in error && typeof error.code === "string" ? `${error.name} (${error.code})` : error.name;
}

function exitCodes(): string {
  const meanings: Readonly<Record<Exclude<keyof typeof ExitCode, "ok">, string>> = {
    usage: "usage",
    serverUnreachable: "server unreachable",
    bug: "bug",
    cryptoPanic: "crypto panic",
    dataDirectory: "data directory",
    storage: "disk",
    tokenRefused: "token refused",
    configuration: "configuration",
  };
  return Object.entries(meanings)
    .map(([name, meaning]) => `${ExitCode[name as keyof typeof ExitCode]} ${meaning}`)
    .join(", ");
}
