/**
 * HTTP to one homeserver, on undici. Owns the limits of one attempt: time-out, abort, size of the reply,
 * no redirects, the access token asked for anew. Repeats nothing (client.ts does).
 *
 * Guarantees: rejects with `ServerRefused`, `ServerUnreachable` or `Cancelled`, or with what the token provider threw; an abort
 * closes the socket at once; after `close()` no socket is left and every call is `Cancelled`. Long polls have connections of
 * their own, so that a poll never makes a response wait.
 */
import { fetch, type Response } from "undici";
import type { Clock } from "../clock.ts";
import type { NetworkSettings } from "../config/network.ts";
import { Cancelled, ConfigError, ServerRefused } from "../errors.ts";
import type { Logger } from "../logging.ts";
import type { Metrics } from "../metrics.ts";
import { describeEndpoint, nameEndpoint, type RequestName } from "./endpoint.ts";
import { OutwardConnections } from "./outwardConnections.ts";
import {
  redirectRefusal,
  refusal,
  ReplyTooLong,
  timedOut,
  unreachable,
  unusableReply,
  withoutToken,
} from "./refusals.ts";

/**
 * Asked before every request, so that a new token counts from the next request on; null: the request goes without one.
 * @param refused a token that the homeserver has just refused (401 `M_UNKNOWN_TOKEN`): what is returned then is tried once, unless it
 * is the same
 */
export type TokenProvider = (refused?: string) => Promise<string | null> | string | null;

export interface HttpRequest {
  readonly method: string;
  /** Below the homeserver's address, with encoded segments, without a query. */
  readonly url: string;
  readonly query: Readonly<Record<string, unknown>>;
  readonly body: string | Buffer | null;
  readonly contentType: string | null;
  readonly signal: AbortSignal;
  /** For the whole attempt, waiting for a connection and reading the reply included, in milliseconds. */
  readonly timeoutMs: number;
  /** Size of the reply after decompression. */
  readonly maxReplyBytes: number;
  /** Uses the connections set aside for polls. */
  readonly longPoll: boolean;
  /** `json`: the reply must be a JSON object or array. */
  readonly expect: "json" | "bytes";
  /** Sent without the access token. */
  readonly anonymous?: boolean;
}

export interface HttpReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: unknown;
}

/** Enough for an errcode; a proxy's page is not worth more. */
const MAX_REFUSAL_BYTES = 64 * 1024;
const MAX_CONNECTIONS = 32;

/**
 * The form in which addresses are compared: lower-case host, no default port, no trailing slash; a path stays.
 * @throws TypeError for an address that is not http(s), has a query, or carries a user name or password
 */
export function canonicalBaseUrl(homeserverUrl: string): string {
  const url = URL.parse(homeserverUrl);
  if (
    url === null ||
    !/^https?:$/.test(url.protocol) ||
    `${url.username}${url.password}${url.search}${url.hash}` !== ""
  ) {
    throw new TypeError(
      "the homeserver's address must be an http(s) URL without user name, password, query and fragment",
    );
  }
  return url.href.replace(/\/+$/, "");
}

export class HttpTransport {
  private readonly baseUrl: string;
  private readonly tokenProvider: TokenProvider;
  private readonly clock: Clock;
  private readonly log: Logger;
  private readonly metrics: Metrics | undefined;
  private readonly requests: OutwardConnections;
  private readonly polls: OutwardConnections;
  /** One for each attempt in flight; `close` aborts them all. */
  private readonly inFlight = new Set<AbortController>();
  private closing: Promise<void> | null = null;

  /** @param options.baseUrl from `canonicalBaseUrl` */
  constructor(options: {
    baseUrl: string;
    tokenProvider: TokenProvider;
    clock: Clock;
    log: Logger;
    metrics?: Metrics | undefined;
    network: NetworkSettings;
  }) {
    this.baseUrl = options.baseUrl;
    this.tokenProvider = options.tokenProvider;
    this.clock = options.clock;
    this.log = options.log;
    this.metrics = options.metrics;
    this.requests = new OutwardConnections(options.network, { connections: MAX_CONNECTIONS });
    this.polls = new OutwardConnections(options.network);
  }

  /** One attempt. @throws ServerRefused | ServerUnreachable | Cancelled | what the token provider throws */
  async send(request: HttpRequest): Promise<HttpReply> {
    const { url, name } = this.urlOf(request);
    if (this.closing !== null || request.signal.aborted)
      throw new Cancelled(`${name.label}: cancelled before it was sent`);

    const attempt = new AbortController();
    const timer = new AbortController();
    const abort = (): void => attempt.abort();
    request.signal.addEventListener("abort", abort, { once: true });
    this.inFlight.add(attempt);
    let late = false;
    void this.clock.sleep(request.timeoutMs, timer.signal).then(() => {
      if (timer.signal.aborted) return;
      late = true;
      attempt.abort();
    });

    const startedAt = this.clock.now();
    let status: number | null = null;
    let isSent = false;
    const exchange = async (token: string | null): Promise<HttpReply> => {
      isSent = true;
      const response = await this.fetch(url, request, name, token, attempt.signal);
      status = response.status;
      return await this.readReply(response, request, name);
    };
    try {
      const token = request.anonymous === true ? null : await unlessAborted(this.tokenProvider, attempt.signal);
      return await exchange(token).catch(async (error: unknown) => {
        // Refused for its token, the request had no effect: the same one, transaction ID and all, may go again with another.
        if (token === null || !(error instanceof ServerRefused) || !isExpiry(error)) throw error;
        isSent = false;
        const next = await unlessAborted(() => this.tokenProvider(token), attempt.signal);
        if (next === null || next === token) throw error;
        return await exchange(next);
      });
    } catch (error) {
      // A refusal that came before the abort is the better news, even if the rest of its body did not come.
      if (!attempt.signal.aborted || error instanceof ServerRefused) throw error;
      if (late) throw isSent ? timedOut(name, request.timeoutMs) : withoutToken(name, request.timeoutMs);
      throw new Cancelled(`${name.label}: cancelled while it was under way`);
    } finally {
      timer.abort();
      request.signal.removeEventListener("abort", abort);
      this.inFlight.delete(attempt);
      const ms = this.clock.now() - startedAt;
      this.log.debug({ request: name.label, status, ms }, "request");
      const endpoint = nameEndpoint(request.url.slice(this.baseUrl.length));
      this.metrics?.requests.inc({ method: request.method, endpoint, status: statusClass(status) });
      if (!request.longPoll) this.metrics?.requestSeconds.observe({ endpoint }, ms / 1000);
    }
  }

