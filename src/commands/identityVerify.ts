/** `docket identity verify`: compares emoji or numbers with another session of the account, or with an operator. */
import type { Command } from "commander";
import { Cancelled, ExitCode } from "../errors.ts";
import {
  verifyIdentity,
  type VerifyQuestion,
  type VerifyReport,
  type VerifyResult,
} from "../ops/device/verifyIdentity.ts";
import { printable, printableJson } from "../protocol/printable.ts";
import { defaultConfigFile, noBotRuns, type CommandContext, type CommandResult, type RunCommand } from "./command.ts";
import { onDevice } from "./onDevice.ts";

interface VerifyOptions {
  readonly config: string;
  readonly start?: boolean;
  readonly json?: boolean;
}

const NOT_VERIFIED = 1;
const COLUMN = 18;

export function addIdentityVerify(identity: Command, context: CommandContext, run: RunCommand): void {
  identity
    .command("verify")
    .summary("verify the bot with another session, or an operator")
    .description(
      "Waits for somebody who wants to verify the bot: another session of its account, or one of encryption.verifiers. Shows emoji and " +
        "numbers, and asks whether the other side shows the same. The bot must be running. Exit codes: 0 verified, 1 not verified, 2 no bot runs.",
    )
    .option("-c, --config <file>", "the configuration file of the bot", defaultConfigFile)
    .option("--start", "ask the account's other sessions, instead of waiting for one")
    .option("--json", "print a JSON object in each line; the answer, yes or no, is a line of standard input")
    .action((options: VerifyOptions) => run(() => verify(options, context)));
}

async function verify(options: VerifyOptions, context: CommandContext): Promise<CommandResult> {
  const { stdout, stderr } = context;
  const json = options.json === true;
  const signal = context.stopSignal();
  const say = (value: object, words: string): void => stdout.write(json ? `${printableJson(value)}\n` : words);
  const talk = {
    tell: (report: VerifyReport) => say(report, reportInWords(report)),
    ask: async (question: VerifyQuestion) => {
      say(question, questionInWords(question, isUtf8(context.env)));
      return await yesOrNo(context, json, signal);
    },
    signal,
  };
  try {
    const outcome = await onDevice(verifyIdentity, { start: options.start === true }, options.config, talk, context);
    if (outcome.kind === "failed") return outcome.exitCode;
    if (outcome.result.kind === "no_bot") return noBotRuns("this data directory", options.config, context);
    say(outcome.result, resultInWords(outcome.result));
    return outcome.result.kind === "verified" ? ExitCode.ok : NOT_VERIFIED;
  } catch (error) {
    if (!(error instanceof Cancelled || signal.aborted)) throw error;
    stderr.write("docket: given up; the other side has been told. Nothing is verified.\n");
    return NOT_VERIFIED;
  }
}

/** Asks until the answer is one. @throws Cancelled nobody answers any more */
async function yesOrNo({ stdin, stdout }: CommandContext, json: boolean, signal: AbortSignal): Promise<boolean> {
  for (;;) {
    if (!json) stdout.write("Is it the same on the other side? Type yes or no: ");
    const line = await stdin.line(signal);
    if (line === null) throw new Cancelled("Nobody answers.");
    const word = line.trim().toLowerCase();
    if (word === "yes" || word === "y") return true;
    if (word === "no" || word === "n") return false;
  }
}

function reportInWords(report: VerifyReport): string {
  switch (report.kind) {
    case "waiting":
      return `Waiting until somebody asks to verify ${printable(report.userId)} (device ${printable(report.deviceId)}). Begin in the other client; Ctrl-C ends this.\n`;
    case "asked":
      return "The account's other sessions have been asked. Accept it in one of them; Ctrl-C ends this.\n";
    case "met":
      return `${capital(name(report))} is there${report.roomId === null ? "" : `, in the room ${printable(report.roomId)}`}.\n`;
    case "confirmed":
      return "Waiting for the other side to confirm it too.\n";
  }
}

function questionInWords({ emoji, decimals, ...other }: VerifyQuestion, utf8: boolean): string {
  const numbers = `  ${decimals.join("  ")}\n`;
  if (emoji === null) return `Compare these numbers with what ${name(other)} shows:\n\n${numbers}\n`;
  const cells = emoji.map(({ symbol, name: word }) => (utf8 ? `${symbol} ${word}` : word));
  const rows = [cells.slice(0, 4), cells.slice(4)].map(
    (row) =>
      `  ${row
        .map((cell) => cell.padEnd(COLUMN))
        .join("")
        .trimEnd()}\n`,
  );
  return `Compare the emoji, or the numbers, with what ${name(other)} shows:\n\n${rows.join("")}\n${numbers}\n`;
}

function resultInWords(result: Exclude<VerifyResult, { kind: "no_bot" }>): string {
  switch (result.kind) {
    case "verified":
      return result.who === "own_session"
        ? `Verified with ${name(result)}. The other session signs this device if it holds the account's keys: docket identity show tells.\n`
        : `Verified: ${name(result)} and this bot have signed each other's identity.\n`;
    case "cancelled":
      return cancelInWords(result);
    case "no_identity":
      return "The account has no cross-signing identity, so there is nothing to verify. docket identity create makes one.\n";
    case "no_other_session":
      return "The account has no other session that could verify this one. Sign in with another client, or use the recovery key.\n";
  }
}

function cancelInWords(result: Extract<VerifyResult, { kind: "cancelled" }>): string {
  const { code, by, reason } = result;
  if (code === "m.mismatched_sas" || code === "m.key_mismatch" || code === "m.mismatched_commitment")
    return `NOT verified: the two sides do not see the same (${printable(code)}). Somebody may be between you and the other side: trust neither until it is clear why.\n`;
  if (code === "m.timeout") return "Not verified: it took too long. Repeat it, and begin anew on the other side.\n";
  if (code === "m.accepted") return "Not verified here: another session of the account has taken it up.\n";
  const who = by === "us" ? "it was cancelled here" : "the other side has cancelled it";
  return `Not verified: ${who} (${printable(code)}${reason === "" ? "" : `: ${printable(reason)}`}). Nothing is trusted that was not before.\n`;
}

function name({ who, userId, deviceId }: { who: string; userId: string; deviceId: string | null }): string {
  const device = deviceId === null ? "" : `, device ${printable(deviceId)}`;
  return who === "own_session" ? `another session of the account${device}` : `${printable(userId)}${device}`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Whether the terminal shows emoji. Their names and the numbers are shown in any case. */
function isUtf8(env: CommandContext["env"]): boolean {
  const locale = [env["LC_ALL"], env["LC_CTYPE"], env["LANG"]].find((value) => value !== undefined && value !== "");
  return /utf-?8/i.test(locale ?? "");
}
