/**
 * Runs handlers: earliest deadline first, fair between rooms, a bounded number at once. Guarantees: a verdict and its answer are
 * one transaction; an event is settled once, by its verdict or by its time-out; a deadline is kept even if all slots are busy.
 */
import { timerDelay, type Clock } from "../clock.ts";
import { Cancelled, LeaseLost } from "../errors.ts";
import { runHandler } from "../handlers/handler.ts";
import type { Verdict } from "../handlers/step.ts";
import type { Decision, Inbox } from "../journal/inbox.ts";
import type { InboxEntry } from "../journal/inboxEntry.ts";
import type { Draft } from "../journal/outboxEntry.ts";
import type { RoomStates } from "../journal/roomStates.ts";
import { supervise, WorkLoop } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import type { Metrics } from "../metrics.ts";
import { timedOutText, type PendingRequest } from "../protocol/decision.ts";
import type { Judge } from "./judge.ts";
import type { OpenedEvent } from "../crypto/openEvent.ts";
import type { Recorder } from "./recorder.ts";
import type { Opening, TrustedOpening } from "./trustedOpening.ts";

export interface WorkerPorts {
  readonly inbox: Inbox;
  readonly rooms: RoomStates;
  readonly recorder: Recorder;
  readonly judge: Judge;
  readonly opening: TrustedOpening;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly onFailure: (error: unknown) => void;
  readonly limits: {
    /** Handlers at once, and of those for one room. */
    readonly handlers: number;
    readonly handlersPerRoom: number;
    /** How long a handler may take where nobody waits for an answer, in milliseconds. */
    readonly unaskedMs: () => number;
    /** How long running handlers may go on when the bot stops, in milliseconds. */
    readonly shutdownGraceMs: number;
  };
}

const POLL_MS = 1_000;
const LEASE_MS = 60_000;
/** Time-outs that are sent out in one go. */
const OVERDUE_BATCH = 50;

export class Worker extends WorkLoop {
  private readonly ports: WorkerPorts;
  private readonly atWork = new Map<InboxEntry, Promise<void>>();
  /** Ends handlers that are still running after the grace. */
  private readonly giveUp = new AbortController();
  private renewal: NodeJS.Timeout | null = null;

  constructor(ports: WorkerPorts) {
    super(ports.onFailure);
    this.ports = ports;
  }

  override async start(): Promise<void> {
    this.renewal = setInterval(() => void supervise(this.renewLeases(), (error) => this.fail(error)), LEASE_MS / 3);
    await super.start();
  }

  override async stop(): Promise<void> {
    await super.stop();
    const grace = setTimeout(() => this.giveUp.abort(), this.ports.limits.shutdownGraceMs);
    await Promise.all(this.atWork.values());
    clearTimeout(grace);
    if (this.renewal !== null) clearInterval(this.renewal);
  }

  protected async work(): Promise<boolean> {
    const { inbox, limits } = this.ports;
    const overdue = await inbox.claimOverdue({ max: OVERDUE_BATCH, leaseMs: LEASE_MS });
    const ready = await inbox.claim({
      max: limits.handlers - this.atWork.size,
      perRoom: limits.handlersPerRoom,
      leaseMs: LEASE_MS,
    });
    for (const entry of [...overdue, ...ready]) this.launch(entry);
    return overdue.length + ready.length > 0;
  }

  protected rest(): Promise<void> {
    const deadline = this.ports.inbox.nextDeadline();
    const untilDeadline = deadline === null ? POLL_MS : deadline - this.ports.clock.now();
    return this.ports.inbox.readied.wait(this.signal, Math.min(Math.max(untilDeadline, 1), POLL_MS));
  }

  private launch(entry: InboxEntry): void {
    const done = supervise(this.handle(entry), (error) => this.fail(error)).then(() => {
      this.atWork.delete(entry);
      this.ports.inbox.readied.nudge();
    });
    this.atWork.set(entry, done);
  }

