/**
 * What waits, is parked, is missing or was dropped: for `docket doctor`. Guarantees: reading it changes nothing, and costs
 * a part of a second at most, however much there is: no question looks at more than `MOST_LOOKED_AT` rows, the newest first.
 */
import type { EpochMs } from "../clock.ts";
import type { RoomId } from "../protocol/ids.ts";
import { copyDoubt, type CopySign } from "./copyDoubt.ts";
import type { Database } from "./database.ts";
import { Depths, lanes } from "./depths.ts";
import type { Lane } from "./outboxEntry.ts";
import { takeTrustCensus, type TrustCensus } from "./trustCensus.ts";

export interface Counted {
  readonly about: string;
  readonly count: number;
}

export interface Census {
  readonly inbox: { readonly new: number; readonly ready: number; readonly oldestReceivedAt: EpochMs | null };
  readonly parked: {
    /** Whose key may have been meant for us: from after we joined. */
    readonly count: number;
    /** From before we joined their room. */
    readonly beforeJoin: number;
    readonly oldestParkedAt: EpochMs | null;
    /** By reason, the most frequent first. */
    readonly reasons: readonly Counted[];
  };
  /** Events whose text nobody will read any more, decided so since a moment, by reason. */
  readonly givenUp: readonly Counted[];
  /** Open gaps by room, the rooms with the most first. */
  readonly gaps: readonly Counted[];
  readonly outbox: Readonly<Record<Lane, number>>;
  /** Of the answers that wait. */
  readonly answers: { readonly oldestQueuedAt: EpochMs | null; readonly doubtful: number };
  /** Answers dropped since that moment, by reason. */
  readonly dropped: readonly Counted[];
  readonly droppedDoubtful: number;
  readonly trust: TrustCensus;
  /** What says that the data directory is an older copy; null where nothing does. */
  readonly copySign: CopySign | null;
  readonly joined: readonly { readonly roomId: RoomId; readonly encrypted: boolean }[];
}

const MOST_LOOKED_AT = 100_000;

/**
 * @param since what was given up and dropped is counted from here on
 * @throws StoreFailed
 */
export function takeCensus(database: Database, since: EpochMs): Census {
  const depths = new Depths(database);
  const one = (sql: string, ...values: number[]): number | null =>
    database.prepare<{ value: number | null }>(sql).get(...values)?.value ?? null;
  /** @param rows have `about`, and are limited */
  const grouped = (rows: string, ...values: number[]): readonly Counted[] =>
    database
      .prepare<Counted>(
        `SELECT coalesce(about, 'unknown') AS about, count(*) AS count FROM (${rows}) GROUP BY 1 ORDER BY 2 DESC, 1`,
      )
      .all(...values);
  const newest = `ORDER BY 1 DESC LIMIT ${MOST_LOOKED_AT}`;
  const parked = `(SELECT parked_at, reason AS about, before_join FROM inbox WHERE state = 'parked' ${newest})`;
  const settled = `(SELECT settled_at, decision, reason AS about FROM inbox WHERE state = 'settled' AND settled_at >= ? ${newest})`;
  const finished = `(SELECT finished_at, state, lane, reason AS about, doubtful FROM outbox WHERE state <> 'pending' AND finished_at >= ? ${newest})`;
  const waiting = `(SELECT queued_at, doubtful FROM outbox WHERE state = 'pending' AND lane = 'response' LIMIT ${MOST_LOOKED_AT})`;
  const droppedAnswers = `${finished} WHERE state = 'dropped' AND lane = 'response'`;
  return {
    inbox: {
      new: depths.inbox("new"),
      ready: depths.inbox("ready"),
      oldestReceivedAt: one(
        `SELECT min(received_at) AS value FROM (
           SELECT * FROM (SELECT received_at FROM inbox WHERE state = 'new' ORDER BY arrival DESC, seq LIMIT 1)
           UNION ALL SELECT * FROM (SELECT received_at FROM inbox WHERE state = 'ready' LIMIT ${MOST_LOOKED_AT}))`,
      ),
    },
    parked: {
      count: one(`SELECT count(*) AS value FROM ${parked} WHERE before_join = 0`) ?? 0,
      beforeJoin: one(`SELECT count(*) AS value FROM ${parked} WHERE before_join <> 0`) ?? 0,
      oldestParkedAt: one(`SELECT min(parked_at) AS value FROM ${parked} WHERE before_join = 0`),
      reasons: grouped(`SELECT about FROM ${parked} WHERE before_join = 0`),
    },
    givenUp: grouped(`SELECT about FROM ${settled} WHERE decision = 'given_up' OR about = 'undecryptable'`, since),
    gaps: grouped(`SELECT room_id AS about FROM gaps WHERE state = 'open' LIMIT ${MOST_LOOKED_AT}`),
    outbox: Object.fromEntries(lanes.map((lane) => [lane, depths.outbox(lane)])) as Record<Lane, number>,
    answers: {
      oldestQueuedAt: one(`SELECT min(queued_at) AS value FROM ${waiting}`),
      doubtful: one(`SELECT count(*) AS value FROM ${waiting} WHERE doubtful = 1`) ?? 0,
    },
    dropped: grouped(`SELECT about FROM ${droppedAnswers}`, since),
    droppedDoubtful: one(`SELECT count(*) AS value FROM ${droppedAnswers} AND doubtful = 1`, since) ?? 0,
    trust: takeTrustCensus(database, since),
    copySign: copyDoubt(database)?.sign ?? null,
    joined: database
      .prepare<{ room_id: RoomId; ever_encrypted: number }>(
        "SELECT room_id, ever_encrypted FROM rooms WHERE membership = 'join' ORDER BY room_id",
      )
      .all()
      .map((row) => ({ roomId: row.room_id, encrypted: row.ever_encrypted === 1 })),
  };
}
