/**
 * The delivery receipts (MSC4089) that the independent sender has seen: each once, in order of arrival, however often the
 * server says it. Read receipts are none.
 */
import type { JsonObject } from "../../src/protocol/json.ts";
import { asObject } from "./seenEvent.ts";

export interface DeliveryReceipt {
  /** Who received the event. */
  readonly userId: string;
  readonly type: string;
  /** Local time when the sync with it arrived, in milliseconds since the epoch. */
  readonly receivedAtMs: number;
  /** The server's time of it; null where it says none. */
  readonly ts: number | null;
}

const TYPES = ["m.delivery", "org.matrix.msc4089.delivery"];

export class DeliveryReceipts {
  readonly #byEvent = new Map<string, DeliveryReceipt[]>();

  /** Takes an ephemeral event of a room; ignores all but `m.receipt`. */
  take(ephemeral: JsonObject, receivedAtMs: number): void {
    if (ephemeral["type"] !== "m.receipt") return;
    for (const [eventId, byType] of Object.entries(asObject(ephemeral["content"]))) {
      const known = this.#byEvent.get(eventId) ?? [];
      for (const type of TYPES) {
        for (const [userId, data] of Object.entries(asObject(asObject(byType)[type]))) {
          if (known.some((receipt) => receipt.userId === userId && receipt.type === type)) continue;
          const { ts } = asObject(data);
          known.push({ userId, type, receivedAtMs, ts: typeof ts === "number" ? ts : null });
        }
      }
      if (known.length > 0) this.#byEvent.set(eventId, known);
    }
  }

  of(eventId: string): readonly DeliveryReceipt[] {
    return this.#byEvent.get(eventId) ?? [];
  }
}
