/**
 * Follows one room of an account that may be in many: asks the homeserver for that room, for messages to the device and for receipts,
 * and for nothing else.
 *
 * Guarantees: keys, what is known of the room, and the sync token of one response are on disk together, or none of them is. What stood
 * in a timeline since `follow` is told once, also where the homeserver left it out and it has to be fetched; an event without its key
 * is told when the key comes.
 */
import type { Clock, EpochMs } from "../clock.ts";
import type { CryptoEngine } from "../crypto/cryptoEngine.ts";
import { openEvent } from "../crypto/openEvent.ts";
import { ServerUnreachable } from "../errors.ts";
import type { Database } from "../journal/database.ts";
import type { RoomStates } from "../journal/roomStates.ts";
import type { RoomUpdate } from "../journal/syncBatch.ts";
import { setSyncPosition, syncPosition } from "../journal/syncPosition.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import { nextAttemptIn } from "../matrix/retries.ts";
import type { RawEvent } from "../protocol/events.ts";
import type { EventId, RoomId, SyncToken, UserId } from "../protocol/ids.ts";
import type { JsonObject } from "../protocol/json.ts";
import { readReceipts, type DeliveryReceipt } from "../protocol/receipts.ts";
import type { SyncReceiver } from "../session/syncLoop.ts";
import { readSyncResponse, type SyncContents } from "../session/syncResponse.ts";
import type { Gap, MissedEvents } from "./missedEvents.ts";
import type { Sighting } from "./tally.ts";

export interface RoomListener {
  /** An event of the timeline, in the clear. */
  sighted(sighting: Sighting): void;
  received(receipt: DeliveryReceipt, at: EpochMs): void;
}

export interface RoomFollowerPorts {
  readonly database: Database;
  readonly rooms: RoomStates;
  readonly engine: CryptoEngine;
  readonly homeserver: Homeserver;
  readonly missed: MissedEvents;
  readonly clock: Clock;
  readonly ownUser: UserId;
  readonly roomId: RoomId;
  readonly listener: RoomListener;
}

/** Encrypted events without a key that are kept in memory. The oldest go first. */
const MOST_UNREADABLE = 1_000;

/** What is asked for of one room. Members are not lazy-loaded: encryption needs all of them. */
export function filterOf(roomId: RoomId): JsonObject {
  return {
    presence: { not_types: ["*"] },
    account_data: { not_types: ["*"] },
    room: {
      rooms: [roomId],
      timeline: { limit: 100 },
      state: { lazy_load_members: false },
      ephemeral: { types: ["m.receipt"] },
      account_data: { not_types: ["*"] },
    },
  };
}

/** For the time before the room counts: what was said before the request is of no interest, and the room's state is asked for by itself. */
function filterBefore(roomId: RoomId): JsonObject {
  return {
    presence: { not_types: ["*"] },
    account_data: { not_types: ["*"] },
    room: {
      rooms: [roomId],
      timeline: { not_types: ["*"] },
      state: { not_types: ["*"] },
      ephemeral: { not_types: ["*"] },
      account_data: { not_types: ["*"] },
    },
  };
}

export class RoomFollower implements SyncReceiver {
  private readonly ports: RoomFollowerPorts;
  private following = false;
  /** Users whose devices may be other than we know, although no response has said so. */
  private doubted: readonly UserId[] = [];
  private readonly told = new Set<EventId>();
  private readonly unreadable = new Map<EventId, RawEvent>();

  constructor(ports: RoomFollowerPorts) {
    this.ports = ports;
  }

  position(): SyncToken | null {
    return syncPosition(this.ports.database);
  }

  /** Encrypted events since `follow` that could not be read so far. */
  get unread(): readonly RawEvent[] {
    return [...this.unreadable.values()];
  }

  async ready(): Promise<void> {}

  /**
   * One response without a wait: takes what came for the device while it was away. Repeated where the homeserver fails, within limits.
   * @throws ServerRefused | ServerUnreachable | Cancelled
   */
  async catchUp(stateAfter: boolean, signal: AbortSignal): Promise<void> {
    const { homeserver, clock, roomId } = this.ports;
    const startedAt = clock.now();
    for (let attempts = 1; ; attempts += 1) {
      try {
        const since = this.position();
        const request = {
          since,
          filter: this.following ? filterOf(roomId) : filterBefore(roomId),
          timeoutMs: 0,
          stateAfter,
        };
        await this.receive(await homeserver.sync(request, signal), since);
        return;
      } catch (error) {
        const waitMs = nextAttemptIn(error, { attempts, elapsedMs: clock.now() - startedAt, random: 1 });
        if (waitMs === null || signal.aborted) throw error;
        await clock.sleep(waitMs, signal);
      }
    }
  }

