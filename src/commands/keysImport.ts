/** `docket keys import`: room keys from a file that a client has exported, into the running bot or its data directory. */
import type { Command } from "commander";
import { createReadStream } from "node:fs";
import { decryptKeyFile, isKeyFile, type KeyFileProblem } from "../crypto/keyExportFormat.ts";
import { ExitCode } from "../errors.ts";
import { importRoomKeys, type TakenRoomKeys } from "../ops/device/importRoomKeys.ts";
import { printable } from "../protocol/printable.ts";
import type { JsonValue } from "../protocol/json.ts";
import { defaultConfigFile, type CommandContext, type CommandResult, type RunCommand } from "./command.ts";
import { onDevice } from "./onDevice.ts";
import { askPassphrase } from "./passphrase.ts";
import { ProgressBar } from "./progressBar.ts";
import { readText, whyUnread } from "./standardInput.ts";

interface ImportOptions {
  readonly config: string;
  readonly passphraseFile?: string;
}

/** The command's own results. */
const UNUSABLE = 1;
const STOPPED = 2;
/** Some 350,000 keys. */
const LARGEST_FILE_BYTES = 256 * 1024 * 1024;
/** Of one batch, as JSON: what the bot takes in one request. 80 keys or so hold it up for some 20 ms. */
const BATCH_BYTES = 48 * 1024;

const PROBLEMS: Readonly<Record<KeyFileProblem, string>> = {
  no_key_file: "it is no file of exported room keys, which begins with -----BEGIN MEGOLM SESSION DATA-----",
  cut_off: "it is cut off: its last line is missing. Export it, or copy it, again",
  damaged: "it is damaged. Export it, or copy it, again",
  other_version: "it is of a version that is not known here",
  too_many_rounds: "it asks for more rounds of computing than any client's file does",
  wrong_passphrase: "the passphrase is another one, or the file is damaged",
  no_keys: "the passphrase is right, and there is no list of room keys in it",
};

export function addKeysImport(keys: Command, context: CommandContext, run: RunCommand): void {
  keys
    .command("import")
    .summary("take room keys over from a file")
    .description(
      "Takes room keys over from a file that Element, another client or `docket keys export` has written: into the running bot, or into its data directory where none runs. " +
        "Events that waited for one of them are decrypted at once. Keys that are there already stay as they are, so it may be repeated. " +
        "Exits 1 where the file can't be used, 2 when it is stopped before the end.",
    )
    .argument("<file>", "the file to read")
    .option("-c, --config <file>", "the configuration file of the bot", defaultConfigFile)
    .option("--passphrase-file <file>", "read the passphrase from a file; one line break at its end is left out")
    .action((file: string, options: ImportOptions) => run(() => importKeys(file, options, context)));
}

async function importKeys(file: string, options: ImportOptions, context: CommandContext): Promise<CommandResult> {
  const { stderr } = context;
  const refuse = (problem: string, code: CommandResult): CommandResult => {
    stderr.write(`docket: ${printable(problem)}\n`);
    return code;
  };
  const text = await readText(createReadStream(file), LARGEST_FILE_BYTES).catch((error: unknown) => {
    // What is no text is no such file.
    if (error instanceof TypeError) return "";
    return { why: whyUnread(error) };
  });
  if (typeof text !== "string") return refuse(`${file} can't be read (${text.why})`, UNUSABLE);
  if (!isKeyFile(text)) return refuse(`${file} was not imported: ${PROBLEMS.no_key_file}`, UNUSABLE);
  const given = await askPassphrase({ file: options.passphraseFile, twice: false }, context);
  if ("problem" in given) return refuse(given.problem, ExitCode.usage);
  const read = await decryptKeyFile(text, given.passphrase);
  if (!read.ok) return refuse(`${file} was not imported: ${PROBLEMS[read.problem]}`, UNUSABLE);
  return await take(read.sessions, options.config, context);
}

async function take(
  sessions: readonly JsonValue[],
  configFile: string,
  context: CommandContext,
): Promise<CommandResult> {
  const { stdout, stderr } = context;
  const signal = context.stopSignal();
  const bar = new ProgressBar(stderr, "room keys imported");
  const { fitting, oversized } = batches(sessions);
  let sofar: TakenRoomKeys = { imported: 0, known: 0, refused: 0 };
  const talk = {
    tell: (report: TakenRoomKeys) => {
      sofar = report;
      bar.show(report.imported + report.known + report.refused, sessions.length);
    },
    ask: () => Promise.resolve(fitting.next().value ?? []),
    signal,
  };
  try {
    const outcome = await onDevice(importRoomKeys, null, configFile, talk, context);
    bar.clear();
    if (outcome.kind === "failed") return outcome.exitCode;
    const { imported, known, refused } = outcome.result;
    const unusable = refused + oversized();
    stdout.write(`Imported ${counted(imported)}. ${known} of the file's ${sessions.length} were there already.\n`);
    if (unusable > 0) stderr.write(`warning: ${counted(unusable)} of the file could not be used and were left out.\n`);
    return ExitCode.ok;
  } catch (error) {
    bar.clear();
    if (!signal.aborted) throw error;
    stderr.write(`docket: stopped. ${counted(sofar.imported)} were imported and stay; repeat it for the rest.\n`);
    return STOPPED;
  }
}

function counted(keys: number): string {
  return `${keys} room ${keys === 1 ? "key" : "keys"}`;
}

/** Splits the keys so that each batch fits into one request; a key that is too large for that is none. */
function batches(sessions: readonly JsonValue[]): {
  readonly fitting: Iterator<readonly JsonValue[], undefined>;
  readonly oversized: () => number;
} {
  let oversized = 0;
  function* fitting(): Generator<readonly JsonValue[], undefined> {
    let batch: JsonValue[] = [];
    let bytes = 0;
    for (const session of sessions) {
      const size = Buffer.byteLength(JSON.stringify(session)) + 1;
      if (size > BATCH_BYTES) {
        oversized += 1;
        continue;
      }
      if (bytes + size > BATCH_BYTES) {
        yield batch;
        [batch, bytes] = [[], 0];
      }
      batch.push(session);
      bytes += size;
    }
    if (batch.length > 0) yield batch;
    return undefined;
  }
  return { fitting: fitting(), oversized: () => oversized };
}
