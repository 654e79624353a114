/**
 * What has to be done now and then: bodies and rows whose time is over go, the disk is looked at before it is full, or gone,
 * and written to, whether or not there is anything to write.
 */
import type { Clock } from "../clock.ts";
import type { Database } from "../journal/database.ts";
import { requireFreeSpace } from "../journal/diskSpace.ts";
import type { Inbox } from "../journal/inbox.ts";
import type { Outbox } from "../journal/outbox.ts";
import { WorkLoop } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import type { Metrics } from "../metrics.ts";
import type { Vitals } from "../vitals.ts";

export interface HousekeepingPorts {
  readonly inbox: Inbox;
  readonly outbox: Outbox;
  readonly clock: Clock;
  readonly database: Database;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly vitals: Vitals;
  readonly freeDiskBytes: number;
  /** How long settled rows keep their bodies, in milliseconds. */
  readonly settledRowsMs: number;
  readonly onFailure: (error: unknown) => void;
}

const EVERY_MS = 5_000;
/** Between two probes while there is much to clean: each waits for the disk. */
const PROBE_PAUSE_MS = 1_000;
/** The inbox keeps event IDs this much longer than bodies, and answers stay with them. */
const DAY_MS = 24 * 60 * 60 * 1000;
/** Receipts that may wait for a homeserver that does not take them. */
const MOST_RECEIPTS = 100_000;
/** Rows in one transaction: small enough that the pipeline does not notice. */
const BATCH = 500;

export class Housekeeping extends WorkLoop {
  private readonly ports: HousekeepingPorts;
  private probedAt = 0;

  constructor(ports: HousekeepingPorts) {
    super(ports.onFailure);
    this.ports = ports;
  }

  protected async work(): Promise<boolean> {
    const { database, inbox, outbox, clock, log, metrics, vitals, freeDiskBytes, settledRowsMs } = this.ports;
    const { directory } = database;
    database.requireInPlace();
    const free = requireFreeSpace(directory, freeDiskBytes);
    if (Math.abs(clock.now() - this.probedAt) >= PROBE_PAUSE_MS) {
      this.probedAt = clock.now();
      database.probe(this.probedAt);
      vitals.wrote(clock.now(), free);
    }
    const before = clock.now() - settledRowsMs;
    const cleaned = (await inbox.clean(before, BATCH)) + (await outbox.clean(before - DAY_MS, BATCH));
    const given = await outbox.dropOldest("receipt", MOST_RECEIPTS, BATCH);
    if (given > 0) {
      metrics.sends.inc({ lane: "receipt", outcome: "too_many_waiting" }, given);
      log.warn({ lane: "receipt", reason: "too_many_waiting", count: given }, "receipts dropped, the oldest first");
    }
    // Between two batches others may work.
    await clock.sleep(0);
    return cleaned >= BATCH || given >= BATCH;
  }

  protected rest(): Promise<void> {
    return this.ports.clock.sleep(EVERY_MS, this.signal);
  }
}
