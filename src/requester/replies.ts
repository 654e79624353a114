/**
 * Listens to the room for one request. Guarantees: what comes before the event's own ID is known is not lost; each answer and receipt is
 * told once, in order.
 */
import type { EpochMs } from "../clock.ts";
import { Nudge } from "../lifecycle.ts";
import type { EventId, TxnId, UserId } from "../protocol/ids.ts";
import type { DeliveryReceipt } from "../protocol/receipts.ts";
import type { Fact } from "./report.ts";
import type { RoomListener } from "./roomFollower.ts";
import { Tally, type SentRequest, type Sighting } from "./tally.ts";

export class Replies implements RoomListener {
  /** Something has come. */
  readonly changed = new Nudge();
  private readonly txnId: TxnId;
  private readonly ownUser: UserId;
  private readonly tell: (fact: Fact) => void;
  private readonly arrival = Promise.withResolvers<EventId>();
  private early: (() => void)[] = [];
  private begun: Tally | null = null;

  /** @param txnId under which the event is sent: its sender's device is shown it */
  constructor(txnId: TxnId, ownUser: UserId, tell: (fact: Fact) => void) {
    this.txnId = txnId;
    this.ownUser = ownUser;
    this.tell = tell;
  }

  /** Resolves with the event's ID when the sync shows it. */
  get arrived(): Promise<EventId> {
    return this.arrival.promise;
  }

  /** Null before `begin`. */
  get tally(): Tally | null {
    return this.begun;
  }

  /** The event was sent: from now on its answers count, those that came already too. */
  begin(request: SentRequest): void {
    this.begun = new Tally(request);
    for (const work of this.early.splice(0)) work();
  }

  sighted(sighting: Sighting): void {
    const { event, readAt } = sighting;
    if (event.sender === this.ownUser && event.unsigned?.["transaction_id"] === this.txnId) {
      this.arrival.resolve(event.event_id);
      const ageMs = event.unsigned["age"];
      if (typeof ageMs === "number") this.later((tally) => tally.beganAt(readAt - ageMs, readAt));
    }
    this.later((tally) => {
      const answer = tally.see(sighting);
      if (answer === null) return;
      const { dismissed, ...rest } = answer;
      this.tell({ event: "answer", counted: dismissed === null, reason: dismissed, ...rest });
    });
  }

  received({ eventId, userId }: DeliveryReceipt, at: EpochMs): void {
    this.later((tally) => {
      const ms = tally.received(eventId, userId, at);
      if (ms !== null) this.tell({ event: "received", userId, ms });
    });
  }

  /** Now, or as soon as it is known which event was sent. */
  private later(work: (tally: Tally) => void): void {
    const { begun } = this;
    if (begun === null) this.early.push(() => this.begun !== null && work(this.begun));
    else work(begun);
    this.changed.nudge();
  }
}
