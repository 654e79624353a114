/**
 * The record in `docket.db`: append-only, one entry for each event ID, on disk when `append` resolves. An entry is never
 * rewritten: clear text that comes later stands in an amendment beside it, so both facts stay visible.
 */
import type { Clock } from "../clock.ts";
import type { UndecryptableReason, WithheldCode } from "../crypto/cryptoEngine.ts";
import type { Database } from "../journal/database.ts";
import type { RawEvent } from "../protocol/events.ts";
import type { EventId, RoomId } from "../protocol/ids.ts";
import type { JsonObject } from "../protocol/json.ts";
import type { Arrival, Finding, NewRecord, Record, RecordedTrust, RecordEntry, RecordReceipt } from "./record.ts";

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
  withheld_code: WithheldCode | null;
  replay_of: EventId | null;
  amended_at: number | null;
  amended_type: string | null;
  amended_content: string | null;
  amended_trust: string | null;
  amended_replay_of: EventId | null;
  findings: string | null;
}

interface FindingRow {
  found_at: number;
  trust: string | null;
  undecryptable: UndecryptableReason | null;
  withheld_code: WithheldCode | null;
}

const SELECT_ENTRY = `
  SELECT e.*, a.amended_at, a.type AS amended_type, a.content AS amended_content, a.trust AS amended_trust, a.replay_of AS amended_replay_of,
    (SELECT json_group_array(json_object('found_at', found_at, 'trust', trust, 'undecryptable', undecryptable, 'withheld_code', withheld_code) ORDER BY id)
     FROM findings f WHERE f.entry = e.entry) AS findings
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

  async note(eventId: EventId, clear: NewRecord["clear"]): Promise<void> {
    const now = clear.kind === "clear" ? { trust: JSON.stringify(clear.trust) } : undecryptableRow(clear);
    const { trust, undecryptable, withheld_code: withheldCode } = { ...nothingFound, ...now };
    const last = this.lastFound(eventId);
    if (
      last === null ||
      (last.trust === trust && last.undecryptable === undecryptable && last.withheld_code === withheldCode)
    )
      return;
    this.database.transaction(() => {
      this.database
        .prepare(
          "INSERT INTO findings (entry, found_at, trust, undecryptable, withheld_code) SELECT entry, ?, ?, ?, ? FROM entries WHERE event_id = ?",
        )
        .run(this.clock.now(), trust, undecryptable, withheldCode, eventId);
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

  /** What was found about an entry last; null where there is no entry. */
  private lastFound(eventId: EventId): Omit<FindingRow, "found_at"> | null {
    const row = this.database
      .prepare<Omit<FindingRow, "found_at">>(
        `SELECT * FROM (
           SELECT f.trust, f.undecryptable, f.withheld_code FROM findings f JOIN entries e ON e.entry = f.entry
           LEFT JOIN amendments a ON a.entry = e.entry
           WHERE e.event_id = ? AND f.found_at >= coalesce(a.amended_at, 0) ORDER BY f.id DESC LIMIT 1)
         UNION ALL
         SELECT coalesce(a.trust, e.trust), iif(a.entry IS NULL, e.undecryptable, NULL), iif(a.entry IS NULL, e.withheld_code, NULL)
         FROM entries e LEFT JOIN amendments a ON a.entry = e.entry WHERE e.event_id = ?`,
      )
      .get(eventId, eventId);
    return row ?? null;
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
        `INSERT INTO entries (event_id, room_id, sender, origin_server_ts, received_at, recorded_at, arrival, original, type, content, trust, undecryptable, withheld_code, replay_of)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (event_id) DO NOTHING`,
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
        clear.kind === "undecryptable" ? (clear.withheldCode ?? null) : null,
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
        ? {
            kind: "undecryptable",
            reason: row.undecryptable ?? "failed",
            ...(row.withheld_code === null ? {} : { withheldCode: row.withheld_code }),
          }
        : {
            kind: "clear",
            type,
            content: JSON.parse(content) as JsonObject,
            trust: JSON.parse(trust) as RecordedTrust,
          },
    replayOf: row.replay_of ?? row.amended_replay_of,
    decryptedLaterAt: row.type === null ? row.amended_at : null,
    findings: (JSON.parse(row.findings ?? "[]") as FindingRow[]).map(toFinding),
  };
}

const nothingFound = { trust: null, undecryptable: null, withheld_code: null };

function undecryptableRow(clear: Extract<NewRecord["clear"], { kind: "undecryptable" }>) {
  return { undecryptable: clear.reason, withheld_code: clear.withheldCode ?? null };
}

function toFinding({ found_at: foundAt, trust, undecryptable, withheld_code: withheldCode }: FindingRow): Finding {
  return {
    foundAt,
    ...(trust === null ? {} : { trust: JSON.parse(trust) as RecordedTrust }),
    ...(undecryptable === null ? {} : { reason: undecryptable }),
    ...(withheldCode === null ? {} : { withheldCode }),
  };
}
