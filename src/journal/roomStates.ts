/**
 * What Docket knows about each room: its own membership, encryption, history visibility, members.
 * Guarantees: a room that was ever seen encrypted stays so, whatever the server sends or withholds later, and its rotation
 * settings only become stricter; "unknown" is said, never guessed.
 */
import type { EpochMs } from "../clock.ts";
import { Nudge } from "../lifecycle.ts";
import type { RoomId, UserId } from "../protocol/ids.ts";
import type { JsonObject } from "../protocol/json.ts";
import type { Database } from "./database.ts";
import type { RoomUpdate } from "./syncBatch.ts";

export interface RoomView {
  readonly id: RoomId;
  /** Our own. */
  readonly membership: "join" | "leave";
  /** True for good once it was seen encrypted. */
  readonly everEncrypted: boolean;
  /** Content of `m.room.encryption`, the strictest seen; empty where none was. */
  readonly encryption: JsonObject;
  readonly historyVisibility: string;
  readonly joinRule: string;
}

interface RoomRow {
  room_id: RoomId;
  membership: "join" | "leave";
  ever_encrypted: number;
  encryption: string;
  history_visibility: string;
  join_rule: string;
}

/** Client-server API, `m.room.encryption`: what lower means stricter for. */
const ROTATION_KEYS = ["rotation_period_ms", "rotation_period_msgs"] as const;

export class RoomStates {
  private readonly database: Database;
  private readonly nudge = new Nudge();

  constructor(database: Database) {
    this.database = database;
  }

  /** To be called after a commit that changed some. */
  announce(): void {
    this.nudge.nudge();
  }

  /** Resolves when a room may have changed, or after `maxWaitMs` milliseconds. */
  changed(signal: AbortSignal, maxWaitMs: number): Promise<void> {
    return this.nudge.wait(signal, maxWaitMs);
  }

  /** Null where the room was never heard of. */
  view(roomId: RoomId): RoomView | null {
    const row = this.database.prepare<RoomRow>("SELECT * FROM rooms WHERE room_id = ?").get(roomId);
    if (row === undefined) return null;
    return {
      id: row.room_id,
      membership: row.membership,
      everEncrypted: row.ever_encrypted === 1,
      encryption: JSON.parse(row.encryption) as JsonObject,
      historyVisibility: row.history_visibility,
      joinRule: row.join_rule,
    };
  }

  /** Who an encrypted event is for: joined members, and invited ones unless history visibility is `joined`. */
  recipients(room: RoomView): readonly UserId[] {
    const rows = this.database
      .prepare<{ user_id: UserId }>(
        "SELECT user_id FROM members WHERE room_id = ? AND (membership = 'join' OR (membership = 'invite' AND ? <> 'joined')) ORDER BY user_id",
      )
      .all(room.id, room.historyVisibility);
    return rows.map((row) => row.user_id);
  }

  isJoined(roomId: RoomId, userId: UserId): boolean {
    const row = this.database
      .prepare("SELECT 1 FROM members WHERE room_id = ? AND user_id = ? AND membership = 'join'")
      .get(roomId, userId);
    return row !== undefined;
  }

  /** What is known of its members is old, and comes anew. Its encryption stays known. Call inside the journal's transaction. */
  forgetMembers(roomId: RoomId): void {
    this.database.prepare("DELETE FROM members WHERE room_id = ?").run(roomId);
  }

  /** An event of the room could be decrypted: it is encrypted, whatever its state says. */
  markEncrypted(roomId: RoomId): void {
    this.database.transaction(() => {
      this.database.prepare("UPDATE rooms SET ever_encrypted = 1 WHERE room_id = ? AND ever_encrypted = 0").run(roomId);
    });
  }

  /** We are invited, and so not in it any more: a kick that the same sync covered up. Call inside the journal's transaction. */
  noteInvited(roomId: RoomId): void {
    this.database
      .prepare("UPDATE rooms SET membership = 'leave', alone_since = NULL WHERE room_id = ? AND membership = 'join'")
      .run(roomId);
  }

