/**
 * Turns what came back from a homeserver, or did not come, into `ServerRefused` and `ServerUnreachable`, with a message that
 * says what to do next. Pure. No message carries a token, a query, a body or the server's own words (they may quote a user).
 */
import type { ProxyServer } from "../config/proxyServer.ts";
import { ServerRefused, ServerUnreachable } from "../errors.ts";
import { isJsonObject } from "../protocol/json.ts";
import { readChallenge } from "./authenticationChallenge.ts";
import type { RequestName } from "./endpoint.ts";
import { isTlsFailure, knownCode, NO_CODE } from "./failureCode.ts";
import { proxyFailed, proxyFailureIn } from "./proxyFailure.ts";

export interface RefusedReply {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  /** The parsed body; null where it is missing or not JSON (a proxy's page). */
  readonly body: unknown;
}

/** @param nowMs the local wall clock, for a `Retry-After` that names a date */
export function refusal(request: RequestName, reply: RefusedReply, nowMs: number): ServerRefused {
  const errcode = errcodeOf(reply.body);
  const retryAfterMs = askedWaitMs(reply, nowMs);
  const tokenRefused = reply.status === 401 && (errcode === "M_UNKNOWN_TOKEN" || errcode === "M_MISSING_TOKEN");
  const found = errcode === null ? `status ${reply.status}` : `status ${reply.status} ${errcode}`;
  const challenge = reply.status === 401 && !tokenRefused ? readChallenge(reply.body) : null;
  const hint =
    challenge === null
      ? refusalHint(reply.status, errcode, tokenRefused, retryAfterMs)
      : "it wants the account's owner to confirm this (user-interactive authentication)";
  return new ServerRefused(`${request.label}: ${request.origin} refused with ${found}: ${hint}`, {
    status: reply.status,
    errcode,
    retryAfterMs,
    tokenRefused,
    challenge,
  });
}

/** Redirects are not followed: the access token would go wherever they point. */
export function redirectRefusal(request: RequestName, status: number, location: string | null): ServerRefused {
  let target = "an address that can't be read";
  try {
    const origin = new URL(location ?? "", request.origin).origin;
    target = location === null ? "nowhere (no Location)" : origin === request.origin ? "another path there" : origin;
  } catch {
    // Not a URL.
  }
  return new ServerRefused(
    `${request.label}: ${request.origin} redirects (status ${status}) to ${target}, and redirects are not followed because the ` +
      "access token would go there: set `homeserver` to the address where the homeserver itself answers",
    { status, errcode: null },
  );
}

/** The reply came with a good status but is cut off, too long, or not what the endpoint answers with. */
export function unusableReply(request: RequestName, what: string): ServerUnreachable {
  return new ServerUnreachable(
    `${request.label}: the reply of ${request.origin} is not usable: ${what}; the request may have taken effect. ` +
      "If it stays so, look at the proxies between Docket and the homeserver",
    { doubtful: true },
  );
}

/** What came is longer than was asked for: the rest of it was not read. */
export class ReplyTooLong extends ServerUnreachable {
  constructor(request: RequestName, maxBytes: number) {
    super(unusableReply(request, `it is longer than ${maxBytes} bytes`).message, { doubtful: true });
  }
}

export function timedOut(request: RequestName, timeoutMs: number): ServerUnreachable {
  return new ServerUnreachable(
    `${request.label}: ${request.origin} did not answer within ${timeoutMs} ms; the request may have taken effect. ` +
      "If it stays so, look at the homeserver's load and at the network between",
    { doubtful: true },
  );
}

/** The time of a request was over before there was an access token to send it with. */
export function withoutToken(request: RequestName, timeoutMs: number): ServerUnreachable {
  return new ServerUnreachable(
    `${request.label}: not sent within ${timeoutMs} ms, because the expired access token could not be exchanged for a new one by then. ` +
      "The lines before say what does not answer",
    { doubtful: false },
  );
}

/**
 * @param error what the HTTP client threw
 * @param proxy what the request went through; null: nothing
 */
export function unreachable(request: RequestName, error: unknown, proxy: ProxyServer | null = null): ServerUnreachable {
  const { code, syscall } = lowestCause(error);
  const failure = proxyFailureIn(error);
  if (failure !== null && failure.trouble.kind !== "beyond") return proxyFailed(request, failure);
  const notSent = failure !== null || neverSent(code, syscall);
  const effect = notSent ? "" : "; the request may have taken effect";
  const way = proxy === null ? "" : ` through the proxy ${proxy.origin} (${proxy.source})`;
  // The cause is left out on purpose: parser errors carry the server's bytes, header errors the token.
  return new ServerUnreachable(
    `${request.label}: ${request.origin} was not reached${way} (${code})${effect}. ${unreachableHint(code)}`,
    {
      doubtful: !notSent,
    },
  );
}

/** A server that asks for more is asked again after this: a wrong number must not silence the bot for years. */
const LONGEST_ASKED_WAIT_MS = 60 * 60 * 1000;

/**
 * How long the server asks us to wait: `retry_after_ms` in the body (deprecated but common), `Retry-After` in seconds or as a
 * date (spec, "Rate limiting"; RFC 9110 section 10.2.3). Where both are there the longer one counts: that obeys both.
 * @param nowMs the local wall clock; a `Date` header of the server is used instead where it came with a date
 * @returns whole milliseconds, from 0 to an hour; null where nothing (readable) is asked
 */
