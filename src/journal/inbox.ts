/**
 * The inbox: every timeline event from its arrival to its settlement. An entry is
 *   new      arrived, not yet decrypted
 *   parked   its room key is missing, or its sender is not trusted
 *   ready    decided: a handler is to run
 *   settled  done, with a decision and a reason; for ever
 * and only the methods here change that. Guarantees: a sync is kept as a whole or not at all; an event ID is taken once;
 * settling is one compare-and-set, with the drafts of its answer in the same transaction.
 */
import type { Clock, EpochMs } from "../clock.ts";
import { LeaseLost } from "../errors.ts";
import { Nudge } from "../lifecycle.ts";
import type { RoomId, SyncToken, UserId } from "../protocol/ids.ts";
import type { Database } from "./database.ts";
import { accept, type AcceptPorts } from "./accept.ts";
import { ENTRY_COLUMNS, NO_DEADLINE, toEntry, type InboxEntry, type InboxRow } from "./inboxEntry.ts";
import type { Outbox } from "./outbox.ts";
import type { Draft } from "./outboxEntry.ts";
import {
  giveUpParked,
  park,
  unpark,
  unparkRoom,
  unparkUntrusted,
  type GivenUp,
  type Parking,
  type ParkingLimit,
} from "./parking.ts";
import { claimOverdue, claimReady } from "./readyQueue.ts";
import type { SessionKey, SyncBatch } from "./syncBatch.ts";
import { syncPosition } from "./syncPosition.ts";

/** Why an entry is settled: a word for the log and the metrics, and a reason where there is one. */
export interface Decision {
  readonly decision: "no_answer" | "answered" | "handled" | "given_up";
  readonly reason: string;
}

export type Route =
  | {
      readonly kind: "settle";
      readonly decision: Decision;
      readonly expiresAt: EpochMs | null;
      readonly drafts: readonly Draft[];
    }
  | {
      readonly kind: "ready";
      readonly deadline: EpochMs | null;
      readonly expiresAt: EpochMs | null;
      readonly ordered: boolean;
      readonly drafts: readonly Draft[];
    }
  | ({ readonly kind: "park" } & Parking);

export class Inbox {
  /** Something is new: for the decryptor. */
  readonly arrived = new Nudge();
  /** Something is ready: for the worker. */
  readonly readied = new Nudge();
  private readonly database: Database;
  private readonly clock: Clock;
  private readonly ports: AcceptPorts;
  private readonly outbox: Outbox;
  private keyArrivals = 0;

  constructor(ports: AcceptPorts & { clock: Clock; outbox: Outbox }) {
    this.ports = ports;
    this.database = ports.database;
    this.clock = ports.clock;
    this.outbox = ports.outbox;
    // One process owns the directory, so a lease that outlived its process is void.
    this.database.transaction(() => {
      this.database.prepare("UPDATE inbox SET lease_until = 0 WHERE state = 'ready' AND lease_until > 0").run();
    });
  }

  /** The sync token up to which everything is on disk; null before the first sync. */
  position(): SyncToken | null {
    return syncPosition(this.database);
  }

  /**
   * One transaction: held crypto writes, events (once for each event ID), gaps, invites, room state, then the token.
   * @returns how many events were new, and the rooms whose timeline has a new gap
   * @throws StoreFailed nothing was kept then, and the token stands where it stood
   */
  async accept(batch: SyncBatch): Promise<{ added: number; gaps: readonly RoomId[] }> {
    const result = this.database.transaction(() => accept(batch, this.ports));
    if (batch.newSessions.length + batch.withheldSessions.length > 0) this.keyArrivals += 1;
    if (result.added > 0 || result.unparked > 0) this.arrived.nudge();
    if (batch.rooms.length > 0 || batch.invites.length > 0) this.ports.rooms.announce();
    if (batch.invites.length > 0) this.ports.invites.announce();
    return { added: result.added, gaps: result.gaps };
  }

  /** Keys came outside of a sync. @returns how many parked entries may be decrypted now */
  async unpark(sessions: readonly SessionKey[]): Promise<number> {
    const unparked = this.database.transaction(() => unpark(this.database, sessions));
    this.keyArrivals += 1;
    if (unparked > 0) this.arrived.nudge();
    return unparked;
  }