  /** Applies one room of a sync. Call inside the journal's transaction. */
  apply(update: RoomUpdate, ownUser: UserId, at: EpochMs): void {
    const before = this.view(update.roomId);
    const rejoined = before?.membership !== "join" && update.membership === "join";
    // A room that we (re)join comes with its whole state; what was known of its members before may be stale.
    if (rejoined) this.database.prepare("DELETE FROM members WHERE room_id = ?").run(update.roomId);
    const room = {
      membership: update.membership,
      everEncrypted: (before?.everEncrypted ?? false) || update.encryptionSeen,
      encryption: before?.encryption ?? {},
      historyVisibility: rejoined ? "shared" : (before?.historyVisibility ?? "shared"),
      joinRule: rejoined ? "invite" : (before?.joinRule ?? "invite"),
    };
    const current = update.stateIs === "after_timeline" ? update.state : [...update.state, ...update.timeline];
    for (const event of current) {
      if (event.state_key === undefined) continue;
      if (event.type === "m.room.member") {
        this.setMember(update.roomId, event.state_key as UserId, event.content["membership"]);
      } else if (event.state_key === "") {
        if (event.type === "m.room.history_visibility")
          room.historyVisibility = text(event.content["history_visibility"], "shared");
        if (event.type === "m.room.join_rules") room.joinRule = text(event.content["join_rule"], "invite");
      }
    }
    // Encryption counts wherever it is seen, also in a timeline that is not the current state.
    for (const event of [...update.state, ...update.timeline]) {
      if (event.type !== "m.room.encryption" || event.state_key !== "") continue;
      const known = Object.keys(room.encryption).length > 0;
      room.encryption = known ? stricter(room.encryption, event.content) : event.content;
      room.everEncrypted = true;
    }
    if (update.membership === "leave") this.setMember(update.roomId, ownUser, "leave");
    this.database
      .prepare(
        `INSERT INTO rooms (room_id, membership, ever_encrypted, encryption, history_visibility, join_rule)
         VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (room_id) DO UPDATE SET membership = excluded.membership,
           ever_encrypted = excluded.ever_encrypted, encryption = excluded.encryption,
           history_visibility = excluded.history_visibility, join_rule = excluded.join_rule`,
      )
      .run(
        update.roomId,
        room.membership,
        Number(room.everEncrypted),
        JSON.stringify(room.encryption),
        room.historyVisibility,
        room.joinRule,
      );
    this.noteSolitude(update.roomId, ownUser, at);
  }

  /** Rooms that we are in, and in which nobody else was since before a moment. */
  aloneSinceBefore(moment: EpochMs): readonly RoomId[] {
    return this.database
      .prepare<{ room_id: RoomId }>(
        "SELECT room_id FROM rooms WHERE alone_since <= ? AND membership = 'join' ORDER BY alone_since",
      )
      .all(moment)
      .map((row) => row.room_id);
  }

  /** When the next room's solitude began; null where there is none. */
  oldestSolitude(): EpochMs | null {
    const row = this.database
      .prepare<{ since: number | null }>(
        "SELECT min(alone_since) AS since FROM rooms WHERE alone_since IS NOT NULL AND membership = 'join'",
      )
      .get();
    return row?.since ?? null;
  }

  /** The server knows better: somebody is there. */
  notAlone(roomId: RoomId): void {
    this.database.transaction(() => {
      this.database.prepare("UPDATE rooms SET alone_since = NULL WHERE room_id = ?").run(roomId);
    });
  }

  private noteSolitude(roomId: RoomId, ownUser: UserId, at: EpochMs): void {
    this.database
      .prepare(
        `UPDATE rooms SET alone_since = CASE
           WHEN membership <> 'join' OR EXISTS (SELECT 1 FROM members WHERE members.room_id = rooms.room_id AND user_id <> ?) THEN NULL
           ELSE coalesce(alone_since, ?) END
         WHERE room_id = ?`,
      )
      .run(ownUser, at, roomId);
  }

  private setMember(roomId: RoomId, userId: UserId, membership: unknown): void {
    if (membership === "join" || membership === "invite") {
      this.database
        .prepare(
          "INSERT INTO members (room_id, user_id, membership) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET membership = excluded.membership",
        )
        .run(roomId, userId, membership);
    } else {
      this.database.prepare("DELETE FROM members WHERE room_id = ? AND user_id = ?").run(roomId, userId);
    }
  }
}

/** Keeps the settings that were seen first, and lowers a rotation period where the later event does. */
function stricter(known: JsonObject, later: JsonObject): JsonObject {
  const result: { [key: string]: JsonObject[string] } = { ...known };
  for (const key of ROTATION_KEYS) {
    const [old, proposed] = [known[key], later[key]];
    if (typeof proposed !== "number" || !(proposed > 0)) continue;
    if (typeof old !== "number" || proposed < old) result[key] = proposed;
  }
  return result;
}

function text(value: unknown, fallback: string): string {
  return typeof value === "string" ? value : fallback;
}
