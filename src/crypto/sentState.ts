/**
 * Takes out of a key store at rest what an older copy of it must not go on with: the Olm sessions, whose peers are further on and
 * would not understand it, and the room keys that it sent with. The library makes new ones when it needs them. What was received
 * stays: it decrypts the past. Not beside an open engine, which would know better.
 */
import type { Database } from "../journal/database.ts";
import { STORE_NAME } from "./engine.ts";

/** The library's own names. */
const OLM_SESSIONS = "session";
const SENT_ROOM_KEYS = "outbound_group_sessions";

/** Call inside a transaction. @returns how many there were. @throws StoreFailed */
export function dropSentState(database: Database): { readonly olmSessions: number; readonly roomKeys: number } {
  return { olmSessions: drop(database, OLM_SESSIONS), roomKeys: drop(database, SENT_ROOM_KEYS) };
}

function drop(database: Database, store: string): number {
  const { changes } = database
    .prepare(
      `DELETE FROM key_store_records WHERE store_id IN (SELECT key_store_stores.id FROM key_store_stores
         JOIN key_store_databases ON key_store_databases.id = database_id
         WHERE key_store_stores.name = ? AND key_store_databases.name LIKE ? || '%')`,
    )
    .run(store, STORE_NAME);
  return changes;
}
