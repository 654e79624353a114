/**
 * One room: its events in order, its state, and who was what when. The order is a line, not a graph:
 * one server alone never has two events at the same place.
 */
import { randomBytes } from "node:crypto";
import { isJsonObject, type JsonObject, type JsonValue } from "../src/protocol/json.ts";
import { pruned } from "./redaction.ts";

/** An event as the server keeps it. */
export interface StoredEvent {
  readonly roomId: string;
  /** Null when an injected event has none. */
  readonly eventId: string | null;
  /** Where it stands in the server's one stream. */
  readonly position: number;
  /** Server receive time, milliseconds since the Unix epoch. */
  readonly receivedAt: number;
  /** As accepted; a redaction does not touch this. */
  readonly original: JsonValue;
  /** As clients get it now, before `unsigned` is added. */
  current: JsonValue;
  /** Injected: clients get it exactly as it is. */
  readonly verbatim: boolean;
  readonly deviceId: string | null;
  readonly txnId: string | null;
  /** The state event that it took the place of. */
  readonly replaces: StoredEvent | null;
  redactedBy: StoredEvent | null;
}

export interface Draft {
  readonly type: string;
  readonly sender: string;
  readonly content: JsonObject;
  readonly stateKey?: string;
  readonly redacts?: string;
  /** Milliseconds since the Unix epoch; by default the time of receipt. */
  readonly originServerTs?: number;
  readonly deviceId?: string;
  readonly txnId?: string;
}

type Membership = { readonly position: number; readonly membership: string };

export class Room {
  readonly id: string;
  readonly version: string;
  readonly events: StoredEvent[] = [];
  readonly #byId = new Map<string, StoredEvent>();
  readonly #state = new Map<string, StoredEvent>();
  readonly #memberships = new Map<string, Membership[]>();
  readonly #references = new Map<string, StoredEvent[]>();
  readonly #hidden = new Map<string, Set<string>>();
  readonly #forgottenBy = new Set<string>();

  constructor(id: string, version: string) {
    this.id = id;
    this.version = version;
  }

  /** Builds and appends a well-formed event. Checks no permission. */
  append(draft: Draft, position: number, now: number, eventId = newEventId()): StoredEvent {
    const event: JsonObject = {
      type: draft.type,
      sender: draft.sender,
      content: draft.content,
      event_id: eventId,
      origin_server_ts: draft.originServerTs ?? now,
      ...(draft.stateKey === undefined ? {} : { state_key: draft.stateKey }),
      ...(draft.redacts === undefined ? {} : { redacts: draft.redacts }),
    };
    return this.#store(event, position, now, false, draft.deviceId ?? null, draft.txnId ?? null);
  }

  /** Appends anything at all. If it happens to be a well-formed state event it changes the state like any other. */
  inject(event: JsonValue, position: number, now: number): StoredEvent {
    return this.#store(event, position, now, true, null, null);
  }

  event(eventId: string): StoredEvent | undefined {
    return this.#byId.get(eventId);
  }

  state(type: string, stateKey: string): StoredEvent | undefined {
    return this.#state.get(keyOf(type, stateKey));
  }

  stateContent(type: string, stateKey = ""): JsonObject {
    const event = this.state(type, stateKey)?.current;
    const content = isJsonObject(event) ? event["content"] : undefined;
    return isJsonObject(content) ? content : {};
  }

  allState(): StoredEvent[] {
    return [...this.#state.values()];
  }

  /** The latest event for each state key among the events in `(after, upTo]`. */
  latestState(after: number, upTo: number): Map<string, StoredEvent> {
    const latest = new Map<string, StoredEvent>();
    for (let index = this.indexAfter(after); index < this.events.length; index += 1) {
      const stored = this.events[index];
      if (stored === undefined || stored.position > upTo) break;
      const key = stateKeyOf(stored);
      if (key !== null) latest.set(key, stored);
    }
    return latest;
  }

  /** The index of the first event after a position. */
  indexAfter(position: number): number {
    let low = 0;
    let high = this.events.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.events[middle]?.position ?? 0) <= position) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  membership(userId: string): string {
    return this.#memberships.get(userId)?.at(-1)?.membership ?? "leave";
  }

  /** The user's membership after everything up to and including `position`; `leave` when there is none. */
  membershipAt(userId: string, position: number): string {
    return this.#memberships.get(userId)?.findLast((step) => step.position <= position)?.membership ?? "leave";
  }

