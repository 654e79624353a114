/**
 * Brings together the facts that the decision list asks for, at the moment it is asked: when an event arrives, and again before
 * its handler starts. And makes the drafts of answers and receipts.
 */
import type { Clock, EpochMs } from "../clock.ts";
import type { OwnIdentity } from "../crypto/ownIdentity.ts";
import type { Handler } from "../handlers/handler.ts";
import type { Registry } from "../handlers/registry.ts";
import type { InboxEntry } from "../journal/inboxEntry.ts";
import type { Draft } from "../journal/outboxEntry.ts";
import type { RoomStates } from "../journal/roomStates.ts";
import type { Logger } from "../logging.ts";
import { decide, warningsFor, type AnswerPolicy, type Decision, type DecisionInput } from "../protocol/decision.ts";
import type { Dialect } from "../protocol/dialects.ts";
import type { JsonObject } from "../protocol/json.ts";
import { buildResponse, type Message, type ReasonCode } from "../protocol/responses.ts";
import { owesReceipt, type ReceiptRooms } from "../protocol/receipts.ts";
import { txnIdFor } from "../protocol/transactionIds.ts";
import type { OpenedEvent } from "../crypto/openEvent.ts";
import { isTrusted } from "../crypto/trusted.ts";

export interface Answer {
  readonly dialect: Dialect;
  readonly status: "success" | "error";
  readonly code?: ReasonCode;
  readonly messages: readonly Message[];
  readonly extra?: JsonObject;
  /** Milliseconds since the Unix epoch. */
  readonly expiresAt: number;
}

/** What an event can cause; transaction IDs are derived from it. */
const RESPONSE = "response";
const RECEIPT = "receipt";
/** Nobody looks for a receipt longer than this. */
const RECEIPT_PATIENCE_MS = 24 * 60 * 60 * 1000;

export class Judge {
  private readonly own: OwnIdentity;
  private readonly policy: () => AnswerPolicy;
  private readonly registry: () => Registry;
  private readonly receiptRooms: () => ReceiptRooms;
  private readonly rooms: RoomStates;
  private readonly clock: Clock;
  private readonly log: Logger;

  constructor(ports: {
    own: OwnIdentity;
    /** Both are asked for with each event: an operator may change them. */
    policy: () => AnswerPolicy;
    registry: () => Registry;
    /** In which rooms senders get receipts; `none` also where the homeserver does not take them. */
    receiptRooms: () => ReceiptRooms;
    rooms: RoomStates;
    clock: Clock;
    log: Logger;
  }) {
    this.own = ports.own;
    this.policy = ports.policy;
    this.registry = ports.registry;
    this.receiptRooms = ports.receiptRooms;
    this.rooms = ports.rooms;
    this.clock = ports.clock;
    this.log = ports.log;
  }

  /** @param replay the same ciphertext came before under another event ID */
  judge(entry: InboxEntry, opened: OpenedEvent, replay: boolean): Decision {
    return decide({
      ...this.circumstances(entry, opened),
      own: this.own,
      receivedAt: entry.receivedAt,
      now: this.clock.now(),
      replay,
      redacted: entry.redacted,
      hasHandler: this.handlerOf(opened) !== null,
    });
  }

  /** What an answer begins with now: what is known of the request's sender may have changed since it was judged. */
  warnings(entry: InboxEntry, opened: OpenedEvent): readonly Message[] {
    return warningsFor(this.circumstances(entry, opened));
  }

  /** Until when a handler, or an answer that needs none, may be waited for. */
  handlerDeadline({ expiresAt }: { readonly expiresAt: EpochMs }): EpochMs {
    return expiresAt - 2 * this.policy().sendMarginMs;
  }

  private circumstances(
    entry: InboxEntry,
    opened: OpenedEvent,
  ): Pick<DecisionInput, "event" | "roomEncrypted" | "policy"> {
    return {
      event: {
        type: opened.type,
        sender: entry.event.sender,
        content: opened.content,
        originServerTs: entry.event.origin_server_ts,
        encrypted: opened.encryptedAs !== null,
        trusted: isTrusted(opened.trust),
      },
      roomEncrypted: this.rooms.view(entry.event.room_id)?.everEncrypted ?? false,
      policy: this.policy(),
    };
  }

  handlerOf(opened: OpenedEvent): Handler | null {
    return this.registry().find(opened.type, opened.content);
  }

  /** The answer as it goes to the outbox; encrypted if the request was, whatever the room's state says. */
  draft(entry: InboxEntry, opened: OpenedEvent, answer: Answer): Draft {
    const { dialect, status, code, messages, extra, expiresAt } = answer;
    const { type, content, dropped } = buildResponse({
      dialect,
      fromDevice: this.own.deviceId,
      requestEventId: entry.event.event_id,
      status,
      messages,
      ...(code === undefined ? {} : { code }),
      ...(extra === undefined ? {} : { extra }),
    });
    if (dropped.length > 0) {
      const { room_id: roomId, event_id: eventId } = entry.event;
      this.log.warn({ roomId, eventId, dropped }, "the answer goes out without properties that can't be sent");
    }
    return {
      causeEventId: entry.event.event_id,
      purpose: RESPONSE,
      lane: "response",
      roomId: entry.event.room_id,
      type,
      content,
      mustEncrypt: opened.encryptedAs !== null,
      txnId: txnIdFor(entry.event.event_id, RESPONSE),
      expiresAt,
    };
  }

  /** The receipt that an event in the clear is owed, as it goes to the outbox: one draft, or none. */
  receipt(entry: InboxEntry, replay: boolean): readonly Draft[] {
    const { event } = entry;
    const owed = owesReceipt(
      {
        own: event.sender === this.own.userId,
        state: event.state_key !== undefined,
        beforeJoin: entry.beforeJoin,
        replay,
        redacted: entry.redacted,
        room: this.rooms.view(event.room_id),
      },
      this.receiptRooms(),
    );
    if (!owed) return [];
    return [
      {
        causeEventId: event.event_id,
        purpose: RECEIPT,
        lane: "receipt",
        roomId: event.room_id,
        type: "m.receipt",
        content: {},
        mustEncrypt: false,
        txnId: txnIdFor(event.event_id, RECEIPT),
        expiresAt: this.clock.now() + RECEIPT_PATIENCE_MS,
      },
    ];
  }
}
