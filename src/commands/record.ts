/** `docket record`: reads the record, beside a bot that may be running. */
import { InvalidArgumentError, type Command } from "commander";
import { systemClock } from "../clock.ts";
import { loadConfig } from "../config/loadConfig.ts";
import { ExitCode } from "../errors.ts";
import { Database } from "../journal/database.ts";
import type { EventId, RoomId } from "../protocol/ids.ts";
import { printable, printableJson } from "../protocol/printable.ts";
import type { RecordEntry } from "../record/record.ts";
import { RecordStore } from "../record/recordStore.ts";
import { defaultConfigFile, type CommandContext, type CommandResult, type RunCommand } from "./command.ts";

const PAGE = 500;
/** The command's own result: there is no such event. */
const NOT_FOUND = 1;

export function addRecord(program: Command, context: CommandContext, run: RunCommand): void {
  const record = program
    .command("record")
    .summary("read the record")
    .description("Reads the record, beside a bot that may be running.");
  record
    .command("show")
    .summary("print one event")
    .description(
      "Prints one event of the record as JSON, clear text included. Exits 1 where the record does not have it.",
    )
    .argument("<event-id>", "such as '$abc'; in quotes, or the shell takes it for a variable")
    .option("-c, --config <file>", "the configuration file", defaultConfigFile)
    .action((eventId: string, options: { config: string }) => run(() => show(eventId, options.config, context)));
  record
    .command("list")
    .summary("list what was recorded")
    .description("Prints one line for each recorded event, oldest first: entry, time, room, sender, type, event ID.")
    .option("-c, --config <file>", "the configuration file", defaultConfigFile)
    .option("--room <room-id>", "only this room")
    .option("--limit <number>", "so many entries at most", wholeNumber)
    .option("--json", "whole entries as JSON lines, clear text included")
    .action((options: ListOptions) => run(() => list(options, context)));
}

interface ListOptions {
  readonly config: string;
  readonly room?: string;
  readonly limit?: number;
  readonly json?: boolean;
}

async function show(eventId: string, configFile: string, context: CommandContext): Promise<CommandResult> {
  return withRecord(configFile, context, async (record) => {
    const entry = await record.find(eventId as EventId);
    if (entry === null) {
      context.stderr.write(
        `docket: the record has no event ${printable(eventId)}. \`docket record list\` shows what it has.\n`,
      );
      return NOT_FOUND;
    }
    context.stdout.write(`${printableJson(entry, 2)}\n`);
    return ExitCode.ok;
  });
}

async function list(options: ListOptions, context: CommandContext): Promise<CommandResult> {
  return withRecord(options.config, context, async (record) => {
    const roomId = (options.room ?? null) as RoomId | null;
    let left = options.limit ?? Number.POSITIVE_INFINITY;
    for (let after = 0; left > 0;) {
      const page = record.list({ after, roomId, max: Math.min(PAGE, left) });
      for (const entry of page) context.stdout.write(`${options.json === true ? printableJson(entry) : line(entry)}\n`);
      const last = page.at(-1);
      if (last === undefined) break;
      left -= page.length;
      after = last.entry;
    }
    return ExitCode.ok;
  });
}

async function withRecord(
  configFile: string,
  context: CommandContext,
  work: (record: RecordStore) => Promise<CommandResult>,
): Promise<CommandResult> {
  const config = await loadConfig(configFile, context);
  const database = Database.openReadOnly(config.data.directory);
  try {
    return await work(new RecordStore(database, systemClock));
  } finally {
    database.close();
  }
}

function line(entry: RecordEntry): string {
  const { original, clear } = entry;
  const type = clear.kind === "clear" ? clear.type : `${original.type} (${clear.reason})`;
  const notes = [
    entry.replayOf === null ? "" : " (replay)",
    entry.decryptedLaterAt === null ? "" : " (decrypted later)",
  ];
  const fields = [
    entry.entry,
    new Date(entry.recordedAt).toISOString(),
    original.room_id,
    original.sender,
    type + notes.join(""),
    original.event_id,
  ];
  return printable(fields.join("  "));
}

function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,9}$/.test(text)) throw new InvalidArgumentError("It must be a whole number, 1 or more.");
  return Number(text);
}
