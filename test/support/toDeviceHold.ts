/**
 * To-device messages on their way through a proxy to one device: held back, handed out later, in another order or twice. As on a
 * server, a message is handed out again if the reply that had it did not get through.
 */
import { isJsonObject, type JsonValue } from "../../src/protocol/json.ts";

export interface ChangedSync {
  /** That the client is to have. */
  readonly text: string;
  /** To be called when the client has it whole. */
  readonly delivered: () => void;
}

export class ToDeviceHold {
  #holding = false;
  /** By the token that was asked from: a reply that was lost comes again with the same messages. */
  readonly #held = new Map<string, readonly JsonValue[]>();
  #released: readonly JsonValue[] = [];

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

  /** @param since of the sync request. @param text the homeserver's response, with status 200 */
  apply(since: string, text: string): ChangedSync {
    const nothing: ChangedSync = { text, delivered: () => undefined };
    if (!this.#holding && this.#released.length === 0) return nothing;
    const response = JSON.parse(text) as JsonValue;
    if (!isJsonObject(response)) return nothing;
    const toDevice = isJsonObject(response["to_device"]) ? response["to_device"] : {};
    const events = Array.isArray(toDevice["events"]) ? toDevice["events"] : [];
    if (this.#holding) {
      if (events.length > 0) this.#held.set(since, events);
      return { ...nothing, text: JSON.stringify({ ...response, to_device: { events: [] } }) };
    }
    const handedOut = this.#released;
    return {
      text: JSON.stringify({ ...response, to_device: { events: [...handedOut, ...events] } }),
      delivered: () => {
        this.#released = this.#released.filter((event) => !handedOut.includes(event));
      },
    };
  }
}
