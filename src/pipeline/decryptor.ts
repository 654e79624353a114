/**
 * Takes new events in the order of arrival, live before backfill: decrypts or parks them, recognises replays, has them recorded,
 * and decides; what could be read gets its receipt. Guarantees: the record is on disk before the decision; no key that comes
 * meanwhile is missed; no receipt for what could not be read.
 */
import type { Clock } from "../clock.ts";
import type { CryptoEngine, Undecryptable, UndecryptableReason } from "../crypto/cryptoEngine.ts";
import type { Inbox, Route } from "../journal/inbox.ts";
import type { InboxEntry } from "../journal/inboxEntry.ts";
import type { MessageIndexes } from "../journal/messageIndexes.ts";
import type { RoomStates } from "../journal/roomStates.ts";
import { supervise, WorkLoop } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import type { Metrics } from "../metrics.ts";
import type { Decision } from "../protocol/decision.ts";
import type { EventId } from "../protocol/ids.ts";
import type { Vitals } from "../vitals.ts";
import type { Judge } from "./judge.ts";
import type { OpenedEvent } from "../crypto/openEvent.ts";
import type { Recordable, Recorder } from "./recorder.ts";
import type { TrustedOpening } from "./trustedOpening.ts";

export interface DecryptorPorts {
  readonly inbox: Inbox;
  readonly engine: CryptoEngine;
  readonly indexes: MessageIndexes;
  readonly rooms: RoomStates;
  readonly recorder: Recorder;
  readonly judge: Judge;
  readonly opening: TrustedOpening;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly vitals: Vitals;
  readonly onFailure: (error: unknown) => void;
  /** How long a parked event waits for its key, in milliseconds, and how many may wait. */
  readonly parking: { readonly waitMs: () => number; readonly max: number };
}

/** Commits are shared by this many events; small enough that an urgent one does not wait long. */
const BATCH = 50;
const POLL_MS = 1_000;
/** What a key, or better knowledge of the sender, may still change. */
const KEY_MAY_HELP: ReadonlySet<UndecryptableReason> = new Set([
  "no_session",
  "unknown_index",
  "withheld",
  "untrusted",
]);
const SENDERS_FAULT: ReadonlySet<UndecryptableReason> = new Set(["malformed", "unsupported_algorithm"]);
const GIVE_UP_EVERY_MS = 10_000;
const GIVE_UP_BATCH = 1_000;

export class Decryptor extends WorkLoop {
  private readonly ports: DecryptorPorts;
  private nextGiveUpAt = 0;

  constructor(ports: DecryptorPorts) {
    super(ports.onFailure);
    this.ports = ports;
  }

  protected async work(): Promise<boolean> {
    await this.giveUp();
    const { inbox } = this.ports;
    const keyEpoch = inbox.keyEpoch();
    const entries = await inbox.takeNew(BATCH);
    if (entries.length === 0) return false;
    const events = await this.open(entries);
    await this.ports.recorder.keep(events);
    await inbox.route(
      events.map((event) => ({ entry: event.entry, route: this.decide(event) })),
      keyEpoch,
    );
    this.tellVerifications(events);
    return true;
  }

  protected rest(): Promise<void> {
    return this.ports.inbox.arrived.wait(this.signal, POLL_MS);
  }

  /** What was refused for its sender's sake is looked at once more: the policy may be another one, or something was missed by a kill. */
  reconsider(): void {
    void supervise(this.ports.inbox.unparkUntrusted(null), (error) => this.fail(error));
  }

  override async start(): Promise<void> {
    await this.ports.inbox.unparkUntrusted(null);
    await super.start();
  }

  private async open(entries: readonly InboxEntry[]): Promise<readonly Recordable[]> {
    const opened: { entry: InboxEntry; opened: OpenedEvent | Undecryptable }[] = [];
    for (const entry of entries) {
      const event = { entry, opened: (await this.ports.opening.open(entry)).opened };
      this.tell(event);
      opened.push(event);
    }
    const encrypted = opened.flatMap((event) =>
      event.opened.kind === "clear" && event.opened.encryptedAs !== null
        ? [{ ...event, place: event.opened.encryptedAs }]
        : [],
    );
    const firsts = await this.ports.indexes.claim(
      encrypted.map(({ entry, place }) => ({ ...place, roomId: entry.event.room_id, eventId: entry.event.event_id })),
    );
    for (const roomId of new Set(encrypted.map(({ entry }) => entry.event.room_id))) {
      if (this.ports.rooms.view(roomId)?.everEncrypted === false) this.ports.rooms.markEncrypted(roomId);
    }
    const firstOf = new Map<EventId, EventId>(
      encrypted.map(({ entry }, place) => [entry.event.event_id, firsts[place] ?? entry.event.event_id]),
    );
    return opened.map((event) => {
      const eventId = event.entry.event.event_id;
      const first = firstOf.get(eventId) ?? eventId;
      return { ...event, replayOf: first === eventId ? null : first };
    });
  }

  /** After they are settled: none comes twice. Those from before the join, and replays, are too late for any verification. */
  private tellVerifications(events: readonly Recordable[]): void {
    for (const { entry, opened, replayOf } of events) {
      if (opened.kind !== "clear" || replayOf !== null || entry.beforeJoin || entry.redacted) continue;
      this.ports.engine.verifications.receive(entry.event, opened.type, opened.content);
    }
  }

