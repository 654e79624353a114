/**
 * The inbox: every timeline event from its arrival to its settlement. An entry is
 *   new      arrived, not yet decrypted
 *   parked   its room key is missing
 *   ready    decided: a handler is to run
 *   settled  done, with a decision and a reason; for ever
 * and only the methods here change that. Guarantees: a sync is kept as a whole or not at all; an event ID is taken once;
 * settling is one compare-and-set, with the drafts of its answer in the same transaction.
 */
import type { Clock, EpochMs } from "../clock.ts";
import { LeaseLost } from "../errors.ts";
import { Nudge } from "../lifecycle.ts";
import type { RawEvent } from "../protocol/events.ts";
import type { EventId, RoomId, SyncToken, UserId } from "../protocol/ids.ts";
import type { Database } from "./database.ts";
import { accept, unpark } from "./accept.ts";
import type { Gaps } from "./gaps.ts";
import type { Invites } from "./invites.ts";
import type { Draft, Outbox } from "./outbox.ts";
import { claimOverdue, claimReady } from "./readyQueue.ts";
import type { RoomStates } from "./roomStates.ts";
import type { SessionKey, SyncBatch } from "./syncBatch.ts";

export interface InboxEntry {
  /** Place in the order of arrival. */
  readonly seq: number;
  readonly event: RawEvent;
  readonly receivedAt: EpochMs;
  readonly arrival: "live" | "gap";
  /** Redacted before its turn. */
  readonly redacted: boolean;
  /** When the handler must have finished; null where nobody waits, and before the entry was decided. */
  readonly deadline: EpochMs | null;
  /** True where the event was parked before: the record has an entry without clear text. */
  readonly late: boolean;
}

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
    }
  | { readonly kind: "park"; readonly sessionId: string | null; readonly reason: string };

export interface InboxRow {
  seq: number;
  event_id: EventId;
  room_id: RoomId;
  raw: string;
  received_at: number;
  arrival: "live" | "gap";
  redacted: number;
  deadline: number;
  parked_at: number | null;
}

export const ENTRY_COLUMNS = "seq, event_id, room_id, raw, received_at, arrival, redacted, deadline, parked_at";
/** Stands for "no deadline" in the column, so that the index orders it last. */
export const NO_DEADLINE = Number.MAX_SAFE_INTEGER;

export class Inbox {
  /** Something is new: for the decryptor. */
  readonly arrived = new Nudge();
  /** Something is ready: for the worker. */
  readonly readied = new Nudge();
  private readonly database: Database;
  private readonly clock: Clock;
  private readonly rooms: RoomStates;
  private readonly gaps: Gaps;
  private readonly invites: Invites;
  private readonly outbox: Outbox;
  private readonly ownUser: UserId;
  private keyArrivals = 0;

  constructor(ports: {
    database: Database;
    clock: Clock;
    rooms: RoomStates;
    gaps: Gaps;
    invites: Invites;
    outbox: Outbox;
    ownUser: UserId;
  }) {
    this.database = ports.database;
    this.clock = ports.clock;
    this.rooms = ports.rooms;
    this.gaps = ports.gaps;
    this.invites = ports.invites;
    this.outbox = ports.outbox;
    this.ownUser = ports.ownUser;
    // One process owns the directory, so a lease that outlived its process is void.
    this.database.transaction(() => {
      this.database.prepare("UPDATE inbox SET lease_until = 0 WHERE state = 'ready' AND lease_until > 0").run();
    });
  }

  /** The sync token up to which everything is on disk; null before the first sync. */
  position(): SyncToken | null {
    const row = this.database.prepare<{ value: string }>("SELECT value FROM meta WHERE key = 'sync_token'").get();
    return row === undefined ? null : (row.value as SyncToken);
  }

  /**
   * One transaction: held crypto writes, events (once for each event ID), gaps, invites, room state, then the token.
   * @returns how many events were new, and the rooms whose timeline has a new gap
   * @throws StoreFailed nothing was kept then, and the token stands where it stood
   */
  async accept(batch: SyncBatch): Promise<{ added: number; gaps: readonly RoomId[] }> {
    const result = this.database.transaction(() => accept(batch, this.database, this.ownUser, this));
    if (batch.newSessions.length > 0) this.keyArrivals += 1;
    if (result.added > 0 || result.unparked > 0) this.arrived.nudge();
    if (batch.invites.length > 0) this.invites.announce();
    return { added: result.added, gaps: result.gaps };
  }

