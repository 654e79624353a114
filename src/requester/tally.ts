/**
 * What has come back to one request: which answers count, which do not and why, who has received it, and what that makes in the end.
 * Pure: told of each event with its time.
 *
 * Guarantees: an answer counts only if it came within the lifetime, from a joined member, encrypted where the request was, from a
 * device that was asked and that did not answer before, and is no echo of our own. What does not count is told with its reason.
 */
import type { EpochMs } from "../clock.ts";
import { readUnderstoodTypes } from "../protocol/capabilities.ts";
import type { RawEvent } from "../protocol/events.ts";
import type { EventId, UserId } from "../protocol/ids.ts";
import type { JsonObject } from "../protocol/json.ts";
import { readReference, readResponse, type Message, type StatusResponse } from "../protocol/responses.ts";
import { missing, type Expectation } from "./expectation.ts";

/** An event of the room, opened. */
export interface Sighting {
  /** As the server sent it. */
  readonly event: RawEvent;
  /** In the clear. */
  readonly type: string;
  readonly content: JsonObject;
  readonly encrypted: boolean;
  /** The device that encrypted it; null for plain events and for unknown devices. */
  readonly encryptedBy: string | null;
  /** Whether its sender is in the room. */
  readonly senderJoined: boolean;
  /** When it was here in the clear, by the local clock. */
  readonly readAt: EpochMs;
}

/** The request as it was sent. */
export interface SentRequest {
  readonly eventId: EventId;
  readonly encrypted: boolean;
  readonly ownUser: UserId;
  readonly ownDevice: string;
  readonly toDevice: string | null;
  readonly lifetimeMs: number;
  /** When the lifetime began, by the local clock. */
  readonly sentAt: EpochMs;
  readonly expectation: Expectation;
  /** The types that a question about capabilities asks about; null for any other request. */
  readonly askedTypes: readonly string[] | null;
}

/** Why an answer does not count. docs/request.md explains each. */
export const dismissals = [
  "echo",
  "unencrypted",
  "not_joined",
  "late",
  "malformed",
  "other_device",
  "not_expected",
  "duplicate",
  "contradiction",
] as const;
export type Dismissal = (typeof dismissals)[number];

export interface Answer {
  /** Null: it counts. */
  readonly dismissed: Dismissal | null;
  readonly eventId: EventId;
  readonly userId: UserId;
  /** As it says itself; null where it does not, and nobody else knows. */
  readonly deviceId: string | null;
  /** The device that encrypted it, where that is another one than it says. */
  readonly encryptedBy: string | null;
  /** Null where it could not be read. */
  readonly status: "success" | "error" | null;
  readonly code: string | null;
  readonly messages: readonly Message[];
  /** For people, where it could not be read: which property is wrong. */
  readonly problem: string | null;
  /** Since the request was sent. */
  readonly ms: number;
  /** Of the types asked about, in their order; null where they were not asked about, or the answer does not say. */
  readonly understood: readonly string[] | null;
}

export type Outcome = "success" | "error" | "too_few";

export class Tally {
  private readonly request: SentRequest;
  private began: EpochMs;
  private readonly statuses = new Map<string, "success" | "error">();
  private readonly counted: Answer[] = [];
  private readonly receivers = new Map<UserId, number>();

  constructor(request: SentRequest) {
    this.request = request;
    this.began = request.sentAt;
  }

  /** When the lifetime began, by the local clock. */
  get sentAt(): EpochMs {
    return this.began;
  }

  /** When the lifetime ends, by the local clock. */
  get endsAt(): EpochMs {
    return this.began + this.request.lifetimeMs;
  }

  get answers(): readonly Answer[] {
    return this.counted;
  }

  /** Who has received the event, in order, with the milliseconds that it took. */
  get receivedBy(): ReadonlyMap<UserId, number> {
    return this.receivers;
  }

  /** Answers that are still to come. */
  get missing(): number {
    return missing(this.request.expectation, this.users());
  }

