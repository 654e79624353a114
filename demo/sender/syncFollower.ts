/**
 * The independent sender's sync loop and what it has seen: rooms, invites, delivery receipts, and every event in order of
 * arrival. Gaps of limited timelines are filled at once; an event whose key is missing is tried again after each sync that brings to-device
 * messages. `waitFor` is woken by the loop: nothing polls.
 */
import type { JsonObject, JsonValue } from "../../src/protocol/json.ts";
import { DeliveryReceipts } from "./deliveryReceipts.ts";
import { type MatrixHttp, pause, segment } from "./matrixHttp.ts";
import { asArray, asObject, readMessageIndex, type SeenEvent } from "./seenEvent.ts";
import type { ClearText, SenderCrypto } from "./senderCrypto.ts";
import { SenderRoom } from "./senderRoom.ts";

const LONG_POLL_MS = 30_000;
const RETRY_MS = 200;
/** In the address of a request; a longer filter is kept by the server. */
const LONGEST_FILTER = 1500;

/** Looks for something; undefined when it is not there yet. */
export type Probe<Found> = () => Found | undefined | Promise<Found | undefined>;

/** Whose sync it is, and which rooms are left out of it. */
export interface Followed {
  readonly userId: string;
  readonly ignoredRooms: readonly string[];
}

export class SyncFollower {
  readonly rooms = new Map<string, SenderRoom>();
  /** By event ID, in order of arrival. A late key replaces the entry in place. */
  readonly events = new Map<string, SeenEvent>();
  /** Room IDs of open invites. */
  readonly invites = new Set<string>();
  readonly receipts = new DeliveryReceipts();
  /** The last failure of the loop, which goes on after it. */
  lastError: unknown = null;

  readonly #http: MatrixHttp;
  readonly #crypto: SenderCrypto;
  readonly #of: Followed;
  #filter: string | null = null;
  readonly #stopping = new AbortController();
  readonly #wakers = new Set<() => void>();
  /** Rooms whose member list may have a gap: `/members` is asked before the next encryption. */
  readonly #staleMembers = new Set<string>();
  #syncs = 0;
  #since: string | null = null;
  #loop: Promise<void> | null = null;

  constructor(http: MatrixHttp, crypto: SenderCrypto, of: Followed) {
    this.#http = http;
    this.#crypto = crypto;
    this.#of = of;
  }

