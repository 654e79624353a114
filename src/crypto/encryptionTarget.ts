/** A room, as those need it who encrypt for it. */
import type { RoomId, UserId } from "../protocol/ids.ts";
import type { JsonObject } from "../protocol/json.ts";

/** Everything about a room that encryption needs; the caller vouches that it is current. */
export interface EncryptionTarget {
  readonly roomId: RoomId;
  /** Content of `m.room.encryption`, as last seen; defaults apply to what it leaves out. */
  readonly settings: JsonObject;
  /** `m.room.history_visibility`; `shared` where the room has none. */
  readonly historyVisibility: string;
  /** Joined members, and invited ones unless history visibility is `joined`. */
  readonly recipients: readonly UserId[];
}