  get outcome(): Outcome {
    if (this.counted.some(({ status }) => status === "error")) return "error";
    return this.missing > 0 ? "too_few" : "success";
  }

  /** The server's word on how old the event is: the lifetime counts from then. Never from before the first attempt, or the future. */
  beganAt(at: EpochMs, now: EpochMs): void {
    this.began = Math.min(Math.max(at, this.request.sentAt), now);
  }

  /** @returns how long it took, or null where it is not the first receipt of this user, or for another event */
  received(eventId: EventId, userId: UserId, at: EpochMs): number | null {
    if (eventId !== this.request.eventId || this.receivers.has(userId)) return null;
    const ms = at - this.began;
    this.receivers.set(userId, ms);
    return ms;
  }

  /** @returns what the event says about the request; null where it is no answer to it */
  see(sighting: Sighting): Answer | null {
    const reading = readResponse(sighting.type, sighting.content);
    if (reading.kind === "none" || referenceOf(sighting) !== this.request.eventId) return null;
    const response = reading.kind === "response" ? reading.response : null;
    const dismissed = this.judge(sighting, response);
    const deviceId = response?.fromDevice ?? sighting.encryptedBy;
    const answer: Answer = {
      dismissed,
      eventId: sighting.event.event_id,
      userId: sighting.event.sender,
      deviceId,
      encryptedBy: sighting.encryptedBy === deviceId ? null : sighting.encryptedBy,
      status: response?.status ?? null,
      code: response?.code ?? null,
      messages: response?.messages ?? [],
      problem: reading.kind === "malformed" ? reading.problem : null,
      ms: sighting.readAt - this.began,
      understood: this.understoodIn(sighting.content),
    };
    if (dismissed === null && response !== null) {
      this.statuses.set(deviceKey(sighting, response), response.status);
      this.counted.push(answer);
    }
    return answer;
  }

  private judge(sighting: Sighting, response: StatusResponse | null): Dismissal | null {
    const { request } = this;
    const { sender } = sighting.event;
    if (this.isEcho(sighting, response)) return "echo";
    // Anybody on the way can write it, the homeserver too.
    if (request.encrypted && !sighting.encrypted) return "unencrypted";
    if (!sighting.senderJoined) return "not_joined";
    if (sighting.readAt > this.endsAt) return "late";
    if (response === null) return "malformed";
    const device = sighting.encryptedBy ?? response.fromDevice;
    if (request.toDevice !== null && device !== request.toDevice) return "other_device";
    const { from } = request.expectation;
    if (from.length > 0 && !from.includes(sender)) return "not_expected";
    const before = this.statuses.get(deviceKey(sighting, response));
    if (before === undefined) return null;
    return before === response.status ? "duplicate" : "contradiction";
  }

  /** Our own account may answer from another device; this device answers nobody. */
  private isEcho(sighting: Sighting, response: StatusResponse | null): boolean {
    const { ownUser, ownDevice } = this.request;
    if (sighting.event.sender !== ownUser) return false;
    const said = response?.fromDevice ?? null;
    if (said === null && sighting.encryptedBy === null) return true;
    return said === ownDevice || sighting.encryptedBy === ownDevice;
  }

  private understoodIn(content: JsonObject): readonly string[] | null {
    const { askedTypes } = this.request;
    const understood = askedTypes === null ? null : readUnderstoodTypes(content);
    return askedTypes === null || understood === null ? null : askedTypes.filter((type) => understood.has(type));
  }

  private users(): readonly UserId[] {
    return this.counted.map(({ userId }) => userId);
  }
}

/** The encrypted one counts, where there are both: nobody on the way can change it. */
function referenceOf({ content, event, encrypted }: Sighting): EventId | null {
  return Object.hasOwn(content, "m.relates_to") || !encrypted ? readReference(content) : readReference(event.content);
}

/** The device that encrypted it, where that is known: what it says of itself is a claim. */
function deviceKey({ event, encryptedBy }: Sighting, { fromDevice }: StatusResponse): string {
  return JSON.stringify([event.sender, encryptedBy ?? fromDevice]);
}
