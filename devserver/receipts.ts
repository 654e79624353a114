/**
 * Delivery receipts (MSC4089): who has told whom that an event arrived. A receipt goes to the sender of its event alone, to
 * all devices of that user, once for each sync position; the same receipt again changes nothing but its count.
 */
import { isJsonObject, type JsonObject } from "../src/protocol/json.ts";
import type { Stream } from "./changes.ts";
import type { Room } from "./room.ts";

/** As tests see it. */
export interface DeliveryReceipt {
  /** Its place in the order of acceptance, from 1. */
  readonly index: number;
  readonly roomId: string;
  readonly eventId: string;
  readonly type: string;
  /** Who received the event. */
  readonly userId: string;
  /** The event's sender, who is told. */
  readonly to: string;
  /** Server receive time of the first post, milliseconds since the Unix epoch. */
  readonly ts: number;
  /** How often it was posted, the first time included. */
  readonly posted: number;
}

/** What a client posts. */
export interface PostedReceipt {
  readonly room: Room;
  readonly eventId: string;
  readonly type: string;
  readonly userId: string;
}

interface Kept {
  readonly position: number;
  receipt: DeliveryReceipt;
}

export class Receipts {
  readonly #kept = new Map<string, Kept>();
  /** By recipient and room, in order of position: a sync looks at the end alone. */
  readonly #inboxes = new Map<string, Kept[]>();
  readonly #stream: Stream;
  readonly #now: () => number;

  constructor(stream: Stream, now: () => number) {
    this.#stream = stream;
    this.#now = now;
  }

  /** Keeps a receipt, unless the room has no such event or it is the receiver's own. */
  post({ room, eventId, type, userId }: PostedReceipt): void {
    const event = room.event(eventId)?.original;
    const to = isJsonObject(event) ? event["sender"] : undefined;
    if (typeof to !== "string" || to === userId) return;
    const key = [room.id, eventId, type, userId].join("\u0000");
    const known = this.#kept.get(key);
    if (known !== undefined) {
      known.receipt = { ...known.receipt, posted: known.receipt.posted + 1 };
      this.#stream.touch();
      return;
    }
    const kept: Kept = {
      position: this.#stream.advance(),
      receipt: { index: this.#kept.size + 1, roomId: room.id, eventId, type, userId, to, ts: this.#now(), posted: 1 },
    };
    this.#kept.set(key, kept);
    const inbox = this.#inboxes.get(inboxKey(to, room.id));
    if (inbox === undefined) this.#inboxes.set(inboxKey(to, room.id), [kept]);
    else inbox.push(kept);
  }

  /** All receipts in `(since, upTo]` for this user in this room as one `m.receipt` event; null when there are none. */
  between(userId: string, roomId: string, since: number, upTo: number): JsonObject | null {
    const inbox = this.#inboxes.get(inboxKey(userId, roomId)) ?? [];
    const start = inbox.findLastIndex((kept) => kept.position <= since) + 1;
    const content: Record<string, Record<string, Record<string, JsonObject>>> = {};
    for (const { position, receipt } of inbox.slice(start)) {
      if (position > upTo) break;
      const byType = (content[receipt.eventId] ??= {});
      const byUser = (byType[receipt.type] ??= {});
      byUser[receipt.userId] = { ts: receipt.ts };
    }
    return Object.keys(content).length === 0 ? null : { type: "m.receipt", content };
  }

  /** In order of acceptance. @param after only those with a higher `index` */
  all(after = 0): DeliveryReceipt[] {
    return [...this.#kept.values()].slice(after).map((kept) => kept.receipt);
  }
}

function inboxKey(userId: string, roomId: string): string {
  return `${userId}\u0000${roomId}`;
}
