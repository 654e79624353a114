/**
 * Owns who can't read a room's present session. The library tells a device once for each session that it gets no key
 * (`m.room_key.withheld`), and gives it the key later if an Olm session comes about; so the list is kept here, by room, and
 * begins afresh with each session. Kept in memory: after a restart a device is missing from it until the next session.
 */
import type { DeviceId, UserId } from "../protocol/ids.ts";
import type { EncryptedContent } from "./cryptoEngine.ts";
import type { Addressee } from "./keyRequest.ts";

type DeviceRef = EncryptedContent["withheldFrom"][number];

interface Room {
  sessionId: string | null;
  /** Of the session named. */
  withheld: Map<string, DeviceRef>;
  /** What was sent since the last encryption: null for a device that got the key. */
  news: Map<string, DeviceRef | null>;
}

export class WithheldDevices {
  private readonly rooms = new Map<string, Room>();

  /** To-device messages of a room key share that the server has taken. */
  note(roomId: string, addressees: readonly Addressee[]): void {
    const room = this.room(roomId);
    for (const { eventType, userId, deviceId } of addressees) {
      const withheld = eventType.endsWith("room_key.withheld");
      const device = { userId: userId as UserId, deviceId: deviceId as DeviceId };
      room.news.set(JSON.stringify([userId, deviceId]), withheld ? device : null);
    }
  }

  /** @param sessionId any text that names it @returns the devices that can't read what has just been encrypted with this session */
  of(roomId: string, sessionId: string): readonly DeviceRef[] {
    const room = this.room(roomId);
    if (room.sessionId !== sessionId) room.withheld = new Map();
    room.sessionId = sessionId;
    for (const [key, device] of room.news) {
      if (device === null) room.withheld.delete(key);
      else room.withheld.set(key, device);
    }
    room.news = new Map();
    return [...room.withheld.values()];
  }

  private room(roomId: string): Room {
    let room = this.rooms.get(roomId);
    if (room === undefined) {
      room = { sessionId: null, withheld: new Map(), news: new Map() };
      this.rooms.set(roomId, room);
    }
    return room;
  }
}
