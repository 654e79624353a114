/** Up to where the homeserver's stream is on disk: the token of the last sync response that was kept as a whole. */
import type { SyncToken } from "../protocol/ids.ts";
import type { Database } from "./database.ts";

/** @returns null before the first sync. @throws StoreFailed */
export function syncPosition(database: Database): SyncToken | null {
  const row = database.prepare<{ value: SyncToken }>("SELECT value FROM meta WHERE key = 'sync_token'").get();
  return row?.value ?? null;
}

/** Call inside the transaction that keeps what the token covers. @throws StoreFailed */
export function setSyncPosition(database: Database, token: SyncToken): void {
  database
    .prepare("INSERT INTO meta (key, value) VALUES ('sync_token', ?) ON CONFLICT DO UPDATE SET value = excluded.value")
    .run(token);
}