  private async handle(entry: InboxEntry): Promise<void> {
    try {
      const first = await this.ports.opening.open(entry);
      const leftMs = (entry.deadline ?? Infinity) - this.ports.clock.now();
      const opening = await this.ports.opening.settled(entry, first, leftMs, this.giveUp.signal);
      const { opened } = opening;
      // It was readable when it became ready; a key that is gone since can't be waited for here.
      if (opened.kind === "undecryptable")
        return await this.settle(entry, { decision: "given_up", reason: opened.reason }, []);
      if (!this.ports.opening.accepts(opened)) return await this.ports.opening.park(entry, opening);
      const decision = this.ports.judge.judge(entry, opened, false);
      if (decision.kind === "ignore")
        return await this.settle(entry, { decision: "no_answer", reason: decision.reason }, []);
      if (decision.kind === "answer") {
        const draft = this.ports.judge.draft(entry, opened, decision);
        return await this.settle(entry, { decision: "answered", reason: decision.code }, [draft]);
      }
      await this.runFor(entry, { ...opening, opened }, decision.request);
    } catch (error) {
      if (error instanceof LeaseLost) return;
      if (error instanceof Cancelled && this.giveUp.signal.aborted) return await this.ports.inbox.release(entry);
      throw error;
    }
  }

  private async runFor(
    entry: InboxEntry,
    opening: Opening & { readonly opened: OpenedEvent },
    request: PendingRequest | null,
  ): Promise<void> {
    const { opened } = opening;
    const verdict = await this.verdictOf(entry, opened, request);
    // A handler takes its time: what counts is what is known of the sender now.
    const now = await this.ports.opening.again(entry, opening);
    const changed = now !== opening && now.opened.kind === "clear" ? now.opened : null;
    if (changed !== null && !this.ports.opening.accepts(changed)) return this.ports.opening.park(entry, now);
    if (request === null) {
      const reason = verdict.status === "success" ? "success" : verdict.code;
      return this.settle(entry, { decision: "handled", reason }, []);
    }
    const draft = this.ports.judge.draft(entry, opened, {
      ...verdict,
      messages: [
        ...(changed === null ? request.warnings : this.ports.judge.warnings(entry, changed)),
        ...(verdict.messages ?? []),
      ],
      dialect: request.dialect,
      expiresAt: request.expiresAt,
    });
    await this.settle(
      entry,
      { decision: "answered", reason: verdict.status === "success" ? "success" : verdict.code },
      [draft],
    );
  }

  /** @throws Cancelled the bot stops before there is a verdict */
  private async verdictOf(entry: InboxEntry, opened: OpenedEvent, request: PendingRequest | null): Promise<Verdict> {
    const { event } = entry;
    const handler = this.ports.judge.handlerOf(opened);
    if (handler === null) throw new Error(`no handler for an event that was decided to have one: ${event.event_id}`);
    const timeOut = new AbortController();
    const leftMs = request === null ? this.ports.limits.unaskedMs() : request.handlerDeadline - this.ports.clock.now();
    const timer = setTimeout(() => timeOut.abort(), timerDelay(leftMs));
    try {
      return await runHandler(
        handler,
        {
          id: event.event_id,
          roomId: event.room_id,
          type: opened.type,
          sender: event.sender,
          originServerTs: event.origin_server_ts,
          content: opened.content,
          ...(event.state_key === undefined ? {} : { stateKey: event.state_key }),
        },
        {
          room: { id: event.room_id, encrypted: this.ports.rooms.view(event.room_id)?.everEncrypted ?? false },
          trust: opened.trust,
          deadline: request?.handlerDeadline ?? null,
          recorded: async () => this.ports.recorder.receipt(event.event_id),
        },
        AbortSignal.any([timeOut.signal, this.giveUp.signal]),
        this.ports.log,
      );
    } catch (error) {
      if (!(error instanceof Cancelled) || !timeOut.signal.aborted) throw error;
      return { status: "error", code: "timed_out", messages: [{ type: "error", text: timedOutText }] };
    } finally {
      clearTimeout(timer);
    }
  }

  private async settle(entry: InboxEntry, decision: Decision, drafts: readonly Draft[]): Promise<void> {
    await this.ports.inbox.settle(entry, decision, drafts);
    this.ports.metrics.decisions.inc({ decision: decision.decision, reason: decision.reason });
    const { room_id: roomId, event_id: eventId } = entry.event;
    const ms = this.ports.clock.now() - entry.receivedAt;
    this.ports.log.info({ roomId, eventId, decision: decision.decision, reason: decision.reason, ms }, "decided");
  }

  private async renewLeases(): Promise<void> {
    for (const entry of this.atWork.keys()) await this.ports.inbox.renew(entry, LEASE_MS);
  }
}
