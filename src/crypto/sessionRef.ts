/** Names a Megolm session: its ID alone is the sender's choice, and counts in its room only. */
import type { RoomId } from "../protocol/ids.ts";

export interface SessionRef {
  readonly roomId: RoomId;
  readonly sessionId: string;
}
