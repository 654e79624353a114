/**
 * How far the bot has come with each of its own room keys: the Megolm session and the index of its next message. A message that
 * comes back from the homeserver and is further on was sent by somebody else with this device's keys: by another copy of the data
 * directory. Guarantee: written before the message leaves, so that a kill is never mistaken for that.
 */
import type { RoomId } from "../protocol/ids.ts";
import type { Database } from "./database.ts";

export class SentIndexes {
  private readonly database: Database;

  constructor(database: Database) {
    this.database = database;
  }

  /** On disk when it returns. @throws StoreFailed */
  note(roomId: RoomId, sessionId: string, index: number): void {
    this.database.transaction(() => {
      this.database
        .prepare(
          `INSERT INTO sent_indexes (room_id, session_id, next_index) VALUES (?, ?, ?)
           ON CONFLICT DO UPDATE SET next_index = max(next_index, excluded.next_index)`,
        )
        .run(roomId, sessionId, index + 1);
    });
  }

  /** The index of the session's next message; null for a session that nothing was sent with. @throws StoreFailed */
  next(roomId: RoomId, sessionId: string): number | null {
    const row = this.database
      .prepare<{ next_index: number }>("SELECT next_index FROM sent_indexes WHERE room_id = ? AND session_id = ?")
      .get(roomId, sessionId);
    return row?.next_index ?? null;
  }

  /**
   * Whether every message that may still come back was sent since they are counted: the sessions of an older version of Docket
   * have no rows. @throws StoreFailed
   */
  get complete(): boolean {
    return this.database.prepare("SELECT 1 FROM meta WHERE key = 'sent_indexes_complete'").get() !== undefined;
  }

  /** A whole sync has come since they are counted. @throws StoreFailed */
  noteComplete(): void {
    this.database.transaction(() => {
      this.database.prepare("INSERT OR IGNORE INTO meta (key, value) VALUES ('sent_indexes_complete', '1')").run();
    });
  }
}

/** The room keys that were sent with are gone, and what was sent with them says nothing. Call inside a transaction. @throws StoreFailed */
export function forgetSentIndexes(database: Database): void {
  database.prepare("DELETE FROM sent_indexes").run();
  database.prepare("DELETE FROM meta WHERE key = 'sent_indexes_complete'").run();
}
