/** Branded identifiers: a room ID can't be passed where an event ID is wanted. Room version 12 room IDs have no server part. */
declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

export type RoomId = Branded<"RoomId">;
export type EventId = Branded<"EventId">;
export type UserId = Branded<"UserId">;
export type DeviceId = Branded<"DeviceId">;
export type SyncToken = Branded<"SyncToken">;
export type TxnId = Branded<"TxnId">;

/** Client-server API, appendix "Room IDs": `!`, then anything opaque; a server part since gone in room version 12. */
export function isRoomId(id: string): id is RoomId {
  return /^![^\p{Cc}\s]{1,254}$/u.test(id) && id.isWellFormed();
}

/** Whether a user or device ID can be stored and shown: no control or direction characters, no half of a surrogate pair. */
export function isPrintableId(id: unknown): id is string {
  return (
    typeof id === "string" && /^[^\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]{1,1024}$/u.test(id) && id.isWellFormed()
  );
}
