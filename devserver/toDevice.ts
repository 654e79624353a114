/**
 * To-device messages: kept for a device until it syncs with a token that covers them; a test may hold them back
 * and let them go late or in another order.
 */
import type { JsonObject } from "../src/protocol/json.ts";
import type { Stream } from "./changes.ts";

interface Queued {
  readonly position: number;
  readonly event: JsonObject;
}

interface Queue {
  waiting: Queued[];
  /** Null unless a test holds this device's messages. */
  held: JsonObject[] | null;
}

/** As Synapse: one sync carries at most this many. */
const AT_MOST = 100;

export class ToDevice {
  readonly #queues = new Map<string, Queue>();
  readonly #stream: Stream;

  constructor(stream: Stream) {
    this.#stream = stream;
  }

  send(userId: string, deviceId: string, event: JsonObject): void {
    const queue = this.#queue(userId, deviceId);
    if (queue.held === null) queue.waiting.push({ position: this.#stream.advance(), event });
    else {
      queue.held.push(event);
      this.#stream.touch();
    }
  }

  /** Forgets what a sync token of the device has acknowledged. */
  acknowledge(userId: string, deviceId: string, upTo: number): void {
    const queue = this.#queue(userId, deviceId);
    queue.waiting = queue.waiting.filter((queued) => queued.position > upTo);
  }

  /** What comes after `since`, and up to which position the next token counts. */
  after(userId: string, deviceId: string, since: number): { events: JsonObject[]; upTo: number } {
    const waiting = this.#queue(userId, deviceId).waiting.filter((queued) => queued.position > since);
    const page = waiting.slice(0, AT_MOST);
    const last = page.at(-1);
    return {
      events: page.map((queued) => queued.event),
      upTo: waiting.length > AT_MOST && last !== undefined ? last.position : this.#stream.position,
    };
  }

  pending(userId: string, deviceId: string): readonly JsonObject[] {
    return this.#queue(userId, deviceId).waiting.map((queued) => queued.event);
  }

  /** From now on messages for the device are kept back until `release`. */
  hold(userId: string, deviceId: string): void {
    this.#queue(userId, deviceId).held ??= [];
  }

  held(userId: string, deviceId: string): readonly JsonObject[] {
    return this.#queue(userId, deviceId).held ?? [];
  }

  /** Delivers what was held, in the order that `arrange` gives it, and holds no more. */
  release(
    userId: string,
    deviceId: string,
    arrange: (held: readonly JsonObject[]) => readonly JsonObject[] = (held) => held,
  ): void {
    const queue = this.#queue(userId, deviceId);
    const events = arrange(queue.held ?? []);
    queue.held = null;
    for (const event of events) this.send(userId, deviceId, event);
  }

  forget(userId: string, deviceId: string): void {
    this.#queues.delete(`${userId}\u0000${deviceId}`);
  }

  #queue(userId: string, deviceId: string): Queue {
    const key = `${userId}\u0000${deviceId}`;
    let queue = this.#queues.get(key);
    if (queue === undefined) this.#queues.set(key, (queue = { waiting: [], held: null }));
    return queue;
  }
}
