/** Who an event in a room is encrypted for, as the journal knows the room now. */
import type { RoomStates, RoomView } from "../journal/roomStates.ts";
import type { EncryptionTarget } from "./encryptionTarget.ts";
import type { FindAudience } from "./roomMessages.ts";

export function encryptionTarget(rooms: RoomStates, room: RoomView): EncryptionTarget {
  return {
    roomId: room.id,
    settings: room.encryption,
    historyVisibility: room.historyVisibility,
    recipients: rooms.recipients(room),
  };
}

export function audienceIn(rooms: RoomStates): FindAudience {
  return (roomId) => {
    const room = rooms.view(roomId);
    if (room?.membership !== "join") return null;
    return { encrypted: room.everEncrypted, target: encryptionTarget(rooms, room) };
  };
}