  /** Takes the first sync, then follows in the background until `stop`. */
  async start(): Promise<void> {
    if (this.#loop !== null) throw new Error("this sender has been started already");
    await this.#syncOnce(0);
    this.#loop = this.#follow();
  }

  /** Ends the long poll at once. May be called more than once. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
    this.#wake();
  }

  /**
   * Asks `probe` now and after every sync, until it gives something else than undefined.
   * @param timeoutMs milliseconds
   * @param what what is waited for, for the error
   * @throws Error when the time is over or the sender was stopped
   */
  async waitFor<Found>(probe: Probe<Found>, timeoutMs: number, what: string): Promise<Found> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const syncs = this.#syncs;
      const found = await probe();
      if (found !== undefined) return found;
      const leftMs = deadline - Date.now();
      if (leftMs <= 0 || this.#stopping.signal.aborted) {
        const why = this.#stopping.signal.aborted ? "the sender was stopped" : `${timeoutMs} ms are over`;
        throw new Error(`waited for ${what}: ${why}`, { cause: this.lastError ?? undefined });
      }
      // A sync that came while an asynchronous probe was looking may have brought it.
      if (syncs !== this.#syncs) continue;
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          clearTimeout(timer);
          this.#wakers.delete(wake);
          resolve();
        };
        const timer = setTimeout(wake, leftMs);
        this.#wakers.add(wake);
      });
    }
  }

  /** What is known of a room, its member list up to date. @throws Error for a room never seen */
  async room(roomId: string): Promise<SenderRoom> {
    const room = this.rooms.get(roomId);
    if (room === undefined) throw new Error(`this sender has not seen the room ${roomId}`);
    if (this.#staleMembers.delete(roomId)) {
      const answer = await this.#http.call("GET", `/_matrix/client/v3/rooms/${segment(roomId)}/members`);
      for (const event of asArray(answer["chunk"])) room.applyState(asObject(event));
    }
    return room;
  }

  /** Asks for the state as it is: a sync may show a new room while the homeserver is still making it. */
  async learnState(roomId: string): Promise<void> {
    const room = await this.room(roomId);
    // The answer is an array; its values are the events.
    const state = await this.#http.call("GET", `/_matrix/client/v3/rooms/${segment(roomId)}/state`);
    for (const event of Object.values(state)) room.applyState(asObject(event));
  }

  async #follow(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      try {
        await this.#syncOnce(LONG_POLL_MS);
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        this.lastError = error;
        await pause(RETRY_MS, this.#stopping.signal).catch(() => undefined);
      }
    }
  }

  async #syncOnce(timeoutMs: number): Promise<void> {
    const sync = await this.#http.call("GET", "/_matrix/client/v3/sync", {
      query: {
        timeout: String(timeoutMs),
        filter: (this.#filter ??= await this.#chooseFilter()),
        ...(this.#since === null ? {} : { since: this.#since }),
      },
      signal: this.#stopping.signal,
      timeoutMs: timeoutMs + 15_000,
    });
    const receivedAtMs = Date.now();
    await this.#crypto.receive(sync);
    if (asArray(asObject(sync["to_device"])["events"]).length > 0) await this.#retryUndecryptable();
    const rooms = asObject(sync["rooms"]);
    for (const roomId of Object.keys(asObject(rooms["invite"]))) this.invites.add(roomId);
    for (const [roomId, data] of [
      ...Object.entries(asObject(rooms["join"])),
      ...Object.entries(asObject(rooms["leave"])),
    ]) {
      await this.#takeRoom(roomId, asObject(data), receivedAtMs);
    }
    this.#since = String(sync["next_batch"]);
    this.#wake();
  }

  async #chooseFilter(): Promise<string> {
    const { userId, ignoredRooms } = this.#of;
    const ignored = ignoredRooms.length === 0 ? {} : { not_rooms: ignoredRooms };
    const filter = { presence: { types: [] }, room: { timeline: { limit: 100 }, ...ignored } };
    const text = JSON.stringify(filter);
    if (text.length <= LONGEST_FILTER) return text;
    const path = `/_matrix/client/v3/user/${segment(userId)}/filter`;
    return String((await this.#http.call("POST", path, { body: filter }))["filter_id"]);
  }

  async #takeRoom(roomId: string, data: JsonObject, receivedAtMs: number): Promise<void> {
    const room = this.rooms.get(roomId) ?? new SenderRoom(roomId);
    this.rooms.set(roomId, room);
    this.invites.delete(roomId);
    for (const event of asArray(asObject(data["ephemeral"])["events"]))
      this.receipts.take(asObject(event), receivedAtMs);
    const timeline = asObject(data["timeline"]);
    const missed: JsonObject[] = [];
    if (timeline["limited"] === true) {
      this.#staleMembers.add(roomId);
      if (this.#since !== null) missed.push(...(await this.#gap(roomId, timeline["prev_batch"], this.#since)));
    }
    for (const event of asArray(asObject(data["state"])["events"])) room.applyState(asObject(event));
    for (const value of [...missed, ...asArray(timeline["events"])]) {
      const wire = asObject(value);
      room.applyState(wire);
      const eventId = String(wire["event_id"]);
      if (!this.events.has(eventId)) this.events.set(eventId, await this.#read(roomId, wire, receivedAtMs));
    }
  }

  /** What a limited timeline left out, oldest first. */
  async #gap(roomId: string, prevBatch: JsonValue | undefined, since: string): Promise<JsonObject[]> {
    const newestFirst: JsonObject[] = [];
    for (let from = prevBatch; typeof from === "string";) {
      const page = await this.#http.call("GET", `/_matrix/client/v3/rooms/${segment(roomId)}/messages`, {
        query: { dir: "b", from, to: since, limit: "100" },
        signal: this.#stopping.signal,
      });
      const chunk = asArray(page["chunk"]).map(asObject);
      newestFirst.push(...chunk);
      from = chunk.length === 0 ? undefined : page["end"];
    }
    return newestFirst.reverse();
  }

  async #retryUndecryptable(): Promise<void> {
    for (const [eventId, event] of this.events) {
      if (event.undecryptable === null) continue;
      this.events.set(eventId, await this.#read(event.roomId, event.wire, Date.now()));
    }
  }

  async #read(roomId: string, wire: JsonObject, receivedAtMs: number): Promise<SeenEvent> {
    const content = asObject(wire["content"]);
    // A redacted ciphertext has no content left to decrypt.
    const encrypted = wire["type"] === "m.room.encrypted" && content["ciphertext"] !== undefined;
    const clear: ClearText | null = encrypted ? await this.#crypto.decrypt(wire, roomId) : null;
    return {
      roomId,
      eventId: String(wire["event_id"]),
      sender: String(wire["sender"]),
      type: clear?.ok === true ? clear.type : String(wire["type"]),
      content: clear?.ok === true ? clear.content : content,
      encrypted,
      undecryptable: clear?.ok === false ? clear.problem : null,
      senderDevice: clear?.ok === true ? clear.senderDevice : null,
      sessionId: encrypted ? String(content["session_id"]) : null,
      messageIndex: encrypted ? readMessageIndex(String(content["ciphertext"])) : null,
      receivedAtMs,
      wire,
    };
  }

  #wake(): void {
    this.#syncs += 1;
    for (const wake of this.#wakers) wake();
  }
}
