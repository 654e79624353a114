/**
 * Which of the room keys on disk the bot may go on with. A data directory that was restored from an older copy would use message
 * indexes of its room keys a second time, for other texts. So a key from before the start counts as doubted until a sync has shown
 * that nobody went on with it; a room whose key is doubted gets a new one before its next message. Holds no key itself.
 */
import type { RoomId } from "../protocol/ids.ts";

export class OutboundSessions {
  /** Every room whose key is not from after the last doubt. */
  private all: boolean;
  private readonly doubted = new Set<RoomId>();
  private readonly renewed = new Set<RoomId>();

  /** @param doubted whether keys from before the start wait for `trustAllBut` */
  constructor(doubted: boolean) {
    this.all = doubted;
  }

  /** From now on every room begins a new key before its next message, whatever was trusted before. */
  doubtAll(): void {
    this.all = true;
    this.renewed.clear();
    this.doubted.clear();
  }

  /** The keys on disk are as far as they ever were, except in these rooms, of which that is not known. */
  trustAllBut(rooms: Iterable<RoomId>): void {
    if (!this.all) return;
    this.all = false;
    for (const room of rooms) if (!this.renewed.has(room)) this.doubted.add(room);
    this.renewed.clear();
  }

  isDoubted(room: RoomId): boolean {
    return this.all ? !this.renewed.has(room) : this.doubted.has(room);
  }

  /** The key on disk is gone: the room's next message begins another. */
  noteRenewed(room: RoomId): void {
    this.doubted.delete(room);
    if (this.all) this.renewed.add(room);
  }
}
