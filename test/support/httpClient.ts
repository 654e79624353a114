/** A bare client of a homeserver, for tests: one method for each verb, no retries, no cleverness. */
import { isJsonObject, type JsonObject, type JsonValue } from "../../src/protocol/json.ts";
import type { SignedIn } from "../../devserver/server.ts";

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  /** An array stands under `list`; anything else that is no object is empty. */
  readonly body: JsonObject;
}

/** Far above what anything takes, also on a loaded machine. */
const PATIENCE_MS = 60_000;

export class HttpClient {
  readonly userId: string;
  readonly deviceId: string;
  readonly #server: { readonly url: string };
  readonly #token: string | null;

  /** @param server asked for its address with every request: it may be one that moves */
  constructor(
    server: { readonly url: string },
    account: Omit<SignedIn, "accessToken"> & { readonly accessToken: string | null },
  ) {
    this.#server = server;
    this.userId = account.userId;
    this.deviceId = account.deviceId;
    this.#token = account.accessToken;
  }

  async request(method: string, path: string, body?: JsonValue, signal?: AbortSignal): Promise<Reply> {
    const response = await fetch(`${this.#server.url}/_matrix/client${path}`, {
      method,
      headers: this.#token === null ? {} : { Authorization: `Bearer ${this.#token}` },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
    const value: unknown = await response.json();
    const found = isJsonObject(value) ? value : Array.isArray(value) ? { list: value } : {};
    return { status: response.status, headers: response.headers, body: found };
  }

  /** One request of anything. @param path below `/_matrix` */
  fetch(
    method: string,
    path: string,
    body?: Buffer,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Response> {
    return fetch(`${this.#server.url}/_matrix${path}`, {
      method,
      headers: { ...headers, ...(this.#token === null ? {} : { Authorization: `Bearer ${this.#token}` }) },
      ...(body === undefined ? {} : { body: new Uint8Array(body) }),
    });
  }

  /** The status and the errcode (null where there is none) of an answer. */
  async verdict(method: string, path: string, body?: JsonValue): Promise<[number, string | null]> {
    const reply = await this.request(method, path, body);
    const errcode = reply.body["errcode"];
    return [reply.status, typeof errcode === "string" ? errcode : null];
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

  /**
   * Syncs on until a response shows something.
   * @param look @returns what it waits for; undefined, false or null to wait on
   * @returns what was found, and the response that showed it
   * @throws Error after a minute
   */
  async syncUntil<T>(
    since: JsonValue | undefined,
    look: (sync: JsonObject) => T | undefined | null | false,
    query: Readonly<Record<string, string>> = {},
  ): Promise<{ readonly found: T; readonly sync: JsonObject; readonly next: string }> {
    const endsAt = performance.now() + PATIENCE_MS;
    let from = since;
    for (;;) {
      const sync = await this.sync(from, { timeout: "10000", ...query });
      const found = look(sync);
      const next = String(sync["next_batch"]);
      if (found !== undefined && found !== null && found !== false) return { found, sync, next };
      if (performance.now() > endsAt) throw new Error(`No sync in ${PATIENCE_MS} ms has shown what was waited for.`);
      from = next;
    }
  }

  /** Where a sync goes on after everything so far. */
  async now(): Promise<string> {
    return String((await this.sync())["next_batch"]);
  }

  /** @returns the event ID */
  async send(roomId: string, type: string, txnId: string, content: JsonObject = {}): Promise<string> {
    const reply = await this.call("PUT", `/v3/rooms/${roomId}/send/${type}/${encodeURIComponent(txnId)}`, content);
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