  /**
   * From now on the room counts: what it is like comes first, and everything since the last response is told. The members' devices are
   * asked for anew: which of them changed while nobody looked at this room, a response for another room does not say.
   * @param state all of the room's state, later than the last response
   */
  follow(state: readonly RawEvent[]): void {
    const { database, rooms, roomId } = this.ports;
    database.transaction(() => {
      rooms.forgetMembers(roomId);
      this.apply({ ...nothingNew(roomId), state });
    });
    this.doubted = state.flatMap(({ type, state_key }) => (type === "m.room.member" ? [state_key as UserId] : []));
    this.following = true;
  }

  async receive(response: unknown, since: SyncToken | null): Promise<void> {
    const { database, engine, clock, roomId } = this.ports;
    const read = readSyncResponse(response, this.ports.ownUser);
    if (!read.ok) {
      throw new ServerUnreachable(
        `The homeserver's sync response is not usable (${read.problem}). Nothing was taken from it; it is asked for again.`,
        { doubtful: false },
      );
    }
    const { crypto, nextBatch, rooms } = read.contents;
    const receivedAt = clock.now();
    const update = this.following ? (rooms.find((room) => room.roomId === roomId) ?? null) : null;
    const changes = { ...crypto, changedUsers: [...new Set([...crypto.changedUsers, ...this.doubted])] };
    this.doubted = [];
    const newKeys = await engine.receive(changes, async ({ newSessions, held }) => {
      database.transaction(() => {
        held.apply();
        if (update !== null) this.apply(update);
        setSyncPosition(database, nextBatch);
      });
      return newSessions.length > 0;
    });
    if (newKeys) await this.readAgain();
    await this.tell(read.contents, update, since, receivedAt);
  }

  /** Keys have come: what could not be read may be readable now. */
  async readAgain(): Promise<void> {
    const events = this.unread;
    this.unreadable.clear();
    for (const event of events) await this.open(event, null);
  }

  private async tell(
    contents: SyncContents,
    update: RoomUpdate | null,
    since: SyncToken | null,
    receivedAt: EpochMs,
  ): Promise<void> {
    const { roomId, listener, missed } = this.ports;
    if (update?.limited === true && update.prevBatch !== null && since !== null) {
      const gap: Gap = { from: update.prevBatch, to: since };
      missed.fetch(gap, (events, at) => this.openAll(events, at));
    }
    // First: who answers has received it before.
    for (const { roomId: where, event } of contents.ephemeral) {
      if (where === roomId) for (const receipt of readReceipts(event)) listener.received(receipt, receivedAt);
    }
    await this.openAll(update?.timeline ?? [], receivedAt);
  }

  private async openAll(events: readonly RawEvent[], at: EpochMs): Promise<void> {
    for (const event of events) {
      if (this.told.has(event.event_id)) continue;
      this.told.add(event.event_id);
      await this.open(event, at);
    }
  }

  /** @param at when it came; null for now */
  private async open(event: RawEvent, at: EpochMs | null): Promise<void> {
    const { engine, rooms, roomId, clock, listener } = this.ports;
    const opened = await openEvent(event, engine);
    if (opened.kind === "undecryptable") {
      this.unreadable.set(event.event_id, event);
      const [oldest] = this.unreadable.keys();
      if (this.unreadable.size > MOST_UNREADABLE && oldest !== undefined) this.unreadable.delete(oldest);
      return;
    }
    const encrypted = opened.encryptedAs !== null;
    if (encrypted && rooms.view(roomId)?.everEncrypted === false) rooms.markEncrypted(roomId);
    listener.sighted({
      event,
      type: opened.type,
      content: opened.content,
      encrypted,
      encryptedBy: opened.trust.deviceId,
      senderJoined: rooms.isJoined(roomId, event.sender),
      readAt: at ?? clock.now(),
    });
  }

  /** Call inside a transaction. */
  private apply(update: RoomUpdate): void {
    this.ports.rooms.apply(update, this.ports.ownUser, this.ports.clock.now());
  }
}

function nothingNew(roomId: RoomId): RoomUpdate {
  return {
    roomId,
    membership: "join",
    state: [],
    stateIs: "after_timeline",
    timeline: [],
    encryptionSeen: false,
    limited: false,
    prevBatch: null,
  };
}
