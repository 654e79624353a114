/**
 * The record in `docket.db`: append-only, one entry for each event ID, on disk when `append` resolves. An entry is never
 * rewritten: clear text that comes later stands in an amendment beside it, so both facts stay visible.
 */
import type { Clock } from "../clock.ts";
import type { SenderTrust, UndecryptableReason } from "../crypto/cryptoEngine.ts";
import type { Database } from "../journal/database.ts";
import type { RawEvent } from "../protocol/events.ts";
import type { EventId, RoomId } from "../protocol/ids.ts";
import type { JsonObject } from "../protocol/json.ts";
import type { Arrival, NewRecord, Record, RecordEntry, RecordReceipt } from "./record.ts";

interface EntryRow {
  entry: number;
  event_id: EventId;
  received_at: number;
  recorded_at: number;
  arrival: Arrival;
  original: string;
  type: string | null;
  content: string | null;
  trust: string | null;
  undecryptable: UndecryptableReason | null;
  replay_of: EventId | null;
  amended_at: number | null;
  amended_type: string | null;
  amended_content: string | null;
  amended_trust: string | null;
  amended_replay_of: EventId | null;
}

const SELECT_ENTRY = `
  SELECT e.*, a.amended_at, a.type AS amended_type, a.content AS amended_content, a.trust AS amended_trust, a.replay_of AS amended_replay_of
  FROM entries e LEFT JOIN amendments a ON a.entry = e.entry`;

export class RecordStore implements Record {
  private readonly database: Database;
  private readonly clock: Clock;

  constructor(database: Database, clock: Clock) {
    this.database = database;
    this.clock = clock;
  }

  async append(entries: readonly NewRecord[]): Promise<readonly RecordReceipt[]> {
    if (entries.length === 0) return [];
    return this.database.transaction(() => entries.map((entry) => this.appendOne(entry)));
  }

  async amend(eventId: EventId, clear: NewRecord["clear"], replayOf: EventId | null): Promise<RecordReceipt> {
    return this.database.transaction(() => {
      const receipt = this.receipt(eventId);
      if (receipt === null) throw new Error(`${eventId} has no entry to amend`);
      if (clear.kind === "clear") {
        this.database
          .prepare(
            "INSERT INTO amendments (entry, amended_at, type, content, trust, replay_of) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
          )
          .run(
            receipt.entry,
            this.clock.now(),
            clear.type,
            JSON.stringify(clear.content),
            JSON.stringify(clear.trust),
            replayOf,
          );
      }
      return receipt;
    });
  }

  async find(eventId: EventId): Promise<RecordEntry | null> {
    const row = this.database.prepare<EntryRow>(`${SELECT_ENTRY} WHERE e.event_id = ?`).get(eventId);
    return row === undefined ? null : toEntry(row);
  }

  /** Proof that an event is in the record; null where it is not. */
  receipt(eventId: EventId): RecordReceipt | null {
    const row = this.database
      .prepare<{ entry: number; recorded_at: number }>("SELECT entry, recorded_at FROM entries WHERE event_id = ?")
      .get(eventId);
    return row === undefined ? null : { eventId, entry: row.entry, recordedAt: row.recorded_at };
  }

  /** Whether there is an entry whose text nobody could read so far. */
  lacksText(eventId: EventId): boolean {
    return (
      this.database
        .prepare(
          `SELECT 1 FROM entries e WHERE e.event_id = ? AND e.type IS NULL
             AND NOT EXISTS (SELECT 1 FROM amendments a WHERE a.entry = e.entry)`,
        )
        .get(eventId) !== undefined
    );
  }

  /**
   * Entries in the order of arrival, a page at a time.
   * @param selection.after the last entry of the page before; 0 for the first
   * @param selection.roomId null for all rooms
   * @param selection.max entries a page
   */
  list(selection: { after: number; roomId: RoomId | null; max: number }): readonly RecordEntry[] {
    const rows =
      selection.roomId === null
        ? this.database
            .prepare<EntryRow>(`${SELECT_ENTRY} WHERE e.entry > ? ORDER BY e.entry LIMIT ?`)
            .all(selection.after, selection.max)
        : this.database
            .prepare<EntryRow>(`${SELECT_ENTRY} WHERE e.room_id = ? AND e.entry > ? ORDER BY e.entry LIMIT ?`)
            .all(selection.roomId, selection.after, selection.max);
    return rows.map(toEntry);
  }

  private appendOne(record: NewRecord): RecordReceipt {
    const { original, clear } = record;
    this.database
      .prepare(
        `INSERT INTO entries (event_id, room_id, sender, origin_server_ts, received_at, recorded_at, arrival, original, type, content, trust, undecryptable, replay_of)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (event_id) DO NOTHING`,
      )
      .run(
        original.event_id,
        original.room_id,
        original.sender,
        original.origin_server_ts,
        record.receivedAt,
        this.clock.now(),
        record.arrival,
        JSON.stringify(original),
        clear.kind === "clear" ? clear.type : null,
        clear.kind === "clear" ? JSON.stringify(clear.content) : null,
        clear.kind === "clear" ? JSON.stringify(clear.trust) : null,
        clear.kind === "undecryptable" ? clear.reason : null,
        record.replayOf,
      );
    const receipt = this.receipt(original.event_id);
    if (receipt === null) throw new Error(`the entry of ${original.event_id} is missing right after it was written`);
    return receipt;
  }
}

function toEntry(row: EntryRow): RecordEntry {
  const [type, content, trust] =
    row.type === null ? [row.amended_type, row.amended_content, row.amended_trust] : [row.type, row.content, row.trust];
  return {
    entry: row.entry,
    original: JSON.parse(row.original) as RawEvent,
    receivedAt: row.received_at,
    recordedAt: row.recorded_at,
    arrival: row.arrival,
    clear:
      type === null || content === null || trust === null
        ? { kind: "undecryptable", reason: row.undecryptable ?? "failed" }
        : { kind: "clear", type, content: JSON.parse(content) as JsonObject, trust: JSON.parse(trust) as SenderTrust },
    replayOf: row.replay_of ?? row.amended_replay_of,
    decryptedLaterAt: row.type === null ? row.amended_at : null,
  };
}
