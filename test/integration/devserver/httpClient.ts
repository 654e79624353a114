/** A bare client for the development homeserver's contract tests: one method for each verb, no retries, no cleverness. */
import { isJsonObject, type JsonObject, type JsonValue } from "../../../src/protocol/json.ts";
import type { DevServer, SignedIn } from "../../../devserver/server.ts";

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly body: JsonObject;
}

export class HttpClient {
  readonly userId: string;
  readonly deviceId: string;
  readonly #server: DevServer;
  readonly #token: string;

  constructor(server: DevServer, account: SignedIn) {
    this.#server = server;
    this.userId = account.userId;
    this.deviceId = account.deviceId;
    this.#token = account.accessToken;
  }

  async request(method: string, path: string, body?: JsonValue, signal?: AbortSignal): Promise<Reply> {
    const response = await fetch(`${this.#server.url}/_matrix/client${path}`, {
      method,
      headers: { Authorization: `Bearer ${this.#token}` },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
    const value: unknown = await response.json();
    return { status: response.status, headers: response.headers, body: isJsonObject(value) ? value : {} };
  }

  /** Like `request`, for what must succeed. @throws Error for any status but 200 */
  async call(method: string, path: string, body?: JsonValue): Promise<JsonObject> {
    const reply = await this.request(method, path, body);
    if (reply.status !== 200) throw new Error(`${method} ${path}: ${reply.status} ${JSON.stringify(reply.body)}`);
    return reply.body;
  }

  /** @param since the `next_batch` to go on from */
  sync(since?: JsonValue, query: Readonly<Record<string, string>> = {}): Promise<JsonObject> {
    const parameters = new URLSearchParams({ ...(since === undefined ? {} : { since: String(since) }), ...query });
    return this.call("GET", `/v3/sync?${parameters.toString()}`);
  }

  /** @returns the event ID */
  async send(roomId: string, type: string, txnId: string, content: JsonObject = {}): Promise<string> {
    const reply = await this.call("PUT", `/v3/rooms/${roomId}/send/${type}/${txnId}`, content);
    return String(reply["event_id"]);
  }
}

/** The value at a path inside JSON; undefined where there is none. */
export function at(value: JsonValue | undefined, ...path: readonly string[]): JsonValue | undefined {
  let found = value;
  for (const name of path) found = isJsonObject(found) ? found[name] : undefined;
  return found;
}

/** The objects of an array at a path; empty where there is none. */
export function list(value: JsonValue | undefined, ...path: readonly string[]): JsonObject[] {
  const found = at(value, ...path);
  return Array.isArray(found) ? found.filter(isJsonObject) : [];
}

/** The events of a room's timeline in a sync response, joined unless said otherwise. */
export function timeline(sync: JsonObject, roomId: string, section = "join"): JsonObject[] {
  return list(sync, "rooms", section, roomId, "timeline", "events");
}

export function ids(events: readonly JsonObject[]): string[] {
  return events.map((event) => String(event["event_id"]));
}
