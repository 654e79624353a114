/**
 * Stands between a bot and any homeserver, on 127.0.0.1, and does to its requests what the development homeserver's fault injection
 * does (devserver/faults.ts): lost replies, cut connections, delays, refusals, limits; and it can hold to-device messages back. For
 * one device: whoever else is in the test goes to the homeserver directly. Keeps a log of what came by.
 */
import { once } from "node:events";
import { Agent, createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import { Changes } from "../../devserver/changes.ts";
import { Faults, type Fault, type FaultAction, type FaultRule, type Meeting } from "../../devserver/faults.ts";
import { keepPort, type KeptPort } from "../../devserver/keptPort.ts";
import type { JsonValue } from "../../src/protocol/json.ts";
import { forward, insteadOf, isAfter, type Reply } from "./faultReplies.ts";
import { ToDeviceHold } from "./toDeviceHold.ts";

const HOST = "127.0.0.1";

export interface SeenRequest {
  readonly method: string;
  /** Without the query, percent-decoded. */
  readonly path: string;
  /** Milliseconds since the Unix epoch. */
  readonly startedAt: number;
  endedAt: number | null;
  /** That the client got. */
  status: number | null;
  /** `dropped`: cut by a fault or because the homeserver was away; `aborted`: left by the client. */
  outcome: "open" | "answered" | "dropped" | "aborted";
}

/** One request on its way through. */
interface Passage {
  readonly request: IncomingMessage;
  readonly body: Buffer;
  readonly response: ServerResponse;
  readonly seen: SeenRequest;
  /** Aborted when the client has gone. */
  readonly gone: AbortSignal;
}

export class FaultProxy {
  readonly #target: string;
  readonly #to: { readonly target: string; readonly agent: Agent };
  readonly #changes = new Changes();
  readonly #never = new Changes();
  readonly #faults = new Faults(this.#changes);
  readonly #requests: SeenRequest[] = [];
  readonly #hold = new ToDeviceHold();
  /** Aborted one by one when their syncs are to be asked anew. */
  readonly #waitingSyncs = new Set<AbortController>();
  readonly #sockets = new Set<Socket>();
  #server = createServer();
  #port = 0;
  #kept: KeptPort | null = null;

  private constructor(target: string) {
    this.#target = target;
    this.#to = { target, agent: new Agent({ keepAlive: true }) };
  }

  /** @param target the homeserver's address, without a slash at the end */
  static async start(target: string): Promise<FaultProxy> {
    const proxy = new FaultProxy(target);
    await proxy.resume();
    return proxy;
  }

  get url(): string {
    return `http://${HOST}:${this.#port}`;
  }

  /** Plans a fault. Its `userId` and `deviceId` meet nothing here: all requests are the one device's. */
  fault(rule: Omit<FaultRule, "userId" | "deviceId">): Fault {
    return this.#faults.plan(rule);
  }

  /** What came by, in order of arrival. @param path tested against the decoded path */
  requests(path: RegExp = /(?:)/): SeenRequest[] {
    return this.#requests.filter((seen) => path.test(seen.path));
  }

  /**
   * @returns the first value of `look` that is neither undefined nor false
   * @throws Error `what` did not come about within `timeoutMs`
   */
  async waitFor<T>(look: () => T | undefined | false, what: string, timeoutMs = 60_000): Promise<T> {
    const endsAt = performance.now() + timeoutMs;
    for (;;) {
      const found = look();
      if (found !== undefined && found !== false) return found;
      const leftMs = endsAt - performance.now();
      if (leftMs <= 0) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
      await this.#changes.next(leftMs);
    }
  }

  /** From now on no to-device message reaches the device. */
  holdToDevice(): void {
    this.#hold.hold();
  }

  /** How many to-device messages are held back. */
  get heldToDevice(): number {
    return this.#hold.count;
  }

  /** The next sync has what was held. A sync that waits is answered with it. */
  releaseToDevice(order: (held: readonly JsonValue[]) => readonly JsonValue[] = (held) => held): void {
    this.#hold.release(order);
    for (const sync of this.#waitingSyncs) sync.abort();
  }

  /** Cuts every connection of the client; new ones are taken. */
  cutConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Refuses connections, and cuts those that are there: the homeserver is away. */
  async pause(): Promise<void> {
    if (this.#kept !== null) return;
    this.#kept = await keepPort(this.#server, this.#port, HOST);
    this.#sockets.delete(this.#kept.accepted);
    this.#server.close();
    this.cutConnections();
  }

  /** After `pause`, on the same port. */
  async resume(): Promise<void> {
    const server = createServer((request, response) => void this.#serve(request, response));
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
    server.listen(this.#port, HOST);
    await once(server, "listening");
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
    this.#kept?.letGo();
    this.#kept = null;
  }

  stop(): void {
    this.#kept?.letGo();
    this.#faults.clear();
    this.#server.close();
    this.cutConnections();
    this.#to.agent.destroy();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "GET", url = "/" } = request;
    const path = decodeURIComponent(new URL(url, this.#target).pathname);
    const seen: SeenRequest = { method, path, startedAt: Date.now(), endedAt: null, status: null, outcome: "open" };
    this.#requests.push(seen);
    const gone = new AbortController();
    response.on("close", () => {
      if (!response.writableFinished) this.#end(seen, "aborted", null);
      gone.abort();
    });
    this.#changes.notify();
    try {
      const body = await buffer(request);
      const meeting = this.#faults.meet({ method, path, userId: null, deviceId: null });
      await this.#pass({ request, body, response, seen, gone: gone.signal }, meeting);
    } catch {
      // The homeserver is away, or the client is.
      this.#cut(response, seen);
    }
  }

  async #pass(passage: Passage, meeting: Meeting | null): Promise<void> {
    const action = meeting?.action;
    if (action?.kind === "dropBefore") return this.#cut(passage.response, passage.seen);
    if (meeting !== null && action !== undefined && !isAfter(action)) {
      const instead = insteadOf(action);
      if (instead !== null) return this.#write(passage, instead);
      await this.#wait(action, meeting.released, passage.gone);
    }
    const reply = await this.#effect(passage);
    if (meeting === null || action === undefined || !isAfter(action)) return this.#write(passage, reply);
    await this.#wait(action, meeting.released, passage.gone);
    if (action.kind === "dropAfter") return this.#cut(passage.response, passage.seen);
    if (action.kind === "truncate") return this.#truncate(passage, reply, action.how);
    this.#write(passage, insteadOf(action) ?? reply);
  }

  async #wait(action: FaultAction, released: AbortSignal, gone: AbortSignal): Promise<void> {
    if (action.kind !== "delay" && action.kind !== "hang") return;
    await this.#never.next(action.kind === "delay" ? action.ms : Infinity, AbortSignal.any([released, gone]));
    gone.throwIfAborted();
  }

  /** What the homeserver says. */
  async #effect({ request, body, seen, gone }: Passage): Promise<Reply> {
    if (!(seen.method === "GET" && seen.path.endsWith("/sync")))
      return await forward(this.#to, request, request.url ?? "/", body, gone);
    const url = new URL(request.url ?? "/", this.#target);
    for (;;) {
      const again = new AbortController();
      if (this.#hold.pressing) url.searchParams.set("timeout", "0");
      this.#waitingSyncs.add(again);
      try {
        const reply = await forward(
          this.#to,
          request,
          url.pathname + url.search,
          body,
          AbortSignal.any([gone, again.signal]),
        );
        if (reply.status !== 200) return reply;
        const { text, delivered } = this.#hold.apply(url.searchParams.get("since") ?? "", reply.body.toString());
        this.#changes.notify();
        return { ...reply, body: Buffer.from(text), delivered };
      } catch (error) {
        if (!again.signal.aborted || gone.aborted) throw error;
      } finally {
        this.#waitingSyncs.delete(again);
      }
    }
  }

  #write({ response, seen }: Passage, { status, headers, body, delivered }: Reply): void {
    this.#end(seen, "answered", status);
    response.writeHead(status, { ...headers, "content-length": body.length });
    response.end(body, delivered);
  }

  #truncate({ response, seen }: Passage, { status, headers, body }: Reply, how: "connection" | "json"): void {
    const half = body.subarray(0, body.length / 2);
    this.#end(seen, how === "json" ? "answered" : "dropped", status);
    response.writeHead(status, { ...headers, "content-length": how === "json" ? half.length : body.length });
    if (how === "json") response.end(half);
    else response.write(half, () => response.destroy());
  }

  #cut(response: ServerResponse, seen: SeenRequest): void {
    this.#end(seen, "dropped", null);
    response.destroy();
  }

  #end(seen: SeenRequest, outcome: SeenRequest["outcome"], status: number | null): void {
    if (seen.outcome !== "open") return;
    Object.assign(seen, { outcome, status, endedAt: Date.now() });
    this.#changes.notify();
  }
}
