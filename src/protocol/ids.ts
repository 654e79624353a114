/** Branded identifiers: a room ID can't be passed where an event ID is wanted. Room version 12 room IDs have no server part. */
declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

export type RoomId = Branded<"RoomId">;
export type EventId = Branded<"EventId">;
export type UserId = Branded<"UserId">;
export type DeviceId = Branded<"DeviceId">;
export type SyncToken = Branded<"SyncToken">;
export type TxnId = Branded<"TxnId">;
