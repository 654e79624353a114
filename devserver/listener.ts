/** HTTP in and out: reads a request, lets faults have their way with it, calls its route, writes the answer. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { isJsonObject, type JsonObject, type JsonValue } from "../src/protocol/json.ts";
import type { Session } from "./accessTokens.ts";
import { Changes } from "./changes.ts";
import type { Meeting } from "./faults.ts";
import { keepPort, type KeptPort } from "./keptPort.ts";
import { MatrixError, limitExceeded } from "./matrixError.ts";
import type { LoggedRequest } from "./observer.ts";
import type { ServerParts } from "./parts.ts";
import { Answer, type Call, type Match, type Router } from "./router.ts";

const HOST = "127.0.0.1";

interface Outgoing {
  readonly status: number;
  readonly body: string | Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

/** One request on its way through. */
interface Passage {
  readonly response: ServerResponse;
  readonly logged: LoggedRequest | null;
  readonly signal: AbortSignal;
}

export class Listener {
  readonly #parts: ServerParts;
  readonly #router: Router;
  readonly #sockets = new Set<Socket>();
  readonly #never = new Changes();
  /** How far the `Date` of each answer is off, in milliseconds. */
  dateShiftMs = 0;
  #server: Server | null = null;
  #port: number;
  #kept: KeptPort | null = null;

  constructor(parts: ServerParts, router: Router, port: number) {
    this.#parts = parts;
    this.#router = router;
    this.#port = port;
  }

  get url(): string {
    return `http://${HOST}:${this.#port}`;
  }

  /** Listens; after a `pause`, on the same port again. */
  async open(): Promise<void> {
    if (this.#server !== null) return;
    const server = createServer((request, response) => void this.#serve(request, response));
    server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.#port, HOST, resolve);
    });
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
    this.#letPortGo();
  }

  /** Stops listening and cuts every connection, but keeps the port for the next `open`. */
  async pause(): Promise<void> {
    const server = this.#server;
    if (server === null) return;
    this.#kept = await keepPort(server, this.#port, HOST);
    this.#sockets.delete(this.#kept.accepted);
    this.#server = null;
    server.close();
    const cut = [...this.#sockets].map((socket) => new Promise((resolve) => socket.once("close", resolve)));
    this.cutConnections();
    await Promise.all(cut);
  }

  /** Stops listening and cuts every connection. */
  async close(): Promise<void> {
    this.#letPortGo();
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    this.cutConnections();
    await closed;
  }

  cutConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #letPortGo(): void {
    this.#kept?.letGo();
    this.#kept = null;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { now, observer } = this.#parts;
    const gone = new AbortController();
    const body = await readBody(request);
    if (body === null) return;
    const url = new URL(request.url ?? "/", this.url);
    const method = request.method ?? "GET";
    const token = tokenIn(request, url);
    const known = this.#parts.accounts.tokens.peek(token);
    const logged = url.pathname.startsWith("/_devserver/")
      ? null
      : observer.begin(record(method, url, body, known, now()));
    response.on("close", () => {
      gone.abort();
      if (logged !== null) observer.end(logged, response.writableFinished ? "answered" : "aborted", null, now());
    });
    if (response.destroyed) gone.abort();
    const passage = { response, logged, signal: gone.signal };
    const effect = async (): Promise<Outgoing> => {
      try {
        const match = this.#router.match(method, url.pathname);
        const contentType = request.headers["content-type"] ?? null;
        const call = { method, params: match.params, query: url.searchParams, body, contentType, signal: gone.signal };
        return outgoing(await this.#call(match, call, token));
      } catch (error) {
        return refusal(error);
      }
    };
    const meeting =
      logged === null
        ? null
        : this.#parts.faults.meet({
            method,
            path: decoded(url.pathname),
            userId: known?.userId ?? null,
            deviceId: known?.deviceId ?? null,
          });
    if (meeting === null) return this.#write(passage, await effect());
    if (logged !== null) logged.faultId = meeting.faultId;
    await this.#fail(passage, meeting, effect);
  }

  #call(match: Match, call: Call, token: string | null): ReturnType<typeof match.handler> {
    if (match.kind === "open" || (match.kind === "either" && token === null)) return match.handler(call);
    return match.handler({ ...call, session: this.#parts.accounts.tokens.authenticate(token) });
  }

  async #fail(passage: Passage, { action, released }: Meeting, effect: () => Promise<Outgoing>): Promise<void> {
    const wait = (ms: number): Promise<void> => this.#never.next(ms, AbortSignal.any([passage.signal, released]));
    switch (action.kind) {
      case "delay":
      case "hang": {
        const ms = action.kind === "delay" ? action.ms : Infinity;
        if (action.after !== true) await wait(ms);
        if (passage.signal.aborted) return;
        const answer = await effect();
        if (action.after === true) await wait(ms);
        return this.#write(passage, answer);
      }
      case "dropBefore":
        return this.#cut(passage);
      case "dropAfter":
        await effect();
        return this.#cut(passage);
      case "answer": {
        if (action.afterEffect === true) await effect();
        const text = typeof action.body === "string" ? action.body : JSON.stringify(action.body ?? {});
        return this.#write(passage, { status: action.status, body: text, headers: action.headers ?? {} });
      }
      case "rateLimited":
        return this.#write(passage, refusal(limitExceeded(action.retryAfterMs)));
      case "truncate": {
        const answer = await effect();
        const half = answer.body.slice(0, answer.body.length / 2);
        if (action.how === "json") return this.#write(passage, { ...answer, body: half });
        this.#head(passage, answer, Buffer.byteLength(answer.body));
        passage.response.write(half, () => this.#cut(passage, answer.status));
      }
    }
  }

  #write(passage: Passage, answer: Outgoing): void {
    if (passage.signal.aborted) return;
    this.#head(passage, answer, Buffer.byteLength(answer.body));
    const { logged } = passage;
    passage.response.end(answer.body);
    if (logged !== null) this.#parts.observer.end(logged, "answered", answer.status, this.#parts.now());
  }

  #head({ response }: Passage, { status, headers }: Outgoing, length: number): void {
    const date = new Date(this.#parts.now() + this.dateShiftMs).toUTCString();
    const always = { Date: date, "Content-Type": "application/json", "Content-Length": length };
    response.writeHead(status, { ...always, ...headers });
  }

  #cut({ response, logged }: Passage, status: number | null = null): void {
    if (logged !== null) this.#parts.observer.end(logged, "dropped", status, this.#parts.now());
    response.destroy();
  }
}

