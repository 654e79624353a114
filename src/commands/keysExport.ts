/** `docket keys export`: the bot's room keys in a file under a passphrase, beside a bot that may be running. */
import type { Command } from "commander";
import { loadConfig } from "../config/loadConfig.ts";
import { encryptKeyFile } from "../crypto/keyExportFormat.ts";
import type { StoredRoomKeys } from "../crypto/storedRoomKeys.ts";
import { DataDirectoryRefused, ExitCode } from "../errors.ts";
import { Database } from "../journal/database.ts";
import { ownerOf } from "../journal/ownership.ts";
import { printable } from "../protocol/printable.ts";
import { defaultConfigFile, type CommandContext, type CommandResult, type RunCommand } from "./command.ts";
import { askPassphrase } from "./passphrase.ts";
import { ProgressBar } from "./progressBar.ts";
import { isNoFile, isTaken, writeWholeFile } from "../session/wholeFile.ts";

interface ExportOptions {
  readonly config: string;
  readonly passphraseFile?: string;
  readonly force?: boolean;
}

/** The command's own results: no file was written. */
const NOT_WRITTEN = 1;
const STOPPED = 2;

export function addKeysExport(keys: Command, context: CommandContext, run: RunCommand): void {
  keys
    .command("export")
    .summary("write all room keys to a file")
    .description(
      "Writes all keys with which the bot decrypts messages to a file under a passphrase, in the format that Element and other clients import. " +
        "The bot may run meanwhile; the file appears when it is whole, readable for its owner alone. " +
        "Exits 1 where the file is there already, can't be written, or there are no keys; 2 when it is stopped before the end.",
    )
    .argument("<file>", "the file to write")
    .option("-c, --config <file>", "the configuration file of the bot", defaultConfigFile)
    .option("--passphrase-file <file>", "read the passphrase from a file; one line break at its end is left out")
    .option("--force", "replace the file if it is there")
    .action((file: string, options: ExportOptions) => run(() => exportKeys(file, options, context)));
}

async function exportKeys(file: string, options: ExportOptions, context: CommandContext): Promise<CommandResult> {
  const { stdout, stderr } = context;
  const config = await loadConfig(options.config, context);
  const refuse = (problem: string, code: CommandResult): CommandResult => {
    stderr.write(`docket: ${printable(problem)}\n`);
    return code;
  };
  const exists = `${file} is there already; nothing was written. --force replaces it`;
  const noFile = `${file} is no file, and is not replaced by one; nothing was written. Name another`;
  if (file === "" || (await isNoFile(file))) return refuse(file === "" ? "FILE is empty" : noFile, ExitCode.usage);
  if (options.force !== true && (await isTaken(file))) return refuse(exists, NOT_WRITTEN);
  const given = await askPassphrase({ file: options.passphraseFile, twice: true }, context);
  if ("problem" in given) return refuse(given.problem, ExitCode.usage);
  const read = await readKeys(config.data.directory, context);
  if (read === null || read.count === 0)
    return refuse("the bot holds no room keys yet; nothing was written", NOT_WRITTEN);
  const text = await encryptKeyFile(read.json, given.passphrase);
  // Until here there is nothing to tidy up.
  const signal = context.stopSignal();
  const written = await writeWholeFile(file, text, { replace: options.force === true, signal }).catch(
    (error: unknown) => {
      if (signal.aborted) return null;
      throw error;
    },
  );
  if (written === null) return refuse("stopped; nothing was written", STOPPED);
  if (!written.ok) {
    if (written.problem === "exists") return refuse(exists, NOT_WRITTEN);
    if (written.problem === "no_file") return refuse(noFile, ExitCode.usage);
    return refuse(`${file} can't be written (${written.problem.code}); what was there before stays`, NOT_WRITTEN);
  }
  stdout.write(
    `Wrote ${read.count} room ${read.count === 1 ? "key" : "keys"} to ${printable(file)}. ` +
      "Whoever has the file and its passphrase can read every message that the bot could read.\n",
  );
  return ExitCode.ok;
}

async function readKeys(directory: string, { stderr }: CommandContext): Promise<StoredRoomKeys | null> {
  const database = Database.openReadOnly(directory);
  try {
    const owner = ownerOf(database);
    if (owner === null)
      throw new DataDirectoryRefused(
        `${directory} holds no keys of any device yet. Start the bot once, or check data.directory.`,
      );
    // Loaded only here: the crypto library takes its time.
    const { storedRoomKeys } = await import("../crypto/storedRoomKeys.ts");
    const bar = new ProgressBar(stderr, "room keys read");
    try {
      return await storedRoomKeys(database, owner, (done, total) => bar.show(done, total));
    } finally {
      bar.clear();
    }
  } finally {
    database.close();
  }
}
