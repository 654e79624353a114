/**
 * Asks a room for a status, and waits: one request from the first look at the room to the last answer.
 *
 * The order is what keeps an answer from being missed and a request from being misread: first what came for this device while it was
 * away, then the room's members and state, then our keys where others can see them, then the sync that brings the answers, and only
 * then the event. Guarantees: nothing leaves in the clear in a room that is, or ever was, encrypted; every attempt to send has the
 * same transaction ID; an answer counts only as tally.ts says.
 */
import { randomUUID } from "node:crypto";
import type { Clock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import { Cancelled, ServerRefused, ServerUnreachable } from "../errors.ts";
import type { Database } from "../journal/database.ts";
import { RoomStates } from "../journal/roomStates.ts";
import { supervise } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import type { OutgoingEvent } from "../matrix/homeserver.ts";
import { offersStateAfter } from "../matrix/syncQuery.ts";
import type { Dialect } from "../protocol/dialects.ts";
import type { EventId, RoomId, TxnId } from "../protocol/ids.ts";
import { readReference } from "../protocol/responses.ts";
import { identityUpkeep } from "../session/identityUpkeep.ts";
import { openSession, type Session } from "../session/openSession.ts";
import { SyncLoop } from "../session/syncLoop.ts";
import { Vitals } from "../vitals.ts";
import { deliver } from "./delivery.ts";
import type { Expectation } from "./expectation.ts";
import { MissedEvents } from "./missedEvents.ts";
import { keysPublished } from "./publishedKeys.ts";
import { withRequest, type Subject } from "./question.ts";
import { Replies } from "./replies.ts";
import { exitCodes, type Fact, type Summary } from "./report.ts";
import { filterOf, RoomFollower } from "./roomFollower.ts";
import { findRoom, readRoom } from "./roomLookup.ts";

export interface Question {
  /** A room ID or an alias. */
  readonly room: string;
  readonly subject: Subject;
  readonly dialect: Dialect;
  readonly lifetimeMs: number;
  /** The only device that should answer; null: any. */
  readonly toDevice: string | null;
  readonly expectation: Expectation;
}

/** How things stand while answers are waited for. */
export interface Waiting {
  readonly answers: number;
  readonly missing: number;
  readonly receivedBy: number;
  readonly leftMs: number;
}

export interface AskPorts {
  readonly database: Database;
  readonly config: Pick<Config, "file" | "account" | "homeserver" | "network" | "encryption">;
  readonly clock: Clock;
  readonly log: Logger;
  /** Stops waiting: what is there by then counts. */
  readonly stop: AbortSignal;
  readonly onFatal: (error: Error) => never;
  /** Shows the recovery key of a new identity to the person at the terminal; null: nobody is there. */
  readonly showRecoveryKey: ((recoveryKey: string) => void) | null;
  readonly tell: (fact: Fact) => void;
  /** Says something to the person, in sentences, that is no fact about the request. */
  readonly warn: (text: string) => void;
  /** Called at least once a second. */
  readonly showWaiting: (state: Waiting) => void;
}

/** What comes after the lifetime is asked for once more, so that it can be said; no longer than this. */
const LAST_LOOK_MS = 5_000;
const TICK_MS = 1_000;

/**
 * @returns the summary, which was told as the last fact
 * @throws ConfigError | DataDirectoryRefused | ServerUnreachable | ServerRefused (but for the event itself) | StoreFailed
 */
export async function ask(question: Question, ports: AskPorts): Promise<Summary> {
  const exchange = new Exchange(question, ports);
  try {
    return await exchange.run();
  } catch (error) {
    if (!(error instanceof Cancelled) || !ports.stop.aborted) throw error;
    return exchange.summary("too_few");
  } finally {
    await exchange.close();
  }
}

class Exchange {
  private readonly question: Question;
  private readonly ports: AskPorts;
  private readonly rooms: RoomStates;
  private readonly txnId = `docket-request-${randomUUID()}` as TxnId;
  private readonly replies: Replies;
  private readonly closing: (() => Promise<void>)[] = [];
  private eventId: EventId | null = null;
  private failure: { readonly error: unknown } | null = null;

  constructor(question: Question, ports: AskPorts) {
    this.question = question;
    this.ports = ports;
    this.rooms = new RoomStates(ports.database);
    this.replies = new Replies(this.txnId, ports.config.account.user, ports.tell);
  }

  /** Who answers to signed devices alone (MSC4153), as Docket does, gives an unsigned one no key. It must not keep the question from being asked. */
  private async signUp(session: Session, onFailure: (error: unknown) => void): Promise<void> {
    const { database, config, clock, log, stop, showRecoveryKey } = this.ports;
    const vitals = new Vitals();
    const upkeep = identityUpkeep(session, { database, config, showRecoveryKey, clock, log, vitals, onFailure });
    this.closing.push(() => upkeep.stop());
    await upkeep.start(stop);
    for (const note of vitals.notes()) this.ports.warn(`answers may not be readable here. ${note}`);
  }

  async run(): Promise<Summary> {
    const { database, config, clock, log, stop, onFatal } = this.ports;
    const onFailure = (error: unknown): void => this.fail(error);
    let follower: RoomFollower | null = null;
    const session = await openSession(database, config, {
      clock,
      log,
      signal: stop,
      role: "requester",
      patience: "once",
      onFatal,
      onNewSessions: () => void supervise(follower?.readAgain() ?? Promise.resolve(), onFailure),
    });
    this.closing.push(() => session.stop());
    const { homeserver, userId } = session;
    await session.start();
    const roomId = await findRoom(this.question.room, homeserver, stop);
    if (roomId === null) return this.refused("the homeserver knows no such alias", null);
    follower = this.followerOf(roomId, session, onFailure);
    const stateAfter = offersStateAfter(session.versions);
    await follower.catchUp(stateAfter, stop);
    const found = await readRoom(roomId, userId, homeserver, stop);
    if (found.kind === "refused") return this.refused(found.problem, found.refusal);
    follower.follow(found.state);
    if (this.rooms.view(roomId)?.everEncrypted === true) {
      await keysPublished(session, clock, stop);
      await this.signUp(session, onFailure);
    }
    await follower.catchUp(stateAfter, stop);
    const filter = filterOf(roomId);
    const vitals = new Vitals();
    const sync = new SyncLoop({ homeserver, receiver: follower, clock, log, vitals, stateAfter, filter, onFailure });
    this.closing.push(() => sync.stop());
    await sync.start();

    const refusal = await this.send(roomId, session);
    if (refusal !== null) return this.refused(refusal.message, refusal);
    await this.wait();
    await sync.stop();
    if (this.missing > 0 && !stop.aborted) await this.lastLook(follower, stateAfter);
    for (const event of follower.unread) {
      if (readReference(event.content) !== this.eventId) continue;
      this.ports.tell({ event: "unreadable", eventId: event.event_id, userId: event.sender });
    }
    return this.summary(this.replies.tally?.outcome ?? "too_few");
  }

  /** In reverse order. */
  async close(): Promise<void> {
    for (const close of this.closing.splice(0).reverse()) await close();
  }

  summary(outcome: Summary["outcome"]): Summary {
    const { tally } = this.replies;
    const answers = tally?.answers ?? [];
    const summary: Summary = {
      event: "summary",
      outcome,
      exitCode: exitCodes[outcome],
      eventId: this.eventId,
      answers: answers.length,
      errors: answers.filter(({ status }) => status === "error").length,
      expected: this.question.expectation.answers,
      missing: this.missing,
      receivedBy: [...(tally?.receivedBy.keys() ?? [])],
      stopped: this.ports.stop.aborted,
      ms: tally === null ? null : this.ports.clock.now() - tally.sentAt,
    };
    this.ports.tell(summary);
    return summary;
  }

  private get missing(): number {
    return this.replies.tally?.missing ?? this.question.expectation.answers;
  }

  private refused(problem: string, refusal: ServerRefused | null): Summary {
    this.ports.tell({ event: "refused", status: refusal?.status ?? null, errcode: refusal?.errcode ?? null, problem });
    return this.summary("refused");
  }

  private followerOf(roomId: RoomId, session: Session, onFailure: (error: unknown) => void): RoomFollower {
    const { database, clock, log } = this.ports;
    const { homeserver, engine, userId: ownUser } = session;
    const missed = new MissedEvents({ homeserver, clock, log, roomId, onFailure });
    this.closing.push(() => missed.stop());
    const { rooms, replies: listener } = this;
    return new RoomFollower({ database, rooms, engine, homeserver, missed, clock, ownUser, roomId, listener });
  }

  /** @returns why the homeserver does not take it; null where it was sent */
  private async send(roomId: RoomId, session: Session): Promise<ServerRefused | null> {
    const { subject, dialect, toDevice, lifetimeMs, expectation } = this.question;
    const { clock, log, stop: signal } = this.ports;
    const { homeserver, userId, deviceId } = session;
    const { event, encrypted, withheldFrom } = await this.prepare(roomId, session);
    const ports = { homeserver, clock, log, signal };
    const delivery = await deliver(event, this.txnId, lifetimeMs, this.replies.arrived, ports);
    if (delivery.kind === "refused") return delivery.refusal;
    const { eventId, sentAt } = delivery;
    this.eventId = eventId;
    const { type, askedTypes } = subject;
    const sent = { eventId, roomId, type, encrypted, userId, deviceId, dialect, lifetimeMs, withheldFrom };
    this.ports.tell({ event: "sent", ...sent });
    const own = { ownUser: userId, ownDevice: deviceId };
    this.replies.begin({ eventId, encrypted, ...own, toDevice, lifetimeMs, sentAt, expectation, askedTypes });
    return null;
  }

  private async prepare(
    roomId: RoomId,
    { engine, deviceId }: Session,
  ): Promise<{ event: OutgoingEvent; encrypted: boolean; withheldFrom: number }> {
    const { subject, dialect, toDevice, lifetimeMs } = this.question;
    const { type } = subject;
    const content = withRequest(subject, dialect, { fromDevice: deviceId, toDevice, lifetimeMs });
    // Looked at now: the sync runs, and the room may have become encrypted.
    const room = this.rooms.view(roomId);
    if (room === null) throw new TypeError("the room was looked at, and is not known");
    if (!room.everEncrypted) return { event: { roomId, type, content }, encrypted: false, withheldFrom: 0 };
    const { encryption: settings, historyVisibility } = room;
    const target = { roomId, settings, historyVisibility, recipients: this.rooms.recipients(room) };
    const encrypted = await engine.encrypt(target, type, content, this.ports.stop);
    const event = { roomId, type: "m.room.encrypted", content: encrypted.content };
    return { event, encrypted: true, withheldFrom: encrypted.withheldCount };
  }

  /** Until every expected answer is there, the lifetime is over, or we are told to stop. */
  private async wait(): Promise<void> {
    const { clock, stop, showWaiting } = this.ports;
    for (;;) {
      if (this.failure !== null) throw this.failure.error;
      const { tally, changed } = this.replies;
      if (tally === null || tally.missing === 0 || stop.aborted) return;
      const leftMs = tally.endsAt - clock.now();
      if (leftMs <= 0) return;
      showWaiting({
        answers: tally.answers.length,
        missing: tally.missing,
        receivedBy: tally.receivedBy.size,
        leftMs,
      });
      await changed.wait(stop, Math.min(leftMs, TICK_MS));
    }
  }

  /** Late answers don't count; that they came is worth a word. */
  private async lastLook(follower: RoomFollower, stateAfter: boolean): Promise<void> {
    const signal = AbortSignal.any([this.ports.stop, AbortSignal.timeout(LAST_LOOK_MS)]);
    await follower.catchUp(stateAfter, signal).catch((error: unknown) => {
      const passing =
        error instanceof ServerUnreachable || error instanceof ServerRefused || error instanceof Cancelled;
      if (!passing) throw error;
      this.ports.log.warn({ code: error.code }, "what came after the lifetime could not be asked for");
    });
  }

  private fail(error: unknown): void {
    this.failure ??= { error };
    this.replies.changed.nudge();
  }
}
