/** `docket request`: asks a room for a status as another account than the bot's, and shows who received it and who answered what. */
import { createReadStream } from "node:fs";
import { InvalidArgumentError, Option, type Command } from "commander";
import { systemClock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import { loadConfig } from "../config/loadConfig.ts";
import { parseDuration } from "../config/units.ts";
import { ConfigError, ExitCode } from "../errors.ts";
import { Database } from "../journal/database.ts";
import { createLogger } from "../logging.ts";
import { dialectNames, type Dialect } from "../protocol/dialects.ts";
import { printable, printableJson } from "../protocol/printable.ts";
import type { Question } from "../requester/ask.ts";
import { readExpectation } from "../requester/expectation.ts";
import { Progress } from "../requester/progress.ts";
import { readSubject } from "../requester/question.ts";
import { inWords, type Fact } from "../requester/report.ts";
import { isRoomReference } from "../requester/roomLookup.ts";
import { recoveryKeyWords } from "../session/recoveryHandover.ts";
import { defaultConfigFile, type CommandContext, type CommandResult, type RunCommand } from "./command.ts";
import { readText, whyUnread } from "./standardInput.ts";

interface RequestOptions {
  readonly config: string;
  readonly type?: string;
  readonly content?: string;
  readonly text?: string;
  readonly capabilities?: readonly string[];
  readonly lifetime: number;
  readonly dialect: Dialect;
  readonly toDevice?: string;
  readonly expect?: number;
  readonly expectFrom: readonly string[];
  readonly json?: boolean;
  readonly verbose?: boolean;
}

const DEFAULT_LIFETIME_MS = 90_000;
/** Events have 64 KiB at most: what is longer is none, and is not read to its end. */
const LARGEST_CONTENT_BYTES = 256 * 1024;

/** What is wrong with the command line beyond what commander sees. */
class Misuse extends Error {}

export function addRequest(program: Command, context: CommandContext, run: RunCommand): void {
  program
    .command("request")
    .summary("ask a room for a status, and wait for the answers")
    .description(
      "Sends an event with a status request (MSC4300) into a room, encrypted where the room is, and shows who received it and who answers what, " +
        "until every expected answer is there or the lifetime is over. Acts as the account of the configuration, which must not be a bot's: " +
        "a bot never answers its own account. Ctrl-C stops waiting.",
    )
    .argument("<room>", "the room's ID or an alias, in quotes: '!abc:example.org', '#alarms:example.org'")
    .option("-c, --config <file>", "the configuration file: homeserver, account and data.directory", defaultConfigFile)
    .option("--type <type>", "the event's type; with --text m.room.message by default")
    .option("--content <file>", "the event's content, a JSON object; - reads standard input")
    .option("--text <text>", "a text message as the content")
    .option("--capabilities <types...>", "ask which of these event types are understood (MSC4301); after the room")
    .addOption(
      new Option("--lifetime <duration>", "how long answers count, such as 90s or 5m")
        .argParser(lifetime)
        .default(DEFAULT_LIFETIME_MS, "90s"),
    )
    .addOption(new Option("--dialect <name>", "the words of the request").choices(dialectNames).default("stable"))
    .option("--to-device <device>", "only this device should answer")
    .option("--expect <number>", "wait for so many answers (default: 1, or one of each --expect-from)", wholeNumber)
    .option(
      "--expect-from <user>",
      "wait for an answer of this user, and count nobody else's; may be repeated",
      (user, before: readonly string[]) => [...before, user],
      [],
    )
    .option("--json", "print JSON, one object a line, the last one a summary (docs/request.md)")
    .option("--verbose", "log to standard error")
    .addHelpText(
      "after",
      "\nExits 0 when all expected answers are success, 1 when one is an error, 2 when there were too few in time, 3 when the homeserver did not take the event.",
    )
    .action((room: string, options: RequestOptions) => run(() => request(room, options, context)));
}

async function request(room: string, options: RequestOptions, context: CommandContext): Promise<CommandResult> {
  try {
    return await askFor(room, options, context);
  } catch (error) {
    if (!(error instanceof Misuse)) throw error;
    context.stderr.write(`docket: ${printable(error.message)}. docket request --help lists what there is.\n`);
    return ExitCode.usage;
  }
}

async function askFor(room: string, options: RequestOptions, context: CommandContext): Promise<CommandResult> {
  const { stdout, stderr } = context;
  if (!isRoomReference(room))
    throw new Misuse(`a room is named by its ID or an alias, such as '!abc:example.org', not ${room}`);
  const config = await loadConfig(options.config, context);
  requireNoBot(config);
  const question = await questionOf(room, options, config, context);
  const stop = context.stopSignal();
  const onTerminal = stderr.isTerminal === true && options.json !== true && options.verbose !== true;
  const progress = new Progress(onTerminal ? (text) => stderr.write(text) : null);
  const tell = (fact: Fact): void => {
    progress.clear();
    const line = options.json === true ? printableJson(fact) : inWords(fact);
    if (line !== null) stdout.write(`${line}\n`);
  };
  // Loaded only here: the crypto library and the SDK take a second that no mistake on the command line should wait for.
  const { ask } = await import("../requester/ask.ts");
  const database = Database.open(config.data.directory);
  try {
    const summary = await ask(question, {
      database,
      config,
      clock: systemClock,
      log: createLogger(options.verbose === true ? "info" : "silent", stderr),
      stop,
      onFatal: (error) => context.endNow(error),
      showRecoveryKey: stderr.isTerminal === true ? (key) => stderr.write(recoveryKeyWords(key)) : null,
      tell,
      warn: (text) => stderr.write(`docket: ${printable(text)}\n`),
      showWaiting: (state) => progress.show(state),
    });
    return summary.exitCode;
  } finally {
    progress.clear();
    database.close();
  }
}

async function questionOf(
  room: string,
  options: RequestOptions,
  config: Config,
  context: CommandContext,
): Promise<Question> {
  const { dialect, lifetime: lifetimeMs, toDevice = null, expect = null, expectFrom } = options;
  const expectation = readExpectation({ answers: expect, from: expectFrom }, config.account.user);
  if (!expectation.ok) throw new Misuse(expectation.problem);
  const { type = null, text = null, capabilities = null } = options;
  const content = options.content === undefined ? null : await readContent(options.content, context);
  const subject = readSubject({ dialect, type, text, content, capabilities });
  if (!subject.ok) throw new Misuse(subject.problem);
  return { room, subject: subject.subject, dialect, lifetimeMs, toDevice, expectation: expectation.expectation };
}

/**
 * One device must not be used by two processes, and a bot's would be. The data directory says the same, but only after the first use:
 * before it, the requester would make a bot's directory its own.
 */
function requireNoBot({ file, handlers, invites }: Config): void {
  const path = handlers.length > 0 ? "handlers" : invites.accept.length > 0 ? "invites.accept" : null;
  if (path === null) return;
  throw new ConfigError([
    {
      file,
      line: null,
      column: null,
      path,
      message: "this is a bot's configuration, and a bot never answers its own account",
      hint: "Give docket request a configuration of its own, with another account: homeserver, account, and a data.directory of its own.",
    },
  ]);
}

async function readContent(file: string, context: CommandContext): Promise<string> {
  if (file !== "-") {
    try {
      return await readText(createReadStream(file), LARGEST_CONTENT_BYTES);
    } catch (error) {
      throw new Misuse(`the content can't be read from ${file} (${whyUnread(error)})`);
    }
  }
  try {
    return await context.stdin.text(LARGEST_CONTENT_BYTES);
  } catch (error) {
    if (error instanceof RangeError) throw new Misuse("the content on standard input is longer than an event may be");
    if (error instanceof TypeError) throw new Misuse("the content on standard input is not UTF-8");
    throw error;
  }
}

function lifetime(text: string): number {
  const ms = parseDuration(text);
  if (ms === null || ms === 0)
    throw new InvalidArgumentError("It must be a duration above zero, such as 500ms, 90s, 5m or 1h.");
  return ms;
}

function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError("It must be a whole number, 1 or more.");
  return Number(text);
}
