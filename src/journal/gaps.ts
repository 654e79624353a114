/** Parts of timelines that `/sync` left out: recorded with the sync that showed them, filled from `/messages` later. */
import type { EpochMs } from "../clock.ts";
import type { RoomId, SyncToken } from "../protocol/ids.ts";
import type { Database } from "./database.ts";

export interface Gap {
  readonly roomId: RoomId;
  /** Page backwards from here. */
  readonly prevBatch: string;
  /** To here; null where the room was new to us and our own join is the end. */
  readonly since: SyncToken | null;
}

export class Gaps {
  private readonly database: Database;

  constructor(database: Database) {
    this.database = database;
  }

  /** Call inside the journal's transaction. */
  record(gap: Gap, recordedAt: EpochMs): void {
    this.database
      .prepare(
        "INSERT INTO gaps (room_id, prev_batch, since, state, recorded_at) VALUES (?, ?, ?, 'open', ?) ON CONFLICT DO NOTHING",
      )
      .run(gap.roomId, gap.prevBatch, gap.since, recordedAt);
  }

  /** Open gaps, oldest first. */
  open(): readonly Gap[] {
    return this.database
      .prepare<{ room_id: RoomId; prev_batch: string; since: SyncToken | null }>(
        "SELECT room_id, prev_batch, since FROM gaps WHERE state = 'open' ORDER BY id",
      )
      .all()
      .map((row) => ({ roomId: row.room_id, prevBatch: row.prev_batch, since: row.since }));
  }
}
