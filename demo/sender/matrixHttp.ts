/**
 * The independent sender's own HTTP: Node's fetch, the client-server API, and nothing of the bot's client.
 * It waits as the server asks after a 429, repeats a GET or PUT once or twice when the connection is lost, and throws `HttpRefused` for every other answer that is not 2xx.
 */
import type { JsonObject, JsonValue } from "../../src/protocol/json.ts";

export class HttpRefused extends Error {
  readonly status: number;
  readonly errcode: string | null;

  constructor(what: string, status: number, errcode: string | null) {
    super(`${what}: the homeserver answered ${status}${errcode === null ? "" : ` ${errcode}`}`);
    this.name = "HttpRefused";
    this.status = status;
    this.errcode = errcode;
  }
}

export interface HttpCall {
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: JsonValue;
  readonly signal?: AbortSignal;
  /** Ends the wait that a 429 asks for; a request that is under way goes on to its end. */
  readonly patience?: AbortSignal;
  /** For one attempt, in milliseconds; 30 s by default. */
  readonly timeoutMs?: number;
}

/** A request that the homeserver puts off (429). */
export interface Limited {
  /** Method and path. */
  readonly what: string;
  readonly waitMs: number;
}

/** Attempts for one call that is answered with 429. */
const MAX_ATTEMPTS = 20;
/** Attempts for one call whose connection is lost before an answer. */
const MAX_LOST = 3;

export class MatrixHttp {
  readonly baseUrl: string;
  /** Told of each 429 before the wait that it asks for. */
  onLimited: ((limited: Limited) => void) | null = null;
  #accessToken: string | null;
  #putOffMs = 0;

  constructor(baseUrl: string, accessToken: string | null = null) {
    this.baseUrl = baseUrl.replace(/\/+$/, "");
    this.#accessToken = accessToken;
  }

  useToken(accessToken: string): void {
    this.#accessToken = accessToken;
  }

  /** How long all calls so far were put off by rate limits, in milliseconds: refused attempts and the waits after them. */
  get putOffMs(): number {
    return this.#putOffMs;
  }

  /**
   * @param path from `/_matrix` on, its segments already percent-encoded (see `segment`)
   * @returns the parsed JSON object
   * @throws HttpRefused for an answer that is not 2xx; what fetch throws when there was no answer
   */
  async call(method: "GET" | "POST" | "PUT" | "DELETE", path: string, call: HttpCall = {}): Promise<JsonObject> {
    const query = new URLSearchParams(call.query).toString();
    const url = `${this.baseUrl}${path}${query === "" ? "" : `?${query}`}`;
    for (let attempt = 1; ; attempt += 1) {
      const startedMs = performance.now();
      const timeout = AbortSignal.timeout(call.timeoutMs ?? 30_000);
      const signal = call.signal === undefined ? timeout : AbortSignal.any([call.signal, timeout]);
      const response = await fetch(url, {
        method,
        headers: {
          ...(this.#accessToken === null ? {} : { authorization: `Bearer ${this.#accessToken}` }),
          ...(call.body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
        signal,
      }).catch((error: unknown) => {
        // A connection that was kept alive and has died: what can be repeated without harm is.
        if (method === "POST" || signal.aborted || attempt >= MAX_LOST) throw error;
        return null;
      });
      if (response === null) continue;
      const text = await response.text();
      if (response.ok) return parseAnswer(text, `${method} ${path}`, response.status);
      const refusal = parseObject(text);
      if (response.status === 429 && attempt < MAX_ATTEMPTS) {
        const waitMs = askedWaitMs(refusal["retry_after_ms"], response.headers.get("retry-after"));
        this.onLimited?.({ what: `${method} ${path}`, waitMs });
        const signals = [call.signal, call.patience].filter((given) => given !== undefined);
        await pause(waitMs, signals.length === 0 ? undefined : AbortSignal.any(signals));
        this.#putOffMs += performance.now() - startedMs;
        continue;
      }
      const errcode = refusal["errcode"];
      throw new HttpRefused(`${method} ${path}`, response.status, typeof errcode === "string" ? errcode : null);
    }
  }
}

/** One segment of a path: room IDs, event IDs and types hold characters that a path may not. */
export function segment(value: string): string {
  return encodeURIComponent(value);
}

/** Resolves after `ms` milliseconds, or rejects at once when `signal` aborts. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(new Error("stopped while waiting"));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    if (signal?.aborted === true) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}

/** @throws HttpRefused for what is no JSON: some page of a web server, say */
function parseAnswer(text: string, what: string, status: number): JsonObject {
  try {
    return JSON.parse(text) as JsonObject;
  } catch {
    throw new HttpRefused(what, status, null);
  }
}

/** The body's word in milliseconds, or else the header's in seconds; a second where neither says. */
function askedWaitMs(inBody: JsonValue | undefined, header: string | null): number {
  if (typeof inBody === "number" && inBody >= 0) return inBody;
  return header !== null && /^\d+$/.test(header) ? Number(header) * 1000 : 1000;
}

function parseObject(text: string): JsonObject {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : {};
  } catch {
    return {};
  }
}
