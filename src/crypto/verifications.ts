/**
 * Interactive verification by short authentication strings (client-server API, "Key verification framework"): with another session of
 * the account from device to device, with an operator in a room.
 *
 * Guarantees:
 * - Events of verification come to the crypto library here alone, one after the other, and only from those who may verify the bot.
 *   Everybody else is declined (verificationDeclines.ts). However many come, a bounded number is kept. (What was encrypted from device to
 *   device is known to be one only when the library has it: from strangers it leads to nothing, and its answers are not sent.)
 * - Nothing waits for it: neither a sync nor another event. Nobody who takes it up, and it is cancelled when its time is over.
 * - Nothing is trusted before a person has compared and both sides are done; what a process had begun is nothing to the next one.
 */
import type { Clock } from "../clock.ts";
import { Cancelled } from "../errors.ts";
import { Nudge } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import type { RawEvent } from "../protocol/events.ts";
import type { DeviceId, UserId } from "../protocol/ids.ts";
import type { JsonObject } from "../protocol/json.ts";
import { AskLimits } from "./askLimits.ts";
import type { KeyRequest } from "./keyRequest.ts";
import type { Machine } from "./machine.ts";
import type { MemberDevices } from "./memberDevices.ts";
import { Mutex } from "./mutex.ts";
import type { OutgoingRequests } from "./outgoingRequests.ts";
import type { RoomMessages } from "./roomMessages.ts";
import type { Asked, Verification, Verifications } from "./verification.ts";
import { VerificationDeclines } from "./verificationDeclines.ts";
import { readRoomEvent, type VerificationEvent } from "./verificationEvents.ts";
import { isOpen, VerificationFlows, type Flow } from "./verificationFlows.ts";
import { GIVEN_UP, LIFETIME_MS, MISMATCH, nameOf, VerificationCourse } from "./verificationCourse.ts";
import * as steps from "./verificationSteps.ts";

export interface VerificationsOptions {
  readonly machine: Machine;
  readonly homeserver: Homeserver;
  readonly roomMessages: RoomMessages;
  readonly requests: OutgoingRequests;
  readonly devices: MemberDevices;
  readonly ownUserId: UserId;
  readonly ownDeviceId: DeviceId;
  /** Whether this user may verify the bot, as it counts now. */
  readonly mayVerify: (userId: string) => boolean;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** For what is no failure of a server. */
  readonly onFailure: (error: unknown) => void;
}

const MOST_WAITING = 200;
const REQUESTS = { perSender: 20, inAll: 60, windowMs: LIFETIME_MS };
const DEVICES_WAIT_MS = 5_000;
/** An open one is looked at this often: the library ends some by itself. */
const LOOK_MS = 30_000;
/** Steps that expect an answer from a verification that is going on. */
const EXPECTS: ReadonlySet<string> = new Set(["ready", "start", "accept", "key", "mac"]);

export class SasVerifications implements Verifications {
  private readonly options: VerificationsOptions;
  private readonly flows: VerificationFlows;
  private readonly declines: VerificationDeclines;
  private readonly course: VerificationCourse;
  private readonly limits: AskLimits;
  private readonly turns = new Mutex();
  private readonly waiting = new Set<Promise<void>>();
  private readonly nudges = new Nudge();
  private watching: Promise<void> = Promise.resolve();

  constructor(options: VerificationsOptions) {
    this.options = options;
    this.flows = new VerificationFlows(options.clock);
    this.declines = new VerificationDeclines(options);
    this.course = new VerificationCourse({
      ...options,
      flows: this.flows,
      onChange: () => this.nudges.nudge(),
      onDue: () => this.deliver(),
    });
    this.limits = new AskLimits(options.clock, REQUESTS);
  }

  get version(): number {
    return this.flows.version;
  }

  list(): readonly Verification[] {
    return this.flows.all().map((flow) => flow.now);
  }

  pending(): readonly Verification[] {
    return this.flows.open().map((flow) => flow.now);
  }

  changed(since: number, signal: AbortSignal): Promise<void> {
    return this.flows.changed(since, signal);
  }

  start(): void {
    this.watching = this.watch();
  }

  /** Resolves when nothing is going on; the signal ends it. */
  async settled(): Promise<void> {
    await this.watching;
    await Promise.all(this.waiting);
    await this.declines.settled();
  }

  receive(event: RawEvent, type: string, content: JsonObject): void {
    const read = readRoomEvent(event, type, content, this.options.ownUserId);
    if (read !== null) this.takeIn(read);
  }

  /** The events of verification of a sync that is on disk. Returns at once. */
  receiveToDevice(events: readonly VerificationEvent[]): void {
    for (const event of events) this.takeIn(event);
    if (this.flows.open().length > 0) this.nudges.nudge();
  }

  take(id: string): Promise<void> {
    return this.act(id, async (flow) => {
      flow.taken = true;
      await this.course.look(flow);
    });
  }

  confirm(id: string): Promise<void> {
    return this.act(id, (flow) =>
      this.course.step(flow, "confirmVerification", (olm) => steps.confirm(olm, nameOf(flow))),
    );
  }

  mismatch(id: string): Promise<void> {
    return this.act(id, (flow) => this.course.end(flow, MISMATCH));
  }

