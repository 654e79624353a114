/** `docket record show EVENT_ID` and `docket record list`: reads the record, beside a bot that may be running. */
import { systemClock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import { Database } from "../journal/database.ts";
import type { EventId, RoomId } from "../protocol/ids.ts";
import type { RecordEntry } from "../record/record.ts";
import { RecordStore } from "../record/recordStore.ts";

const PAGE = 500;
/** The command's own results: nothing found. */
const NOT_FOUND = 1;

/**
 * Prints one entry as JSON, clear text included.
 * @returns 0, or 1 where the record has no such event
 * @throws DataDirectoryRefused there is no database yet, or it is of another version
 */
export async function recordShow(
  config: Pick<Config, "data">,
  eventId: string,
  print: (line: string) => void,
  printError: (line: string) => void,
): Promise<number> {
  return withRecord(config, async (record) => {
    const entry = await record.find(eventId as EventId);
    if (entry === null) {
      printError(`The record has no event ${eventId}. \`docket record list\` shows what it has.`);
      return NOT_FOUND;
    }
    print(JSON.stringify(entry, null, 2));
    return 0;
  });
}

/**
 * Prints one line for each entry, oldest first: its number, time, room, sender, type and event ID; or JSON lines.
 * @param selection.limit entries at most; null for all
 */
export async function recordList(
  config: Pick<Config, "data">,
  selection: { room: string | null; json: boolean; limit: number | null },
  print: (line: string) => void,
): Promise<number> {
  return withRecord(config, async (record) => {
    let after = 0;
    let left = selection.limit ?? Number.POSITIVE_INFINITY;
    for (;;) {
      const page = record.list({ after, roomId: selection.room as RoomId | null, max: Math.min(PAGE, left) });
      for (const entry of page) print(selection.json ? JSON.stringify(entry) : line(entry));
      left -= page.length;
      const last = page.at(-1);
      if (last === undefined || left <= 0) return 0;
      after = last.entry;
    }
  });
}

async function withRecord<T>(config: Pick<Config, "data">, work: (record: RecordStore) => Promise<T>): Promise<T> {
  const database = Database.openReadOnly(config.data.directory);
  try {
    return await work(new RecordStore(database, systemClock));
  } finally {
    database.close();
  }
}

/** Identifiers and types come from strangers: control characters must not reach a terminal. */
function line(entry: RecordEntry): string {
  const { original, clear } = entry;
  const type = clear.kind === "clear" ? clear.type : `${original.type} (${clear.reason})`;
  const notes = [entry.replayOf === null ? "" : " replay", entry.decryptedLaterAt === null ? "" : " decrypted later"].join("");
  const fields = [
    String(entry.entry),
    new Date(entry.recordedAt).toISOString(),
    original.room_id,
    original.sender,
    type + notes,
    original.event_id,
  ];
  // eslint-disable-next-line no-control-regex
  return fields.join("  ").replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, "\u{fffd}");
}
