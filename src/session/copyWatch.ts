/**
 * Notices that the data directory is an older copy of one that was used after it: restored from a backup, or run twice. Such a copy
 * would repeat message indexes of its room keys, and one-time keys that others hold already.
 *
 * The signs: a message of this device that is further on than its room key (journal/sentIndexes.ts), a foreign mark on the
 * homeserver (copyMark.ts), one-time keys that the homeserver has others of. Guarantees: none of them comes of a kill, or of a request
 * whose reply was lost; no room key from before the start is used before the first sync has been looked at; from the first sign on
 * none is used at all, and what may have been sent already is asked for first. The bot goes on: what the keys still can do, they do.
 */
import type { Clock } from "../clock.ts";
import type { CryptoEngine } from "../crypto/cryptoEngine.ts";
import { messageIndexOf } from "../crypto/messageIndex.ts";
import { copyDoubt, raiseCopyDoubt, type CopySign } from "../journal/copyDoubt.ts";
import type { Database } from "../journal/database.ts";
import { SentIndexes } from "../journal/sentIndexes.ts";
import type { RoomUpdate } from "../journal/syncBatch.ts";
import type { Logger } from "../logging.ts";
import type { RawEvent } from "../protocol/events.ts";
import type { RoomId, SyncToken, UserId } from "../protocol/ids.ts";
import type { Vitals } from "../vitals.ts";
import { whatToDo } from "./copyWords.ts";

export interface CopyWatchPorts {
  readonly database: Database;
  readonly engine: Pick<CryptoEngine, "identity" | "outbound">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly vitals: Vitals;
}

export class CopyWatch {
  private readonly ports: CopyWatchPorts;
  private readonly sent: SentIndexes;
  private doubted: boolean;
  private seen = false;

  constructor(ports: CopyWatchPorts) {
    this.ports = ports;
    this.sent = new SentIndexes(ports.database);
    const before = copyDoubt(ports.database);
    this.doubted = before !== null;
    if (before !== null) {
      ports.engine.outbound.doubtAll();
      this.tell(before.sign);
    }
  }

  /**
   * Looks at what a sync brought; call when it is on disk. @param since the token that it was asked with
   * @param entered rooms that the bot was not in before this sync
   * @throws StoreFailed
   */
  look(rooms: readonly RoomUpdate[], since: SyncToken | null, entered: ReadonlySet<RoomId>): void {
    const { outbound } = this.ports.engine;
    const complete = this.sent.complete;
    const isNewer = rooms.some((room) => {
      const { timeline } = room;
      const from = entered.has(room.roomId) ? lastEntry(timeline, this.ports.engine.identity.userId) : 0;
      return timeline.slice(from).some((event) => this.isNewer(event, complete));
    });
    if (isNewer) this.raise("newer_message");
    if (this.seen) return;
    this.seen = true;
    if (!complete) this.sent.noteComplete();
    // What stood in a part that was left out is not known.
    const hidden = since === null ? [] : rooms.filter((room) => room.limited).map((room) => room.roomId);
    if (!this.doubted) outbound.trustAllBut(hidden);
  }

  /** @throws StoreFailed */
  raise(sign: CopySign): void {
    const { database, engine, clock } = this.ports;
    if (this.doubted) return;
    this.doubted = true;
    engine.outbound.doubtAll();
    raiseCopyDoubt(database, { sign, since: clock.now() });
    this.tell(sign);
  }

  /** Read from what anybody can read of the event: the bot may lack the key. */
  private isNewer(event: RawEvent, complete: boolean): boolean {
    const { userId, deviceId } = this.ports.engine.identity;
    const { device_id: sentBy, session_id: sessionId, ciphertext } = event.content;
    if (event.type !== "m.room.encrypted" || event.sender !== userId || sentBy !== deviceId) return false;
    if (typeof sessionId !== "string" || typeof ciphertext !== "string") return false;
    const index = messageIndexOf(ciphertext);
    if (index === null) return false;
    const next = this.sent.next(event.room_id, sessionId);
    return next === null ? complete : index >= next;
  }

  private tell(sign: CopySign): void {
    const { log, vitals } = this.ports;
    const text = whatToDo(sign);
    vitals.copyDoubted(sign);
    vitals.note("key store", text);
    log.error({ sign, problem: text }, "this data directory looks like an older copy of one that was used after it");
  }
}

/**
 * Where our last coming into the room stands in its timeline; 0 where it does not, and all of it is later. What is before it is from an
 * earlier stay, maybe from before messages were counted: whoever removes the bot and invites it again must not raise an alarm with it.
 */
function lastEntry(timeline: readonly RawEvent[], ownUser: UserId): number {
  const isOwn = ({ type, state_key }: RawEvent): boolean => type === "m.room.member" && state_key === ownUser;
  const isJoin = ({ content }: RawEvent): boolean => content["membership"] === "join";
  const outside = timeline.findLastIndex((event) => isOwn(event) && !isJoin(event));
  const joined = timeline.slice(outside + 1).findIndex((event) => isOwn(event) && isJoin(event));
  return joined === -1 ? 0 : outside + 1 + joined;
}