  /** The user's changes of membership in `(after, upTo]`, in order. */
  membershipChanges(userId: string, after: number, upTo: number): readonly Membership[] {
    return (this.#memberships.get(userId) ?? []).filter((step) => step.position > after && step.position <= upTo);
  }

  members(membership: string): string[] {
    return [...this.#memberships.keys()].filter((userId) => this.membership(userId) === membership);
  }

  /** Events whose `m.relates_to` names `eventId`, in order. */
  references(eventId: string): readonly StoredEvent[] {
    return this.#references.get(eventId) ?? [];
  }

  /** From now on this user does not see events of this type, as if the server withheld them. */
  hide(userId: string, type: string): void {
    const types = this.#hidden.get(userId) ?? new Set();
    this.#hidden.set(userId, types.add(type));
  }

  unhide(userId: string, type: string): void {
    this.#hidden.get(userId)?.delete(type);
  }

  /** Whether a test hides it from this user. */
  withheld(stored: StoredEvent, userId: string): boolean {
    const type = isJsonObject(stored.current) ? stored.current["type"] : undefined;
    return typeof type === "string" && (this.#hidden.get(userId)?.has(type) ?? false);
  }

  /** History visibility as it stands now, by the user's membership at the event. */
  visible(stored: StoredEvent, userId: string): boolean {
    if (this.withheld(stored, userId)) return false;
    const after = this.membershipAt(userId, stored.position);
    if (after === "join" || this.membershipAt(userId, stored.position - 1) === "join") return true;
    if (stateKeyOf(stored) === keyOf("m.room.member", userId)) return true;
    const visibility = this.stateContent("m.room.history_visibility")["history_visibility"] ?? "shared";
    if (visibility === "joined") return false;
    return visibility === "invited" ? after === "invite" : true;
  }

  forget(userId: string): void {
    this.#forgottenBy.add(userId);
  }

  forgotten(userId: string): boolean {
    return this.#forgottenBy.has(userId);
  }

  #store(
    event: JsonValue,
    position: number,
    now: number,
    verbatim: boolean,
    deviceId: string | null,
    txnId: string | null,
  ): StoredEvent {
    const fields = isJsonObject(event) ? event : {};
    const key = stateKeyOf({ current: event });
    const stored: StoredEvent = {
      roomId: this.id,
      eventId: typeof fields["event_id"] === "string" ? fields["event_id"] : null,
      position,
      receivedAt: now,
      original: event,
      current: event,
      verbatim,
      deviceId,
      txnId,
      replaces: key === null ? null : (this.#state.get(key) ?? null),
      redactedBy: null,
    };
    this.events.push(stored);
    if (stored.eventId !== null && !this.#byId.has(stored.eventId)) this.#byId.set(stored.eventId, stored);
    if (key !== null) this.#state.set(key, stored);
    const content = isJsonObject(fields["content"]) ? fields["content"] : {};
    const { type, state_key: stateKey, redacts } = fields;
    const { membership } = content;
    if (type === "m.room.member" && typeof stateKey === "string" && typeof membership === "string") {
      const steps = this.#memberships.get(stateKey) ?? [];
      steps.push({ position, membership });
      this.#memberships.set(stateKey, steps);
      if (membership !== "leave" && membership !== "ban") this.#forgottenBy.delete(stateKey);
    }
    const relation = isJsonObject(content["m.relates_to"]) ? content["m.relates_to"]["event_id"] : undefined;
    if (typeof relation === "string") {
      const others = this.#references.get(relation) ?? [];
      others.push(stored);
      this.#references.set(relation, others);
    }
    if (type === "m.room.redaction") {
      const target = this.#byId.get(String(content["redacts"] ?? redacts));
      if (target !== undefined && target.redactedBy === null) {
        target.redactedBy = stored;
        target.current = pruned(target.current, this.version);
      }
    }
    return stored;
  }
}

export function newEventId(): string {
  return `$${randomBytes(32).toString("base64url")}`;
}

function keyOf(type: string, stateKey: string): string {
  return `${type}\u0000${stateKey}`;
}

/** Null when it is no state event. */
export function stateKeyOf(stored: { readonly current: JsonValue }): string | null {
  if (!isJsonObject(stored.current)) return null;
  const { type, state_key: stateKey } = stored.current;
  return typeof type === "string" && typeof stateKey === "string" ? keyOf(type, stateKey) : null;
}
