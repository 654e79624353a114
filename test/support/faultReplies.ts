/** What a client behind a fault proxy gets: the homeserver's answer, or a planned one instead. */
import { once } from "node:events";
import { request as httpRequest, type Agent, type IncomingMessage } from "node:http";
import { buffer } from "node:stream/consumers";
import type { FaultAction } from "../../devserver/faults.ts";

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** Called when the client has it whole. */
  readonly delivered?: () => void;
}

/**
 * Asks the homeserver what the client has asked.
 * @param to where, without a slash at the end
 * @param path with the query
 * @throws Error it is away, or `signal` was aborted
 */
export async function forward(
  to: { readonly target: string; readonly agent: Agent },
  from: IncomingMessage,
  path: string,
  body: Buffer,
  signal: AbortSignal,
): Promise<Reply> {
  const headers = { ...from.headers };
  // Hop by hop, or to be made anew; and the sync must be readable here.
  for (const name of ["host", "connection", "keep-alive", "transfer-encoding", "content-length", "accept-encoding"]) {
    delete headers[name];
  }
  if (body.length > 0) headers["content-length"] = String(body.length);
  const { hostname, port } = new URL(to.target);
  const outgoing = httpRequest({ hostname, port, path, method: from.method, headers, agent: to.agent, signal });
  // Told by what waits below; one that comes after that has nobody left to tell.
  outgoing.on("error", () => undefined);
  outgoing.end(body);
  const [incoming] = (await once(outgoing, "response", { signal })) as [IncomingMessage];
  const kept = Object.entries(incoming.headers).filter(
    ([name]) => !["connection", "keep-alive", "transfer-encoding", "content-length"].includes(name),
  );
  return {
    status: incoming.statusCode ?? 502,
    headers: Object.fromEntries(kept.map(([name, value]) => [name, String(value)])),
    body: await buffer(incoming),
  };
}

/** Whether the request reaches the homeserver first. */
export function isAfter(action: FaultAction): boolean {
  if (action.kind === "dropAfter" || action.kind === "truncate") return true;
  if (action.kind === "delay" || action.kind === "hang") return action.after === true;
  return action.kind === "answer" && action.afterEffect === true;
}

/** What the client gets instead of the homeserver's answer. */
export function insteadOf(action: FaultAction): Reply | null {
  const json = { "content-type": "application/json" };
  if (action.kind === "rateLimited") {
    const body = { errcode: "M_LIMIT_EXCEEDED", error: "Too Many Requests", retry_after_ms: action.retryAfterMs };
    const headers = { ...json, "retry-after": String(Math.ceil(action.retryAfterMs / 1000)) };
    return { status: 429, headers, body: Buffer.from(JSON.stringify(body)) };
  }
  if (action.kind !== "answer") return null;
  const body = typeof action.body === "string" ? action.body : JSON.stringify(action.body ?? {});
  return { status: action.status, headers: { ...json, ...action.headers }, body: Buffer.from(body) };
}