  cancel(id: string): Promise<void> {
    return this.act(id, (flow) => this.course.end(flow, GIVEN_UP));
  }

  async ask(): Promise<Asked> {
    const { machine, ownUserId, signal } = this.options;
    return await this.turns.run(async () => {
      await this.knowDevices(ownUserId);
      const asked = await machine.use("requestVerification", (olm) => steps.askOwnSessions(olm, ownUserId), signal);
      if (asked === null) return { kind: "no_identity" };
      const { flowId, message } = asked;
      if (isForNobody(message)) {
        await machine.use("cancelVerification", async (olm) =>
          steps.cancel(olm, { userId: ownUserId, flowId }, GIVEN_UP),
        );
        return { kind: "no_other_session" };
      }
      const flow = this.course.add(flowId, ownUserId, null, "asked", true);
      await this.course.send(flow, [message]);
      await this.course.look(flow);
      return { kind: "asked", verification: flow.now };
    }, signal);
  }

  /** One event after the other, behind the steps that are being taken. */
  private takeIn(event: VerificationEvent): void {
    if (!this.isNews(event)) return;
    if (!this.options.mayVerify(event.sender)) {
      if (event.step === "request") this.declines.decline(event, "not_allowed");
      return;
    }
    if (this.waiting.size >= MOST_WAITING) return;
    void this.inBackground(this.turns.run(() => this.process(event), this.options.signal));
  }

  private async process(event: VerificationEvent): Promise<void> {
    const { machine, signal } = this.options;
    const isRequest = event.step === "request";
    const known = isRequest ? null : this.flowOf(event);
    if (isRequest) {
      if (this.flows.isFull || !this.limits.allows(event.sender)) return this.declines.decline(event, "too_many");
      // The library passes over what comes from a device that it does not know.
      await this.knowDevices(event.sender);
    } else if (known === null) {
      // Another session's business, where our own account speaks in a room.
      if (EXPECTS.has(event.step) && (event.roomId === null || event.sender !== this.options.ownUserId))
        this.declines.decline(event, "unknown");
      return;
    }
    const readings = await machine.use(
      "receiveVerification",
      async (olm) => {
        await steps.feed(olm, event);
        if (isRequest) this.addRequested(event, steps.isKnown(olm, { userId: event.sender, flowId: event.flowId }));
        return this.course.readAll(olm);
      },
      signal,
    );
    // The library ends others with the same user when a new one comes.
    for (const [flow, progress] of readings) this.course.write(flow, progress);
    for (const flow of this.flows.open()) await this.course.look(flow);
    this.deliver();
  }

  private addRequested({ flowId, sender, roomId }: VerificationEvent, isKnown: boolean): void {
    if (isKnown) this.course.add(flowId, sender, roomId, "requested", false);
    else
      this.options.log.info(
        { userId: sender },
        "a verification request was passed over: it is too old, malformed, or from a device that nobody knows",
      );
  }

  /** The one that an event belongs to, whose other side or another of our sessions has sent it. */
  private flowOf({ sender, flowId, roomId }: VerificationEvent): Flow | null {
    const { ownUserId } = this.options;
    return this.flows.find(
      flowId,
      (now) => now.roomId === roomId && (now.userId === sender || (roomId !== null && sender === ownUserId)),
    );
  }

  /**
   * What we said in a room comes back from it. Of what our account says there, only that another session has taken a request up, or
   * declined it, is news.
   */
  private isNews({ sender, roomId, step, fromDevice }: VerificationEvent): boolean {
    const { ownUserId, ownDeviceId } = this.options;
    if (roomId === null || sender !== ownUserId) return true;
    return (step === "ready" && fromDevice !== ownDeviceId) || step === "cancel";
  }

  /** What the library has to say of its own; some steps count only once they were sent. */
  private deliver(): void {
    const { requests } = this.options;
    void this.inBackground(requests.sendAll().then(() => this.nudges.nudge()));
  }

  private async knowDevices(userId: UserId): Promise<void> {
    const { devices, requests, signal } = this.options;
    await devices.follow([userId], signal);
    await requests.refreshDevices(DEVICES_WAIT_MS, signal);
  }

  private async act(id: string, work: (flow: Flow) => Promise<void>): Promise<void> {
    await this.turns.run(async () => {
      const flow = this.flows.withId(id);
      if (flow !== null && isOpen(flow.now)) await work(flow);
    }, this.options.signal);
  }

  private async watch(): Promise<void> {
    const { clock, signal } = this.options;
    while (!signal.aborted) {
      const due = this.flows.nextDue();
      await this.nudges.wait(signal, due === null ? LIFETIME_MS : Math.min(Math.max(due - clock.now(), 0), LOOK_MS));
      if (signal.aborted) return;
      await this.inBackground(this.turns.run(() => this.course.lookAtAll(), signal));
    }
  }

  private inBackground(work: Promise<void>): Promise<void> {
    const done: Promise<void> = work
      .catch((error: unknown) => {
        if (!(error instanceof Cancelled)) this.options.onFailure(error);
      })
      .finally(() => this.waiting.delete(done));
    this.waiting.add(done);
    return done;
  }
}

function isForNobody({ body }: KeyRequest): boolean {
  const messages = Object.values(body["messages"] ?? {}) as readonly JsonObject[];
  return messages.every((devices) => Object.keys(devices).length === 0);
}
