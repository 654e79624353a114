/** The door to the record: what was received, kept whatever was decided about it. */
import type { EpochMs } from "../clock.ts";
import type { SenderTrust, UndecryptableReason } from "../crypto/cryptoEngine.ts";
import type { RawEvent } from "../protocol/events.ts";
import type { EventId } from "../protocol/ids.ts";
import type { JsonObject } from "../protocol/json.ts";

export type Arrival = "live" | "gap";

export interface NewRecord {
  /** As the server sent it: for an encrypted event, the ciphertext. */
  readonly original: RawEvent;
  readonly receivedAt: EpochMs;
  readonly arrival: Arrival;
  /** The clear event, or why there is none yet. For a plain event, its own type and content. */
  readonly clear:
    | { readonly kind: "clear"; readonly type: string; readonly content: JsonObject; readonly trust: SenderTrust }
    | { readonly kind: "undecryptable"; readonly reason: UndecryptableReason };
  /** The event ID under which the same ciphertext came first; null where this is the first. */
  readonly replayOf: EventId | null;
}

/** Proof that an event is on disk. */
export interface RecordReceipt {
  readonly eventId: EventId;
  /** Place in the record, counted from 1. */
  readonly entry: number;
  readonly recordedAt: EpochMs;
}

/** What `docket record show` prints. */
export interface RecordEntry extends NewRecord {
  readonly entry: number;
  readonly recordedAt: EpochMs;
  /** When the clear text came later than the event; null where it did not. */
  readonly decryptedLaterAt: EpochMs | null;
}

export interface Record {
  /** Idempotent by event ID; resolves after fsync. @throws StoreFailed */
  append(entries: readonly NewRecord[]): Promise<readonly RecordReceipt[]>;
  /** A late key: clear text for an entry that had none. A further fact, never a rewrite of the first. @throws StoreFailed */
  amend(eventId: EventId, clear: NewRecord["clear"], replayOf: EventId | null): Promise<RecordReceipt>;
  /** Null where the event is not in the record. */
  find(eventId: EventId): Promise<RecordEntry | null>;
}
