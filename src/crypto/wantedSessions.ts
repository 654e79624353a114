/**
 * Which sessions are to be asked for, and when: those that events wait for, fairly between rooms, and those that were not there again
 * later, after growing pauses. Guarantees: bounded in memory, in what one room can take of it, and in requests a minute, whatever
 * members of rooms name; the rooms of one sender's flood keep nobody else's from their turn. Pure but for the clock.
 */
import type { Clock, EpochMs } from "../clock.ts";
import type { SessionRef } from "./sessionRef.ts";

export interface WantedLimits {
  /** Sessions that wait to be asked for, in all and of one room. */
  readonly most: number;
  readonly mostOfRoom: number;
  /** The journal is gone through in pages of so many. */
  readonly page: number;
  /** Remembered as not there. */
  readonly mostMissing: number;
  /** Requests that may go at once after a rest, and how many more there may be in a minute. */
  readonly burst: number;
  readonly perMinute: number;
  /** After a session was not there, for the first, second and further times, in milliseconds. */
  readonly againAfterMs: readonly number[];
}

const MINUTE_MS = 60_000;
export const WANTED_LIMITS: WantedLimits = {
  most: 2_000,
  mostOfRoom: 200,
  page: 500,
  mostMissing: 10_000,
  burst: 60,
  perMinute: 120,
  againAfterMs: [MINUTE_MS, 5 * MINUTE_MS, 30 * MINUTE_MS, 180 * MINUTE_MS, 720 * MINUTE_MS],
};

/** What session IDs look like; anything else is no key's. */
const SESSION_ID = /^[A-Za-z0-9+/=_-]{1,255}$/;
const LONGEST_ROOM_ID = 255;

interface Missing {
  readonly times: number;
  readonly notBefore: EpochMs;
}

export class WantedSessions {
  private readonly clock: Clock;
  private readonly limits: WantedLimits;
  /** By room, in the order of their turns. */
  private readonly rooms = new Map<SessionRef["roomId"], Set<string>>();
  private waiting = 0;
  /** In the order in which they were last asked for. */
  private readonly missing = new Map<string, Missing>();
  private readonly asking = new Set<string>();
  private allowed: number;
  private allowedAt: EpochMs;

  constructor(clock: Clock, limits: WantedLimits) {
    this.clock = clock;
    this.limits = limits;
    this.allowed = limits.burst;
    this.allowedAt = clock.now();
  }

  get isEmpty(): boolean {
    return this.waiting === 0;
  }

  /** @returns whether it waits for its turn now, and did not before */
  add(session: SessionRef): boolean {
    const { roomId, sessionId } = session;
    if (!SESSION_ID.test(sessionId) || roomId.length > LONGEST_ROOM_ID) return false;
    const key = keyOf(session);
    if (this.asking.has(key) || (this.missing.get(key)?.notBefore ?? 0) > this.clock.now()) return false;
    const ofRoom = this.rooms.get(roomId) ?? new Set();
    if (this.waiting >= this.limits.most || ofRoom.size >= this.limits.mostOfRoom || ofRoom.has(sessionId))
      return false;
    this.rooms.set(roomId, ofRoom.add(sessionId));
    this.waiting += 1;
    return true;
  }

  /** The next one that may be asked for now, of the room that waited longest; null where none may. Ends with `found` and the like. */
  take(): SessionRef | null {
    const [next] = this.rooms;
    if (next === undefined || this.nextInMs() > 0) return null;
    const [roomId, sessions] = next;
    const [sessionId = ""] = sessions;
    sessions.delete(sessionId);
    this.rooms.delete(roomId);
    if (sessions.size > 0) this.rooms.set(roomId, sessions);
    this.waiting -= 1;
    this.allowed -= 1;
    const session = { roomId, sessionId };
    this.asking.add(keyOf(session));
    return session;
  }

  /** Until a request is allowed again, in milliseconds. */
  nextInMs(): number {
    const { burst, perMinute } = this.limits;
    const now = this.clock.now();
    const since = Math.max(now - this.allowedAt, 0);
    this.allowed = Math.min(burst, this.allowed + (since * perMinute) / MINUTE_MS);
    this.allowedAt = now;
    return this.allowed >= 1 ? 0 : Math.ceil(((1 - this.allowed) * MINUTE_MS) / perMinute);
  }

  found(session: SessionRef): void {
    this.asking.delete(keyOf(session));
    this.missing.delete(keyOf(session));
  }

  /** It is not asked for again for a while. */
  notThere(session: SessionRef): void {
    const { againAfterMs, mostMissing } = this.limits;
    const key = keyOf(session);
    this.asking.delete(key);
    const times = (this.missing.get(key)?.times ?? 0) + 1;
    const pauseMs = againAfterMs[Math.min(times, againAfterMs.length) - 1] ?? 0;
    this.missing.delete(key);
    this.missing.set(key, { times, notBefore: this.clock.now() + pauseMs });
    const [oldest] = this.missing.keys();
    if (this.missing.size > mostMissing && oldest !== undefined) this.missing.delete(oldest);
  }

  /** It could not be asked for: its turn comes again. */
  putBack(session: SessionRef): void {
    this.asking.delete(keyOf(session));
    this.add(session);
  }

  /** Another backup may have what the one before had not. */
  forgetMissing(): void {
    this.missing.clear();
  }
}

function keyOf({ roomId, sessionId }: SessionRef): string {
  return `${sessionId} ${roomId}`;
}
