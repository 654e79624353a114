/**
 * To-device messages on their way through a proxy to one device: held back, handed out later, in another order or twice. As on a
 * server, a message is handed out again until the client has shown, by asking from the token that came with it, that it has it.
 */
import { isJsonObject, type JsonValue } from "../../src/protocol/json.ts";

export class ToDeviceHold {
  #holding = false;
  /** By the token that was asked from: a reply that was lost comes again with the same messages. */
  readonly #held = new Map<string, readonly JsonValue[]>();
  #released: readonly JsonValue[] = [];
  /** The token that came with the released ones. */
  #handedOutWith: string | null = null;

  hold(): void {
    this.#holding = true;
  }

  /** How many messages are held back. */
  get count(): number {
    return [...this.#held.values()].flat().length;
  }

  /** @param order what the client shall get of those that were held, in which order */
  release(order: (held: readonly JsonValue[]) => readonly JsonValue[]): void {
    this.#holding = false;
    this.#released = [...this.#released, ...order([...this.#held.values()].flat())];
    this.#held.clear();
  }

  /** Whether a sync that waits should be answered now. */
  get pressing(): boolean {
    return !this.#holding && this.#released.length > 0;
  }

  /** @param since of the sync request. @returns the sync response that the client is to have */
  apply(since: string, text: string): string {
    if (this.#handedOutWith !== null && since === this.#handedOutWith) {
      this.#released = [];
      this.#handedOutWith = null;
    }
    if (!this.#holding && this.#released.length === 0) return text;
    const response = JSON.parse(text) as JsonValue;
    if (!isJsonObject(response)) return text;
    const toDevice = isJsonObject(response["to_device"]) ? response["to_device"] : {};
    const events = Array.isArray(toDevice["events"]) ? toDevice["events"] : [];
    if (this.#holding) {
      if (events.length > 0) this.#held.set(since, events);
      return JSON.stringify({ ...response, to_device: { events: [] } });
    }
    this.#handedOutWith = String(response["next_batch"]);
    return JSON.stringify({ ...response, to_device: { events: [...this.#released, ...events] } });
  }
}