  /** Keys of the room came outside of a sync, and it is not known which: all that is parked there is tried again. */
  async unparkRoom(roomId: RoomId): Promise<void> {
    const unparked = this.database.transaction(() => unparkRoom(this.database, roomId));
    this.keyArrivals += 1;
    if (unparked > 0) this.arrived.nudge();
  }

  /** More is known of these senders (null: of any): what was refused for their sake is tried again. @returns how many entries */
  async unparkUntrusted(senders: readonly UserId[] | null): Promise<number> {
    const unparked = this.database.transaction(() => unparkUntrusted(this.database, senders));
    this.keyArrivals += 1;
    if (unparked > 0) this.arrived.nudge();
    return unparked;
  }

  /** A claimed entry whose sender is not trusted any more. @throws LeaseLost it is settled already */
  async parkClaimed(entry: InboxEntry, parking: Parking): Promise<void> {
    const parked = this.database.transaction(() => park(this.database, entry, "ready", parking, this.clock.now()));
    if (!parked) throw new LeaseLost(`${entry.event.event_id} is settled already`);
    this.readied.nudge();
  }

  /** Entries that wait for decryption or a handler. @param most counting ends there */
  backlog(most: number): number {
    const row = this.database
      .prepare<{ n: number }>(
        "SELECT count(*) AS n FROM (SELECT 1 FROM inbox WHERE state = 'new' UNION ALL SELECT 1 FROM inbox WHERE state = 'ready' LIMIT ?)",
      )
      .get(most);
    return row?.n ?? 0;
  }

  /** Counts key arrivals: read it before decrypting, hand it to `route`, and no key can slip by between the two. */
  keyEpoch(): number {
    return this.keyArrivals;
  }

  /** New entries in the order of arrival, live before backfill. Not leased: the decryptor is one. */
  async takeNew(max: number): Promise<readonly InboxEntry[]> {
    return this.database
      .prepare<InboxRow>(`SELECT ${ENTRY_COLUMNS} FROM inbox WHERE state = 'new' ORDER BY arrival DESC, seq LIMIT ?`)
      .all(max)
      .map(toEntry);
  }

  /**
   * Moves new entries on, all in one transaction.
   * @param keyEpoch from before the decryption: where keys came since, an entry that would be parked stays new
   */
  async route(routes: readonly { entry: InboxEntry; route: Route }[], keyEpoch: number): Promise<void> {
    const now = this.clock.now();
    let ready = false;
    let again = false;
    this.database.transaction(() => {
      for (const { entry, route } of routes) {
        if (route.kind === "settle") {
          this.settleRow(entry, "new", route.decision, route.expiresAt, route.drafts, now);
        } else if (route.kind === "ready") {
          ready = true;
          this.database
            .prepare(
              "UPDATE inbox SET state = 'ready', deadline = ?, expires_at = ?, ordered = ? WHERE seq = ? AND state = 'new'",
            )
            .run(route.deadline ?? NO_DEADLINE, route.expiresAt, Number(route.ordered), entry.seq);
          this.outbox.insert(route.drafts, now);
        } else if (keyEpoch !== this.keyArrivals) {
          again = true;
          this.database
            .prepare("UPDATE inbox SET parked_at = coalesce(parked_at, ?) WHERE seq = ?")
            .run(now, entry.seq);
        } else {
          park(this.database, entry, "new", route, now);
        }
      }
    });
    if (ready) this.readied.nudge();
    if (again) this.arrived.nudge();
    const drafts = routes.flatMap(({ route }) => (route.kind === "park" ? [] : route.drafts));
    this.outbox.announce(drafts.map(({ lane }) => lane));
  }

  /**
   * Ready entries, earliest deadline first, fair between rooms; leased.
   * @param want.max how many at most
   * @param want.perRoom how many of one room may be in work at once
   * @param want.leaseMs milliseconds
   */
  async claim(want: { max: number; perRoom: number; leaseMs: number }): Promise<readonly InboxEntry[]> {
    return this.database.transaction(() => claimReady(this.database, want, this.clock.now())).map(toEntry);
  }

