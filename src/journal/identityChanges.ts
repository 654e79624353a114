/** Owns which users' cross-signing identities became other ones, and when. One row for each user; written once for each change. */
import type { Clock, EpochMs } from "../clock.ts";
import type { UserId } from "../protocol/ids.ts";
import type { Database } from "./database.ts";

export class IdentityChanges {
  private readonly database: Database;
  private readonly clock: Clock;

  constructor(database: Database, clock: Clock) {
    this.database = database;
    this.clock = clock;
  }

  /** @param wasVerified the bot had verified the identity before */
  async note(userId: UserId, wasVerified: boolean): Promise<void> {
    this.database.transaction(() => {
      this.database
        .prepare(
          `INSERT INTO identity_changes (user_id, changes, last_at, was_verified) VALUES (?, 1, ?, ?)
           ON CONFLICT (user_id) DO UPDATE SET changes = changes + 1, last_at = excluded.last_at, was_verified = excluded.was_verified`,
        )
        .run(userId, this.clock.now(), Number(wasVerified));
    });
  }

  /** When the last change was noticed; null where there was none. */
  lastAt(userId: UserId): EpochMs | null {
    const row = this.database
      .prepare<{ last_at: number }>("SELECT last_at FROM identity_changes WHERE user_id = ?")
      .get(userId);
    return row?.last_at ?? null;
  }
}