  /** Idempotent. Requests in flight are cancelled; resolves when every socket is destroyed. */
  close(): Promise<void> {
    this.closing ??= (async () => {
      for (const attempt of this.inFlight) attempt.abort();
      await Promise.all([this.requests.close(), this.polls.close()]);
    })();
    return this.closing;
  }

  private urlOf(request: HttpRequest): { url: URL; name: RequestName } {
    const url = URL.parse(request.url);
    // A URL that the parser changes (dot segments) would reach another endpoint; one that is not the homeserver's gets no token.
    const below = request.url.startsWith(`${this.baseUrl}/`);
    if (url === null || url.href !== request.url || /[?#]/.test(request.url) || !below) {
      throw new TypeError(
        "the address of a request is not an encoded path below the homeserver's address: it was not sent",
      );
    }
    const name = {
      label: `${request.method} ${describeEndpoint(request.url.slice(this.baseUrl.length))}`,
      origin: url.origin,
    };
    for (const [key, value] of Object.entries(request.query)) {
      for (const one of Array.isArray(value) ? (value as unknown[]) : [value]) {
        if (one !== undefined && one !== null)
          url.searchParams.append(key, typeof one === "string" ? one : JSON.stringify(one));
      }
    }
    return { url, name };
  }

  private async fetch(
    url: URL,
    request: HttpRequest,
    name: RequestName,
    token: string | null,
    signal: AbortSignal,
  ): Promise<Response> {
    const headers: Record<string, string> = { Accept: "application/json", "User-Agent": "Docket" };
    if (request.contentType !== null) headers["Content-Type"] = request.contentType;
    if (token !== null) headers["Authorization"] = `Bearer ${checkedToken(token)}`;
    const { method, body } = request;
    const connections = request.longPoll ? this.polls : this.requests;
    const { dispatcher } = connections;
    try {
      return await fetch(url, { method, headers, body, dispatcher, redirect: "manual", signal });
    } catch (error) {
      throw unreachable(name, error, connections.proxyFor(url));
    }
  }

  private async readReply(response: Response, request: HttpRequest, name: RequestName): Promise<HttpReply> {
    const { status, headers } = response;
    if (!response.ok) {
      const bytes = await readBytes(response, MAX_REFUSAL_BYTES).catch(() => null);
      if (status >= 300 && status < 400) throw redirectRefusal(name, status, headers.get("location"));
      throw refusal(name, { status, headers, body: bytes === null ? null : parsedJson(bytes) }, this.clock.now());
    }
    let bytes: Buffer | null;
    try {
      bytes = await readBytes(response, request.maxReplyBytes);
    } catch {
      throw unusableReply(name, "it is cut off");
    }
    if (bytes === null) throw new ReplyTooLong(name, request.maxReplyBytes);
    const plainHeaders = Object.fromEntries(headers);
    if (request.expect === "bytes") return { status, headers: plainHeaders, body: bytes };
    const body = parsedJson(bytes);
    // The parser's own error is left out: it quotes the reply.
    if (typeof body !== "object" || body === null) throw unusableReply(name, "it is not a JSON object");
    if ("errcode" in body) throw refusal(name, { status, headers, body }, this.clock.now());
    return { status, headers: plainHeaders, body };
  }
}

/** As a label: `2xx` and so on; `429` by itself, because it asks for something else to be done; `none` without a reply. */
function statusClass(status: number | null): string {
  if (status === null) return "none";
  return status === 429 ? "429" : `${Math.floor(status / 100)}xx`;
}

/** @returns null where the reply is longer than `maxBytes`; the rest of it is not read */
export async function readBytes(response: Response, maxBytes: number): Promise<Buffer | null> {
  if (response.body === null) return Buffer.alloc(0);
  const chunks: Uint8Array[] = [];
  let length = 0;
  // Leaving the loop early cancels the stream, which closes the connection.
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
    length += chunk.byteLength;
    if (length > maxBytes) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

/** @returns null where it is not JSON */
function parsedJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8")) as unknown;
  } catch {
    return null;
  }
}

function isExpiry({ status, errcode }: ServerRefused): boolean {
  return status === 401 && errcode === "M_UNKNOWN_TOKEN";
}

async function unlessAborted(provider: () => ReturnType<TokenProvider>, signal: AbortSignal): Promise<string | null> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(new Cancelled("cancelled while the access token was fetched"));
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([provider(), aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** Checked here because the HTTP library's own complaint would quote the token. */
function checkedToken(token: string): string {
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  const message =
    "is empty or has characters that an HTTP header can't carry (a space, a line break, a letter outside ASCII)";
  throw new ConfigError([
    {
      file: "the access token",
      line: null,
      column: null,
      path: "",
      message,
      hint: "Copy the token again, without quotes.",
    },
  ]);
}
