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
}

export const SELECT_ROW = `
  SELECT id, cause_event_id, purpose, lane, room_id, type, content, must_encrypt, txn_id, expires_at, attempts, doubtful,
    coalesce((SELECT received_at FROM inbox WHERE inbox.event_id = cause_event_id), queued_at) AS cause_received_at
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
    receivedAt: row.cause_received_at,
  };
}
