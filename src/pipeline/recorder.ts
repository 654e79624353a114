/** Every selected event into the record, before any decision about it; what can't be read yet too. */
import type { EpochMs } from "../clock.ts";
import type { Undecryptable } from "../crypto/cryptoEngine.ts";
import type { InboxEntry } from "../journal/inboxEntry.ts";
import type { EventId, UserId } from "../protocol/ids.ts";
import { typeMatcher } from "../protocol/typePatterns.ts";
import type { NewRecord, RecordedTrust, RecordReceipt } from "../record/record.ts";
import type { RecordStore } from "../record/recordStore.ts";
import type { OpenedEvent } from "../crypto/openEvent.ts";

export interface Recordable {
  readonly entry: InboxEntry;
  readonly opened: OpenedEvent | Undecryptable;
  /** The event ID that the same ciphertext came under first; null where this is the first. */
  readonly replayOf: EventId | null;
}

export class Recorder {
  private readonly record: RecordStore;
  private readonly types: () => readonly string[];
  private readonly identityChangedAt: (userId: UserId) => EpochMs | null;

  /**
   * @param types event types to record: exact, or with `*` at the end; asked for each batch
   * @param identityChangedAt when a user's identity last became another one
   */
  constructor(
    record: RecordStore,
    types: () => readonly string[],
    identityChangedAt: (userId: UserId) => EpochMs | null = () => null,
  ) {
    this.record = record;
    this.types = types;
    this.identityChangedAt = identityChangedAt;
  }

  /**
   * Durable when it resolves. Text that comes later is added to what the record has: whether it is needed is the record's to say, since the bot may have been
   * killed before the journal knew that the event was to wait. So is what is known of the sender by now, where it is not what was known.
   */
  async keep(events: readonly Recordable[]): Promise<void> {
    const types = this.types();
    const selects = typeMatcher(types);
    // Events whose type nobody can read yet: it may be a selected one, if any is.
    const selected = events.filter(({ opened }) =>
      opened.kind === "undecryptable" ? types.length > 0 : selects(opened.type),
    );
    await this.record.append(selected.map((event) => this.toRecord(event)));
    for (const event of events) {
      const { entry, opened, replayOf } = event;
      const { event_id: eventId } = entry.event;
      if (opened.kind === "clear" && !selects(opened.type)) continue;
      const { clear } = this.toRecord(event);
      if (opened.kind === "clear" && this.record.lacksText(eventId)) await this.record.amend(eventId, clear, replayOf);
      else await this.record.note(eventId, clear);
    }
  }

  /** Proof that an event is in the record; null where the selection leaves it out. */
  receipt(eventId: EventId): RecordReceipt | null {
    return this.record.receipt(eventId);
  }

  private toRecord({ entry, opened, replayOf }: Recordable): NewRecord {
    return {
      original: entry.event,
      receivedAt: entry.receivedAt,
      arrival: entry.arrival,
      clear:
        opened.kind === "clear"
          ? { kind: "clear", type: opened.type, content: opened.content, trust: this.trustOf(entry, opened) }
          : {
              kind: "undecryptable",
              reason: opened.reason,
              ...(opened.withheldCode === undefined ? {} : { withheldCode: opened.withheldCode }),
            },
      replayOf,
    };
  }

  private trustOf({ event }: InboxEntry, { trust, encryptedAs }: OpenedEvent): RecordedTrust {
    const identityChangedAt = encryptedAs === null ? null : this.identityChangedAt(event.sender);
    return identityChangedAt === null ? trust : { ...trust, identityChangedAt };
  }
}
