/** What the journal knows of trust, for `docket doctor`: as bounded as census.ts, of which it is a part. */
import type { EpochMs } from "../clock.ts";
import type { Database } from "./database.ts";

export interface TrustCensus {
  /** Encrypted events whose key their sender does not give us, parked or given up since a moment, by code. */
  readonly withheld: readonly { readonly about: string; readonly count: number; readonly senders: number }[];
  /** Parked, since their sender's device is not cross-signed. */
  readonly untrusted: { readonly count: number; readonly senders: number };
  /** Users who have another identity than before, noticed since that moment, the last one first. */
  readonly identityChanges: readonly {
    readonly about: string;
    readonly changes: number;
    readonly lastAt: EpochMs;
    /** The bot had verified the one before. */
    readonly wasVerified: boolean;
  }[];
}

const MOST_LOOKED_AT = 100_000;
const MOST_NAMED = 100;

/** @throws StoreFailed */
export function takeTrustCensus(database: Database, since: EpochMs): TrustCensus {
  const untrusted = database
    .prepare<{ count: number; senders: number }>(
      `SELECT count(*) AS count, count(DISTINCT sender) AS senders FROM (
         SELECT json_extract(raw, '$.sender') AS sender FROM inbox WHERE state = 'parked' AND reason = 'untrusted' LIMIT ${MOST_LOOKED_AT})`,
    )
    .get();
  return {
    withheld: database
      .prepare<{ about: string; count: number; senders: number }>(
        `SELECT about, count(*) AS count, count(DISTINCT sender) AS senders FROM (
           SELECT withheld_code AS about, json_extract(raw, '$.sender') AS sender FROM inbox
           WHERE withheld_code IS NOT NULL AND (state = 'parked' OR (state = 'settled' AND decision = 'given_up' AND settled_at >= ?))
           LIMIT ${MOST_LOOKED_AT}) GROUP BY about ORDER BY 2 DESC, 1`,
      )
      .all(since),
    untrusted: untrusted ?? { count: 0, senders: 0 },
    identityChanges: database
      .prepare<{ about: string; changes: number; lastAt: number; wasVerified: number }>(
        `SELECT user_id AS about, changes, last_at AS lastAt, was_verified AS wasVerified FROM identity_changes
         WHERE last_at >= ? ORDER BY last_at DESC LIMIT ${MOST_NAMED}`,
      )
      .all(since)
      .map((row) => ({ ...row, wasVerified: row.wasVerified === 1 })),
  };
}
