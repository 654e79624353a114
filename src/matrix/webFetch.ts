/**
 * HTTP to servers other than the homeserver, in the shape of `fetch`, for libraries that bring their own protocol (OAuth 2.0). Owns the
 * connections and the limits of one request: time-out, abort, size of the reply, no redirects, no plain HTTP but on this machine.
 *
 * Guarantees: rejects with `ServerRefused` (429, redirects), `ServerUnreachable` (5xx, no usable reply) or `Cancelled`; what else the
 * server says is for the library to judge. Neither errors nor log lines have a query, a body or a token in them.
 */
import { fetch } from "undici";
import type { Clock } from "../clock.ts";
import type { NetworkSettings } from "../config/network.ts";
import { Cancelled, ServerRefused, ServerUnreachable } from "../errors.ts";
import type { Logger } from "../logging.ts";
import { describeEndpoint, type RequestName } from "./endpoint.ts";
import { readBytes } from "./http.ts";
import { OutwardConnections } from "./outwardConnections.ts";
import { redirectRefusal, refusal, timedOut, unreachable, unusableReply } from "./refusals.ts";

export interface WebRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | URLSearchParams | undefined;
  readonly signal?: AbortSignal | undefined;
}

const TIMEOUT_MS = 30_000;
const MAX_REPLY_BYTES = 1024 * 1024;
/** Statuses whose replies have no body (Fetch standard, "null body status"). */
const WITHOUT_BODY: ReadonlySet<number> = new Set([101, 103, 204, 205, 304]);

export class WebFetch {
  private readonly clock: Clock;
  private readonly log: Logger;
  private readonly connections: OutwardConnections;
  private readonly closing = new AbortController();

  /** @param ports.network proxies and certificate authorities */
  constructor(ports: { network: NetworkSettings; clock: Clock; log: Logger }) {
    this.clock = ports.clock;
    this.log = ports.log;
    this.connections = new OutwardConnections(ports.network);
  }

  /** One attempt. @throws ServerRefused | ServerUnreachable | Cancelled */
  async fetch(address: string, request: WebRequest): Promise<Response> {
    const url = new URL(address);
    const name = { label: `${request.method} ${describeEndpoint(url.pathname)}`, origin: url.origin };
    if (!isProtected(url)) {
      throw new ServerUnreachable(
        `${name.label}: not sent to ${name.origin}, because it is plain HTTP and secrets would be readable on the way. Its operator has to name https:// addresses`,
        { doubtful: false },
      );
    }
    const attempt = new AbortController();
    const abort = (): void => attempt.abort();
    const timer = new AbortController();
    let late = false;
    void this.clock.sleep(TIMEOUT_MS, timer.signal).then(() => {
      if (timer.signal.aborted) return;
      late = true;
      attempt.abort();
    });
    const sources = [request.signal, this.closing.signal].filter((signal) => signal !== undefined);
    for (const source of sources) {
      if (source.aborted) abort();
      source.addEventListener("abort", abort, { once: true });
    }
    const startedAt = this.clock.now();
    let status: number | null = null;
    try {
      const reply = await this.exchange(url, request, name, attempt.signal);
      ({ status } = reply);
      return reply;
    } catch (error) {
      if (!attempt.signal.aborted || error instanceof ServerRefused) throw error;
      if (late) throw timedOut(name, TIMEOUT_MS);
      throw new Cancelled(`${name.label}: cancelled while it was under way`);
    } finally {
      timer.abort();
      for (const source of sources) source.removeEventListener("abort", abort);
      this.log.debug({ request: name.label, status, ms: this.clock.now() - startedAt }, "request");
    }
  }

  /** Idempotent. Requests in flight are cancelled; resolves when every socket is destroyed. */
  async close(): Promise<void> {
    this.closing.abort();
    await this.connections.close();
  }

  private async exchange(url: URL, request: WebRequest, name: RequestName, signal: AbortSignal): Promise<Response> {
    const headers = { ...request.headers, "User-Agent": "Docket" };
    const body = request.body?.toString() ?? null;
    const { dispatcher } = this.connections;
    const response = await fetch(url, {
      method: request.method,
      headers,
      body,
      dispatcher,
      redirect: "manual",
      signal,
    }).catch((error: unknown) => {
      throw unreachable(name, error, this.connections.proxyFor(url));
    });
    const { status } = response;
    if (status >= 300 && status < 400) throw redirectRefusal(name, status, response.headers.get("location"));
    const bytes = await readBytes(response, MAX_REPLY_BYTES).catch(() => {
      throw unusableReply(name, "it is cut off");
    });
    if (bytes === null) throw unusableReply(name, `it is longer than ${MAX_REPLY_BYTES} bytes`);
    if (status === 429) throw refusal(name, { status, headers: response.headers, body: null }, this.clock.now());
    if (status >= 500) {
      throw new ServerUnreachable(
        `${name.label}: ${name.origin} fails with status ${status}; the request may have taken effect. If it stays so, see that server's log`,
        { doubtful: true },
      );
    }
    // One of Node's own, which is what libraries look for; undici's is another class.
    return new Response(WITHOUT_BODY.has(status) ? null : Uint8Array.from(bytes), {
      status,
      headers: Object.fromEntries(response.headers),
    });
  }
}

function isProtected({ protocol, hostname }: URL): boolean {
  return protocol === "https:" || (protocol === "http:" && /^(127(\.\d+){3}|localhost|\[::1\])$/.test(hostname));
}
