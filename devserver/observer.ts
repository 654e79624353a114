/** The judge's log: every accepted event and every request. Bots under test can't reach it; tests and the demo can. */
import { isJsonObject, type JsonObject, type JsonValue } from "../src/protocol/json.ts";
import type { Changes } from "./changes.ts";
import type { StoredEvent } from "./room.ts";

/** How a request ended: with an answer, cut by a fault, or left by the client. `open` while it runs. */
export type RequestOutcome = "open" | "answered" | "dropped" | "aborted";

export interface LoggedRequest {
  readonly id: number;
  readonly method: string;
  /** Without the query, as sent (still percent-encoded). */
  readonly path: string;
  readonly query: Readonly<Record<string, readonly string[]>>;
  /** The parsed JSON body; null when there is none or it is not JSON. */
  readonly body: JsonValue;
  readonly userId: string | null;
  readonly deviceId: string | null;
  readonly txnId: string | null;
  /** Milliseconds since the Unix epoch. */
  readonly startedAt: number;
  endedAt: number | null;
  status: number | null;
  outcome: RequestOutcome;
  /** The fault that met it, if one did. */
  faultId: number | null;
}

export interface LoggedEvent {
  /** Its place in this log, from 1. */
  readonly index: number;
  readonly roomId: string;
  readonly eventId: string | null;
  /** Type, sender and content of the event as accepted; null or empty where an injected event has none. */
  readonly type: string | null;
  readonly sender: string | null;
  readonly content: JsonObject;
  /** Server receive time, milliseconds since the Unix epoch. */
  readonly receivedAt: number;
  readonly deviceId: string | null;
  readonly txnId: string | null;
  /** As accepted, before any redaction. */
  readonly event: JsonValue;
}

export interface RequestQuestion {
  readonly method?: string;
  /** Tested against the path without the query. */
  readonly path?: RegExp;
  readonly userId?: string;
  readonly deviceId?: string;
  readonly status?: number;
  readonly outcome?: RequestOutcome;
}

export class Observer {
  readonly #requests: LoggedRequest[] = [];
  readonly #events: LoggedEvent[] = [];
  readonly #byRoom = new Map<string, LoggedEvent[]>();
  readonly #changes: Changes;

  constructor(changes: Changes) {
    this.#changes = changes;
  }

  accepted(stored: StoredEvent): void {
    const { roomId, eventId, receivedAt, deviceId, txnId, original } = stored;
    const { type, sender, content } = isJsonObject(original) ? original : {};
    const logged: LoggedEvent = {
      index: this.#events.length + 1,
      roomId,
      eventId,
      type: typeof type === "string" ? type : null,
      sender: typeof sender === "string" ? sender : null,
      content: isJsonObject(content) ? content : {},
      receivedAt,
      deviceId,
      txnId,
      event: original,
    };
    this.#events.push(logged);
    const room = this.#byRoom.get(roomId) ?? [];
    room.push(logged);
    this.#byRoom.set(roomId, room);
    this.#changes.notify();
  }

  begin(request: Omit<LoggedRequest, "id" | "endedAt" | "status" | "outcome" | "faultId">): LoggedRequest {
    const logged: LoggedRequest = {
      ...request,
      id: this.#requests.length + 1,
      endedAt: null,
      status: null,
      outcome: "open",
      faultId: null,
    };
    this.#requests.push(logged);
    this.#changes.notify();
    return logged;
  }

  end(logged: LoggedRequest, outcome: RequestOutcome, status: number | null, now: number): void {
    if (logged.outcome !== "open") return;
    logged.outcome = outcome;
    logged.status = status;
    logged.endedAt = now;
    this.#changes.notify();
  }

  /** @param after only events with a higher index */
  events(roomId?: string, after = 0): LoggedEvent[] {
    if (roomId === undefined) return this.#events.slice(after);
    const events = this.#byRoom.get(roomId) ?? [];
    return after === 0 ? events.slice() : events.filter((logged) => logged.index > after);
  }

  requests(question: RequestQuestion = {}, after = 0): LoggedRequest[] {
    return this.#requests
      .slice(after)
      .filter(
        (logged) =>
          (question.method === undefined || logged.method === question.method) &&
          (question.path === undefined || question.path.test(logged.path)) &&
          (question.userId === undefined || logged.userId === question.userId) &&
          (question.deviceId === undefined || logged.deviceId === question.deviceId) &&
          (question.status === undefined || logged.status === question.status) &&
          (question.outcome === undefined || logged.outcome === question.outcome),
      );
  }
}
