/** The door to the record: what was received, kept whatever was decided about it. */
import type { EpochMs } from "../clock.ts";
import type { SenderTrust, UndecryptableReason, WithheldCode } from "../crypto/cryptoEngine.ts";
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
    | { readonly kind: "clear"; readonly type: string; readonly content: JsonObject; readonly trust: RecordedTrust }
    | {
        readonly kind: "undecryptable";
        readonly reason: UndecryptableReason;
        /** Where the key is withheld: the code that the sender's client gave. */
        readonly withheldCode?: WithheldCode;
      };
  /** The event ID under which the same ciphertext came first; null where this is the first. */
  readonly replayOf: EventId | null;
}

/** What was known of the sender when the event was decrypted. */
export interface RecordedTrust extends SenderTrust {
  /** When the sender's identity last became another one; left out where that was never seen. */
  readonly identityChangedAt?: EpochMs;
}

/** Something else than before was found about an entry: how far its sender is trusted, or why it can't be read. */
export interface Finding {
  readonly foundAt: EpochMs;
  readonly trust?: RecordedTrust;
  readonly reason?: UndecryptableReason;
  readonly withheldCode?: WithheldCode;
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
  /** In the order in which they were made. */
  readonly findings: readonly Finding[];
}

export interface Record {
  /** Idempotent by event ID; resolves after fsync. @throws StoreFailed */
  append(entries: readonly NewRecord[]): Promise<readonly RecordReceipt[]>;
  /** A late key: clear text for an entry that had none. A further fact, never a rewrite of the first. @throws StoreFailed */
  amend(eventId: EventId, clear: NewRecord["clear"], replayOf: EventId | null): Promise<RecordReceipt>;
  /** What is found about an entry now; written where it is not what was found last. @throws StoreFailed */
  note(eventId: EventId, clear: NewRecord["clear"]): Promise<void>;
  /** Null where the event is not in the record. */
  find(eventId: EventId): Promise<RecordEntry | null>;
}
