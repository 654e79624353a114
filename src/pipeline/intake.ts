/**
 * The first stage: a sync response goes into the journal as a whole, keys and sync token included, in one transaction. If that
 * fails the bot stops: it never syncs past what it could not keep.
 */
import type { Clock } from "../clock.ts";
import type { CryptoEngine } from "../crypto/cryptoEngine.ts";
import { ServerUnreachable } from "../errors.ts";
import type { Inbox } from "../journal/inbox.ts";
import type { RoomStates } from "../journal/roomStates.ts";
import type { Logger } from "../logging.ts";
import type { Metrics } from "../metrics.ts";
import type { RoomId, SyncToken, UserId } from "../protocol/ids.ts";
import type { SyncReceiver } from "../session/syncLoop.ts";
import { readSyncResponse } from "../session/syncResponse.ts";
import type { CopyWatch } from "../session/copyWatch.ts";
import type { Vitals } from "../vitals.ts";

/** How often a full inbox is looked at again, in milliseconds. */
const FULL_POLL_MS = 200;

export class Intake implements SyncReceiver {
  private readonly inbox: Inbox;
  private readonly engine: CryptoEngine;
  private readonly clock: Clock;
  private readonly log: Logger;
  private readonly metrics: Metrics;
  private readonly vitals: Vitals;
  private readonly ownUser: UserId;
  private readonly rooms: Pick<RoomStates, "view">;
  private readonly copyWatch: Pick<CopyWatch, "look">;
  private readonly onOwnDevices: () => void;
  private readonly limit: number;

  constructor(ports: {
    inbox: Inbox;
    engine: CryptoEngine;
    clock: Clock;
    log: Logger;
    metrics: Metrics;
    vitals: Vitals;
    ownUser: UserId;
    rooms: Pick<RoomStates, "view">;
    copyWatch: Pick<CopyWatch, "look">;
    /** The account's devices, or their keys, have changed. */
    onOwnDevices: () => void;
    /** Entries in work above which no further response is asked for. */
    limit: number;
  }) {
    this.inbox = ports.inbox;
    this.engine = ports.engine;
    this.clock = ports.clock;
    this.log = ports.log;
    this.metrics = ports.metrics;
    this.vitals = ports.vitals;
    this.ownUser = ports.ownUser;
    this.rooms = ports.rooms;
    this.copyWatch = ports.copyWatch;
    this.onOwnDevices = ports.onOwnDevices;
    this.limit = ports.limit;
  }

  position(): SyncToken | null {
    return this.inbox.position();
  }

  /** A full inbox holds the sync back: the homeserver keeps what is not asked for. */
  async ready(signal: AbortSignal): Promise<void> {
    let backlog = this.inbox.backlog(this.limit);
    if (backlog < this.limit) return;
    this.log.warn({ limit: this.limit }, "the inbox is full; syncing waits until it has room");
    while (backlog >= this.limit && !signal.aborted) {
      await this.clock.sleep(FULL_POLL_MS, signal);
      backlog = this.inbox.backlog(this.limit);
    }
  }

  async receive(response: unknown, since: SyncToken | null): Promise<void> {
    const read = readSyncResponse(response, this.ownUser);
    if (!read.ok) {
      throw new ServerUnreachable(
        `The homeserver's sync response is not usable (${read.problem}). Nothing was taken from it; it is asked for again.`,
        {
          doubtful: false,
        },
      );
    }
    const { nextBatch, crypto, rooms, invites, malformed } = read.contents;
    const receivedAt = this.clock.now();
    const isIn = (roomId: RoomId): boolean => this.rooms.view(roomId)?.membership === "join";
    const entered = new Set(rooms.map(({ roomId }) => roomId).filter((roomId) => !isIn(roomId)));
    const { gaps } = await this.engine.receive(crypto, ({ held, ...sessions }) =>
      this.inbox.accept({ since, nextBatch, receivedAt, heldWrites: held, ...sessions, rooms, invites, malformed }),
    );
    this.copyWatch.look(rooms, since, entered);
    if (crypto.changedUsers.includes(this.ownUser)) this.onOwnDevices();
    const oneTimeKeys = crypto.oneTimeKeyCounts["signed_curve25519"] ?? 0;
    this.metrics.oneTimeKeys.set(oneTimeKeys);
    this.vitals.keysCounted(
      receivedAt,
      oneTimeKeys,
      crypto.unusedFallbackKeyTypes?.includes("signed_curve25519") ?? null,
    );
    for (const event of malformed) {
      this.metrics.malformedEvents.inc();
      this.log.warn({ roomId: event.roomId, problem: event.problem }, "an event that is none was set aside");
    }
    for (const roomId of gaps) {
      this.metrics.gaps.inc();
      this.log.warn({ roomId }, "the homeserver left a part of the timeline out; the gap is recorded");
    }
  }
}