  /** The ports that `accept` writes through; they share its transaction. */
  get acceptPorts(): { rooms: RoomStates; gaps: Gaps; invites: Invites } {
    return { rooms: this.rooms, gaps: this.gaps, invites: this.invites };
  }

  /** Keys came outside of a sync. @returns how many parked entries may be decrypted now */
  async unpark(sessions: readonly SessionKey[]): Promise<number> {
    const unparked = this.database.transaction(() => unpark(this.database, sessions));
    this.keyArrivals += 1;
    if (unparked > 0) this.arrived.nudge();
    return unparked;
  }

  /** Entries that wait for decryption or a handler. */
  backlog(): number {
    const count = (state: string): number =>
      this.database.prepare<{ n: number }>(`SELECT count(*) AS n FROM inbox WHERE state = '${state}'`).get()?.n ?? 0;
    return count("new") + count("ready");
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
        } else if (keyEpoch !== this.keyArrivals) {
          again = true;
          this.database
            .prepare("UPDATE inbox SET parked_at = coalesce(parked_at, ?) WHERE seq = ?")
            .run(now, entry.seq);
        } else {
          this.database
            .prepare(
              "UPDATE inbox SET state = 'parked', session_id = ?, reason = ?, parked_at = coalesce(parked_at, ?) WHERE seq = ? AND state = 'new'",
            )
            .run(route.sessionId, route.reason, now, entry.seq);
        }
      }
    });
    if (ready) this.readied.nudge();
    if (again) this.arrived.nudge();
    if (routes.some(({ route }) => route.kind === "settle" && route.drafts.length > 0)) this.outbox.announce();
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
      .prepare<{ deadline: number | null }>(
        "SELECT min(deadline) AS deadline FROM inbox WHERE state = 'ready' AND lease_until < ?",
      )
      .get(this.clock.now());
    return row?.deadline == null || row.deadline === NO_DEADLINE ? null : row.deadline;
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
    if (drafts.length > 0) this.outbox.announce();
    this.readied.nudge();
  }

  /**
   * Settles parked entries that waited too long, and the oldest where too many wait. Their record stays.
   * @returns what was given up, for the log and the metrics: never silently
   */
  async giveUpParked(limit: {
    before: EpochMs;
    keep: number;
    max: number;
  }): Promise<readonly { eventId: EventId; roomId: RoomId; reason: string }[]> {
    const now = this.clock.now();
    return this.database.transaction(() => {
      const parked =
        this.database.prepare<{ n: number }>("SELECT count(*) AS n FROM inbox WHERE state = 'parked'").get()?.n ?? 0;
      const rows = this.database
        .prepare<{ seq: number; event_id: EventId; room_id: RoomId; parked_at: number }>(
          "SELECT seq, event_id, room_id, parked_at FROM inbox WHERE state = 'parked' ORDER BY parked_at LIMIT ?",
        )
        .all(limit.max);
      const given = rows.filter((row, place) => row.parked_at < limit.before || place < parked - limit.keep);
      for (const row of given) {
        this.database
          .prepare(
            "UPDATE inbox SET state = 'settled', decision = 'given_up', reason = 'no_key', settled_at = ? WHERE seq = ?",
          )
          .run(now, row.seq);
      }
      return given.map((row) => ({
        eventId: row.event_id,
        roomId: row.room_id,
        reason: row.parked_at < limit.before ? "waited_too_long" : "too_many_parked",
      }));
    });
  }

  /**
   * Settled rows lose their bodies at `bodiesBefore`, and go a day after their request's end and their body (DESIGN: the
   * event ID must outlive every overlapping backfill).
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
      return emptied.changes + removed.changes;
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

function toEntry(row: InboxRow): InboxEntry {
  return {
    seq: row.seq,
    event: JSON.parse(row.raw) as RawEvent,
    receivedAt: row.received_at,
    arrival: row.arrival,
    redacted: row.redacted === 1,
    deadline: row.deadline === NO_DEADLINE ? null : row.deadline,
    late: row.parked_at !== null,
  };
}
