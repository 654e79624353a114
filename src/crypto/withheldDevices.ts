/**
 * Owns who can't read a room's present session. The library tells a device once for each session that it gets no key
 * (`m.room_key.withheld`), and gives it the key later if an Olm session comes about, or its owner signs it; so the list is kept here, by
 * room, and begins afresh with each session. Kept in memory: after a restart a device is missing from it until the next session.
 * Bounded: of each room so many devices are kept by name, and the rest is counted.
 */
import type { DeviceId, UserId } from "../protocol/ids.ts";
import type { WithheldDevice } from "./cryptoEngine.ts";
import type { Addressee } from "./keyRequest.ts";

/** Of one room: somebody may have ten thousand devices. */
const MOST_NAMED = 1_000;

interface Room {
  sessionId: string | null;
  /** Of the session named. */
  withheld: Map<string, WithheldDevice>;
  /** Withheld ones that were not kept by name. */
  unnamed: number;
  /** Users of whom a device has the session's key. */
  given: Set<string>;
  /** What was sent since the last encryption: null for a device that got the key. */
  news: Map<string, { readonly userId: string; readonly device: WithheldDevice | null }>;
}

export class WithheldDevices {
  private readonly rooms = new Map<string, Room>();

  /** To-device messages of a room key share that the server has taken. */
  note(roomId: string, addressees: readonly Addressee[]): void {
    const room = this.room(roomId);
    for (const { eventType, userId, deviceId, code } of addressees) {
      const withheld = eventType.endsWith("room_key.withheld");
      const reason = code === "m.no_olm" ? "no_session" : "unsigned";
      const device = { userId: userId as UserId, deviceId: deviceId as DeviceId, reason } as const;
      room.news.set(JSON.stringify([userId, deviceId]), { userId, device: withheld ? device : null });
    }
  }

  /**
   * @param sessionId any text that names it
   * @returns the devices that can't read what has just been encrypted with this session, how many these are, and which users have none that can
   */
  of(
    roomId: string,
    sessionId: string,
  ): {
    readonly devices: readonly WithheldDevice[];
    readonly count: number;
    readonly unsigned: readonly UserId[];
  } {
    const room = this.room(roomId);
    if (room.sessionId !== sessionId) Object.assign(room, fresh(), { news: room.news });
    room.sessionId = sessionId;
    for (const [key, { userId, device }] of room.news) {
      if (device === null) {
        room.withheld.delete(key);
        room.given.add(userId);
      } else if (room.withheld.size < MOST_NAMED || room.withheld.has(key)) room.withheld.set(key, device);
      else room.unnamed += 1;
    }
    room.news = new Map();
    const devices = [...room.withheld.values()];
    const users = new Set(devices.filter(({ reason }) => reason === "unsigned").map(({ userId }) => userId));
    const unsigned = [...users].filter((user) => !room.given.has(user));
    return { devices, count: devices.length + room.unnamed, unsigned };
  }

  private room(roomId: string): Room {
    let room = this.rooms.get(roomId);
    if (room === undefined) {
      room = fresh();
      this.rooms.set(roomId, room);
    }
    return room;
  }
}

function fresh(): Room {
  return { sessionId: null, withheld: new Map(), unnamed: 0, given: new Set(), news: new Map() };
}