  /** Whether the bot can still decrypt what others send. What nobody could decrypt, or was not for the bot yet, says nothing about that. */
  private tell({ entry, opened }: { entry: InboxEntry; opened: OpenedEvent | Undecryptable }): void {
    const { event, beforeJoin } = entry;
    if (event.sender === this.ports.engine.identity.userId || beforeJoin) return;
    if (opened.kind === "clear") {
      if (opened.encryptedAs === null) return;
      this.ports.vitals.decrypted();
      this.ports.metrics.decryptedEvents.inc({ trust: opened.trust.level });
    } else if (!SENDERS_FAULT.has(opened.reason)) {
      this.ports.vitals.notDecrypted(event.event_id, opened.reason);
    }
  }

  private decide({ entry, opened, replayOf }: Recordable): Route {
    if (opened.kind === "undecryptable") return this.park(entry, opened);
    const decision = this.ports.judge.judge(entry, opened, replayOf !== null);
    const receipt = this.ports.judge.receipt(entry, replayOf !== null);
    // Nothing is lost by settling at once what would not be handled, whoever sent it.
    if (!this.ports.opening.accepts(opened) && (decision.kind !== "ignore" || receipt.length > 0))
      return this.parkUntrusted(entry);
    this.countForeignDevice(decision, opened);
    if (decision.kind === "ignore") return this.settle(entry, "no_answer", decision.reason, null, receipt);
    if (decision.kind === "answer" && this.ports.opening.wouldWarn(opened)) {
      // The worker can wait until more is known of the sender.
      const { expiresAt } = decision;
      return {
        kind: "ready",
        deadline: this.ports.judge.handlerDeadline(decision),
        expiresAt,
        ordered: false,
        drafts: receipt,
      };
    }
    if (decision.kind === "answer") {
      const draft = this.ports.judge.draft(entry, opened, decision);
      return this.settle(entry, "answered", decision.code, decision.expiresAt, [draft, ...receipt]);
    }
    const request = decision.request;
    return {
      kind: "ready",
      deadline: request?.handlerDeadline ?? null,
      expiresAt: request?.expiresAt ?? null,
      ordered: this.ports.judge.handlerOf(opened)?.ordered ?? false,
      drafts: receipt,
    };
  }

  /** The request names a device other than the one that encrypted it: decided all the same, recorded, and counted. */
  private countForeignDevice(decision: Decision, opened: OpenedEvent): void {
    const named =
      decision.kind === "handle"
        ? decision.request?.fromDevice
        : decision.kind === "answer"
          ? decision.fromDevice
          : null;
    if (opened.encryptedAs === null || typeof named !== "string" || named === opened.trust.deviceId) return;
    this.ports.metrics.foreignDevices.inc();
  }

  private parkUntrusted(entry: InboxEntry): Route {
    const { room_id: roomId, event_id: eventId } = entry.event;
    this.ports.metrics.parked.inc({ reason: "untrusted" });
    this.ports.log.info({ roomId, eventId, reason: "untrusted" }, "parked: its sender's device is not cross-signed");
    // No key is waited for.
    return { kind: "park", sessionId: null, reason: "untrusted" };
  }

  private park(entry: InboxEntry, { reason, sessionId, withheldCode }: Undecryptable): Route {
    this.ports.metrics.decryptionFailures.inc({ reason });
    // Without a session there is no key to wait for; what was redacted has no text to wait for.
    if (entry.redacted) return this.settle(entry, "no_answer", "redacted", null, []);
    if (sessionId === null || !KEY_MAY_HELP.has(reason))
      return this.settle(entry, "no_answer", "undecryptable", null, []);
    const { room_id: roomId, event_id: eventId } = entry.event;
    this.ports.metrics.parked.inc({ reason });
    this.ports.log.info({ roomId, eventId, reason }, "parked: it can't be decrypted yet");
    return { kind: "park", sessionId, reason, ...(withheldCode === undefined ? {} : { withheldCode }) };
  }

  private settle(
    entry: InboxEntry,
    decision: "no_answer" | "answered",
    reason: string,
    expiresAt: number | null,
    drafts: Extract<Route, { kind: "settle" }>["drafts"],
  ): Route {
    this.ports.metrics.decisions.inc({ decision, reason });
    const { room_id: roomId, event_id: eventId } = entry.event;
    const ms = this.ports.clock.now() - entry.receivedAt;
    this.ports.log.info({ roomId, eventId, decision, reason, ms }, "decided");
    return { kind: "settle", decision: { decision, reason }, expiresAt, drafts };
  }

  private async giveUp(): Promise<void> {
    const now = this.ports.clock.now();
    if (now < this.nextGiveUpAt) return;
    this.nextGiveUpAt = now + GIVE_UP_EVERY_MS;
    const { waitMs, max } = this.ports.parking;
    const given = await this.ports.inbox.giveUpParked({ before: now - waitMs(), keep: max, max: GIVE_UP_BATCH });
    // There may be more: the limit is one.
    if (given.length === GIVE_UP_BATCH) this.nextGiveUpAt = now;
    for (const { roomId, eventId, reason } of given) {
      this.ports.metrics.decisions.inc({ decision: "given_up", reason });
      this.ports.log.warn(
        { roomId, eventId, decision: "given_up", reason },
        "what it waited for never came; the record keeps the event as it is",
      );
    }
  }
}