export function askedWaitMs(reply: RefusedReply, nowMs: number): number | null {
  const waits: number[] = [];
  const inBody = isJsonObject(reply.body) ? reply.body["retry_after_ms"] : undefined;
  if (typeof inBody === "number" && Number.isFinite(inBody) && inBody >= 0) waits.push(Math.ceil(inBody));
  const header = reply.headers.get("retry-after")?.trim() ?? "";
  if (/^\d{1,9}$/.test(header)) waits.push(Number(header) * 1000);
  // Date.parse takes almost anything with a digit in it for a date; HTTP dates end in GMT.
  else if (header.endsWith(" GMT")) {
    const serverNow = Date.parse(reply.headers.get("date") ?? "");
    const until = Date.parse(header);
    if (!Number.isNaN(until)) waits.push(Math.max(0, until - (Number.isNaN(serverNow) ? nowMs : serverNow)));
  }
  return waits.length === 0 ? null : Math.min(Math.max(...waits), LONGEST_ASKED_WAIT_MS);
}

function errcodeOf(body: unknown): string | null {
  const errcode = isJsonObject(body) ? body["errcode"] : undefined;
  return typeof errcode === "string" && /^[A-Za-z][A-Za-z0-9_.]{0,63}$/.test(errcode) ? errcode : null;
}

function refusalHint(
  status: number,
  errcode: string | null,
  tokenRefused: boolean,
  retryAfterMs: number | null,
): string {
  if (tokenRefused)
    return "the access token is missing or no longer valid; sign in again with `docket login`, or put a new token into the configuration";
  if (status === 401)
    return "the account can't be used like this; look at its state on the homeserver (locked, deactivated, new terms)";
  if (status === 403) return "the bot's account may not do this; check its membership and power level in the room";
  if (errcode === "M_UNRECOGNIZED" || status === 405) {
    return "the server does not know this endpoint; check that `homeserver` is its client-server address, and its version";
  }
  if (status === 404 && errcode === null) {
    return "no Matrix homeserver answers at this path; check `homeserver` (`/.well-known/matrix/client` of the server's domain names it)";
  }
  if (status === 404) return "the server does not have what was asked for";
  if (status === 413) return "the request is too large for the server or a proxy before it";
  if (status === 429) {
    const wait = retryAfterMs === null ? "it names no wait" : `it asks to wait ${retryAfterMs} ms`;
    return `too many requests; ${wait}. Raise the rate limits of the bot's account if this goes on`;
  }
  if (status >= 500 && errcode === null)
    return "a proxy before the homeserver answers, or the homeserver is failing; check that it runs";
  if (status >= 500) return "the homeserver is failing; see its log";
  return "see the errcode in the Matrix specification";
}

/** The error that says why: `fetch` wraps it, and an attempt at several addresses (IPv6, IPv4) bundles them. */
function lowestCause(error: unknown): { code: string; syscall: string | null } {
  let current = error;
  let code: string | null = null;
  let syscall: string | null = null;
  for (let depth = 0; depth < 8 && current instanceof Error; depth += 1) {
    const details = current as Error & { readonly code?: unknown; readonly syscall?: unknown };
    code = knownCode(details.code) ?? code;
    if (typeof details.syscall === "string") syscall = details.syscall;
    // The one refusal of `fetch` itself that an address in the configuration can meet; it has no code.
    if (code === null && current.message === "bad port") code = "BAD_PORT";
    current = current instanceof AggregateError ? current.errors[0] : current.cause;
  }
  return { code: code ?? NO_CODE, syscall };
}

/** Failures before a byte of the request left: resolving, connecting, the TLS handshake. */
function neverSent(code: string, syscall: string | null): boolean {
  const beforeSending =
    syscall === "connect" ||
    syscall === "getaddrinfo" ||
    ["UND_ERR_CONNECT_TIMEOUT", "ECONNREFUSED", "BAD_PORT"].includes(code);
  return beforeSending || (isTlsFailure(code) && !code.startsWith("ERR_SSL_") && code !== "EPROTO");
}

function unreachableHint(code: string): string {
  if (code === "ENOTFOUND" || code === "EAI_AGAIN")
    return "Its name is not found in DNS: check `homeserver` and the machine's name server";
  if (code === "ECONNREFUSED")
    return "Nothing listens there: check that the homeserver runs, and the port in `homeserver`";
  if (isTlsFailure(code)) {
    return "TLS failed: check the certificate (expired, other name, own authority: `network.certificate_authorities` or NODE_EXTRA_CA_CERTS) and that `homeserver` has the right scheme and port";
  }
  if (code === "UND_ERR_CONNECT_TIMEOUT" || code === "ETIMEDOUT" || code.endsWith("UNREACH")) {
    return "No connection comes about: check the network, the firewall and `homeserver`";
  }
  if (code === "BAD_PORT")
    return "`fetch` never connects to this port (the Fetch standard reserves it): put the homeserver on another";
  return "The connection broke: if it stays so, look at the homeserver and the proxies between";
}