  /** Entries whose deadline is over and that nobody works on: they are owed a time-out, whatever else is busy. Leased. */
  async claimOverdue(want: { max: number; leaseMs: number }): Promise<readonly InboxEntry[]> {
    return this.database.transaction(() => claimOverdue(this.database, want, this.clock.now())).map(toEntry);
  }

  /** The earliest deadline of a ready entry that nobody works on; null where none has one. */
  nextDeadline(): EpochMs | null {
    const row = this.database
      .prepare<{ deadline: number }>(
        "SELECT deadline FROM inbox WHERE state = 'ready' AND lease_until < ? ORDER BY deadline LIMIT 1",
      )
      .get(this.clock.now());
    return row === undefined || row.deadline === NO_DEADLINE ? null : row.deadline;
  }

  async renew(entry: InboxEntry, leaseMs: number): Promise<void> {
    this.database.transaction(() => {
      this.database
        .prepare("UPDATE inbox SET lease_until = ? WHERE seq = ? AND state = 'ready'")
        .run(this.clock.now() + leaseMs, entry.seq);
    });
  }

  /** Gives a claimed entry back, for a bot that stops. */
  async release(entry: InboxEntry): Promise<void> {
    this.database.transaction(() => {
      this.database.prepare("UPDATE inbox SET lease_until = 0 WHERE seq = ? AND state = 'ready'").run(entry.seq);
    });
  }

  /**
   * One transaction, one compare-and-set: decision and drafts.
   * @throws LeaseLost somebody settled it first; nothing was written
   */
  async settle(entry: InboxEntry, decision: Decision, drafts: readonly Draft[]): Promise<void> {
    const now = this.clock.now();
    this.database.transaction(() => {
      if (!this.settleRow(entry, "ready", decision, null, drafts, now))
        throw new LeaseLost(`${entry.event.event_id} is settled already`);
    });
    this.outbox.announce(drafts.map(({ lane }) => lane));
    this.readied.nudge();
  }

  /** See `giveUpParked` in parking.ts. */
  async giveUpParked(limit: ParkingLimit): Promise<readonly GivenUp[]> {
    return this.database.transaction(() => giveUpParked(this.database, limit, this.clock.now()));
  }

  /**
   * Settled rows lose their bodies at `bodiesBefore`, and go a day after their request's end and their body (the
   * event ID must outlive every overlapping backfill). What was set aside as malformed goes with the bodies.
   */
  async clean(bodiesBefore: EpochMs, max: number): Promise<number> {
    const now = this.clock.now();
    const dayMs = 24 * 60 * 60 * 1000;
    return this.database.transaction(() => {
      const emptied = this.database
        .prepare(
          "UPDATE inbox SET raw = NULL WHERE seq IN (SELECT seq FROM inbox WHERE state = 'settled' AND settled_at < ? AND raw IS NOT NULL LIMIT ?)",
        )
        .run(bodiesBefore, max);
      const removed = this.database
        .prepare(
          "DELETE FROM inbox WHERE seq IN (SELECT seq FROM inbox WHERE state = 'settled' AND settled_at < ? AND coalesce(expires_at, 0) < ? LIMIT ?)",
        )
        .run(bodiesBefore - dayMs, now - dayMs, max);
      const malformed = this.database
        .prepare(
          "DELETE FROM malformed_events WHERE id IN (SELECT id FROM malformed_events WHERE received_at < ? LIMIT ?)",
        )
        .run(bodiesBefore, max);
      return emptied.changes + removed.changes + malformed.changes;
    });
  }

  private settleRow(
    entry: InboxEntry,
    from: "new" | "ready",
    decision: Decision,
    expiresAt: EpochMs | null,
    drafts: readonly Draft[],
    now: EpochMs,
  ): boolean {
    const { changes } = this.database
      .prepare(
        `UPDATE inbox SET state = 'settled', decision = ?, reason = ?, settled_at = ?, lease_until = 0, expires_at = coalesce(?, expires_at)
         WHERE seq = ? AND state = ?`,
      )
      .run(decision.decision, decision.reason, now, expiresAt, entry.seq, from);
    if (changes === 0) return false;
    this.outbox.insert(drafts, now);
    return true;
  }
}
