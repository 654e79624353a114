/** An entry of the inbox, as its stages see it and as its row stands in the table. */
import type { EpochMs } from "../clock.ts";
import type { RawEvent } from "../protocol/events.ts";
import type { EventId, RoomId } from "../protocol/ids.ts";

export interface InboxEntry {
  /** Place in the order of arrival. */
  readonly seq: number;
  readonly event: RawEvent;
  readonly receivedAt: EpochMs;
  readonly arrival: "live" | "gap";
  /** Redacted before its turn. */
  readonly redacted: boolean;
  /** From before we joined the room. */
  readonly beforeJoin: boolean;
  /** When the handler must have finished; null where nobody waits, and before the entry was decided. */
  readonly deadline: EpochMs | null;
}

export interface InboxRow {
  seq: number;
  event_id: EventId;
  room_id: RoomId;
  raw: string;
  received_at: number;
  arrival: "live" | "gap";
  redacted: number;
  before_join: number;
  deadline: number;
}

export const ENTRY_COLUMNS = "seq, event_id, room_id, raw, received_at, arrival, redacted, before_join, deadline";
/** Stands for "no deadline" in the column, so that the index orders it last. */
export const NO_DEADLINE = Number.MAX_SAFE_INTEGER;

export function toEntry(row: InboxRow): InboxEntry {
  return {
    seq: row.seq,
    event: JSON.parse(row.raw) as RawEvent,
    receivedAt: row.received_at,
    arrival: row.arrival,
    redacted: row.redacted === 1,
    beforeJoin: row.before_join === 1,
    deadline: row.deadline === NO_DEADLINE ? null : row.deadline,
  };
}
