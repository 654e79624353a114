/** An entry of the outbox, as those who send see it and as its row stands in the table. */
import type { EpochMs } from "../clock.ts";
import type { EventId, RoomId, TxnId } from "../protocol/ids.ts";
import type { JsonObject } from "../protocol/json.ts";

export type Lane = "response" | "receipt" | "notice";

/** For what has no end: it is sent whenever it can be. */
export const NO_END: EpochMs = Number.MAX_SAFE_INTEGER;

/** Something to be sent because of an event. */
export interface Draft {
  /** For a notice, which no event causes, the room's ID. */
  readonly causeEventId: EventId;
  /** Together with the cause: what makes it unique, and what its transaction ID is derived from. */
  readonly purpose: string;
  readonly lane: Lane;
  readonly roomId: RoomId;
  readonly type: string;
  readonly content: JsonObject;
  /** The request was encrypted: its answer is, whatever the room's state says. */
  readonly mustEncrypt: boolean;
  readonly txnId: TxnId;
  /** It must not arrive later than this. */
  readonly expiresAt: EpochMs;
}

export interface OutboxEntry extends Draft {
  readonly id: number;
  /** Attempts before this one. */
  readonly attempts: number;
  /** An earlier attempt may have taken effect. */
  readonly doubtful: boolean;
  /** The room has to be asked first whether it has this already: another copy of the data directory may have sent it. */
  readonly askFirst: boolean;
  /** When its cause was received. */
  readonly receivedAt: EpochMs;
}

export type DropReason = "expired" | "refused" | "not_in_room" | "too_large" | "too_many_waiting" | "withdrawn";

export type SendOutcome =
  /** `eventId`: null for a receipt, which is no event. */
  | { readonly kind: "sent"; readonly eventId: EventId | null }
  /** `doubtful`: it may have arrived all the same. */
  | { readonly kind: "dropped"; readonly reason: DropReason; readonly doubtful: boolean }
  | { readonly kind: "retry"; readonly notBefore: EpochMs; readonly doubtful: boolean };

export interface OutboxRow {
  id: number;
  cause_event_id: EventId;
  purpose: string;
  lane: Lane;
  room_id: RoomId;
  type: string;
  content: string;
  must_encrypt: number;
  txn_id: TxnId;
  expires_at: number;
  attempts: number;
  doubtful: number;
  cause_received_at: number;
  ask_first: number;
}

/** The homeserver's clock may differ from ours. */
const CLOCK_DIFFERENCE_MS = 10 * 60_000;
const CAUSE = "FROM inbox WHERE inbox.event_id = cause_event_id";

export const SELECT_ROW = `
  SELECT id, cause_event_id, purpose, lane, room_id, type, content, must_encrypt, txn_id, expires_at, attempts, doubtful,
    coalesce((SELECT received_at ${CAUSE}), queued_at) AS cause_received_at,
    coalesce((SELECT json_extract(raw, '$.origin_server_ts') ${CAUSE}), queued_at) - ${CLOCK_DIFFERENCE_MS}
      < coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'restored_at'), 0) AS ask_first
  FROM outbox`;

export function toEntry(row: OutboxRow): OutboxEntry {
  return {
    id: row.id,
    causeEventId: row.cause_event_id,
    purpose: row.purpose,
    lane: row.lane,
    roomId: row.room_id,
    type: row.type,
    content: JSON.parse(row.content) as JsonObject,
    mustEncrypt: row.must_encrypt === 1,
    txnId: row.txn_id,
    expiresAt: row.expires_at,
    attempts: row.attempts,
    doubtful: row.doubtful === 1,
    askFirst: row.ask_first === 1,
    receivedAt: row.cause_received_at,
  };
}
