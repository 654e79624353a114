/**
 * How much is in the journal, for the metrics. Guarantee: bounded cost, however much there is: the counting ends at `MOST_COUNTED`, and
 * goes over indexes that hold what is counted and nothing else.
 */
import type { Database } from "./database.ts";
import type { Lane } from "./outboxEntry.ts";

/** Past this a queue counts as this long; it takes some milliseconds. */
const MOST_COUNTED = 100_000;

export const inboxStates = ["new", "parked", "ready"] as const;
export const lanes = ["response", "receipt", "notice"] as const satisfies readonly Lane[];

export class Depths {
  private readonly database: Database;

  constructor(database: Database) {
    this.database = database;
  }

  /** Events that are on their way. */
  inbox(state: (typeof inboxStates)[number]): number {
    // The states stand in the text, so that the partial indexes are used.
    return this.count(`SELECT 1 FROM inbox WHERE state = '${state}'`);
  }

  /** What waits to be sent. */
  outbox(lane: Lane): number {
    return this.count(`SELECT 1 FROM outbox WHERE state = 'pending' AND lane = '${lane}'`);
  }

  /** Whether a message waits to be sent; receipts are none. */
  messagesWait(): boolean {
    const sql = "SELECT 1 FROM outbox WHERE state = 'pending' AND lane IN ('response', 'notice') LIMIT 1";
    return this.database.prepare(sql).get() !== undefined;
  }

  openGaps(): number {
    return this.count("SELECT 1 FROM gaps WHERE state = 'open'");
  }

  joinedRooms(): number {
    return this.count("SELECT 1 FROM rooms WHERE membership = 'join'");
  }

  private count(rows: string): number {
    const sql = `SELECT count(*) AS n FROM (${rows} LIMIT ${MOST_COUNTED})`;
    return this.database.prepare<{ n: number }>(sql).get()?.n ?? 0;
  }
}