function outgoing(result: Answer | JsonObject): Outgoing {
  if (result instanceof Answer) return result;
  return { status: 200, body: JSON.stringify(result), headers: {} };
}

function refusal(error: unknown): Outgoing {
  if (error instanceof MatrixError)
    return { status: error.status, body: JSON.stringify(error.body()), headers: error.headers };
  // A fault of this server itself: the text helps whoever develops it, and no real secrets live here.
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { status: 500, body: JSON.stringify({ errcode: "M_UNKNOWN", error: text }), headers: {} };
}

/** Null when the client has gone before it sent everything. */
async function readBody(request: IncomingMessage): Promise<Buffer | null> {
  try {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks);
  } catch {
    return null;
  }
}

function tokenIn(request: IncomingMessage, url: URL): string | null {
  const header = request.headers.authorization;
  if (header?.startsWith("Bearer ")) return header.slice("Bearer ".length);
  return url.searchParams.get("access_token");
}

function record(
  method: string,
  url: URL,
  body: Buffer,
  session: Session | null,
  startedAt: number,
): Parameters<ServerParts["observer"]["begin"]>[0] {
  const query: Record<string, string[]> = {};
  for (const name of url.searchParams.keys()) if (name !== "access_token") query[name] = url.searchParams.getAll(name);
  const txnId = /\/(?:send|redact|sendToDevice)\/.*\/([^/]+)$/.exec(url.pathname)?.[1];
  return {
    method,
    path: url.pathname,
    query,
    body: parsed(body),
    userId: session?.userId ?? null,
    deviceId: session?.deviceId ?? null,
    txnId: txnId === undefined ? null : decoded(txnId),
    startedAt,
  };
}

function parsed(body: Buffer): JsonValue {
  try {
    const value: unknown = JSON.parse(body.toString("utf8"));
    return isJsonObject(value) ? value : null;
  } catch {
    return null;
  }
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
