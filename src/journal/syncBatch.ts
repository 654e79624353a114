/** One sync response, decoded: what intake hands to the journal to be kept as a whole. */
import type { EpochMs } from "../clock.ts";
import type { RawEvent } from "../protocol/events.ts";
import type { RoomId, SyncToken, UserId } from "../protocol/ids.ts";
import type { JsonValue } from "../protocol/json.ts";
import type { HeldWrites } from "./heldWrites.ts";

export interface SessionKey {
  readonly roomId: RoomId;
  readonly sessionId: string;
}

export interface MalformedEvent {
  /** Null for a to-device message. */
  readonly roomId: RoomId | null;
  readonly raw: JsonValue;
  /** Which field is wrong; never its value. */
  readonly problem: string;
}

export interface RoomUpdate {
  readonly roomId: RoomId;
  /** The section of the response that the room stood in. */
  readonly membership: "join" | "leave";
  /** State before the timeline (`state`), or after it (`state_after`, MSC4222). */
  readonly state: readonly RawEvent[];
  readonly stateIs: "before_timeline" | "after_timeline";
  readonly timeline: readonly RawEvent[];
  /** Among what was set aside as malformed there was an `m.room.encryption`: the room is encrypted all the same. */
  readonly encryptionSeen: boolean;
  /** The server left events out before the timeline; page backwards from `prevBatch`. */
  readonly limited: boolean;
  readonly prevBatch: string | null;
}

export interface Invite {
  readonly roomId: RoomId;
  readonly inviter: UserId;
  /** The room's join rule as the invitation shows it; null where it does not. */
  readonly joinRule: string | null;
}

export interface SyncBatch {
  /** The token that the response was asked with; null for the first sync of all. */
  readonly since: SyncToken | null;
  readonly nextBatch: SyncToken;
  readonly receivedAt: EpochMs;
  readonly heldWrites: HeldWrites;
  /** Sessions whose keys came with this sync: events parked for them become ready. */
  readonly newSessions: readonly SessionKey[];
  /** Sessions of which somebody said that their keys do not come. */
  readonly withheldSessions: readonly SessionKey[];
  readonly rooms: readonly RoomUpdate[];
  readonly invites: readonly Invite[];
  readonly malformed: readonly MalformedEvent[];
}
