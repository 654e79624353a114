/** A real HTTP server on 127.0.0.1 that answers as a test says and keeps what it was asked. */
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { TestContext } from "node:test";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { setImmediate as nextTurn, setTimeout as wait } from "node:timers/promises";
import { systemClock, type Clock } from "../../../src/clock.ts";
import { silentLogger } from "../../../src/logging.ts";
import { DocketClient, type DocketClientOptions } from "../../../src/matrix/client.ts";
import { directNetwork } from "../../support/directNetwork.ts";

export interface SeenRequest {
  readonly method: string;
  /** As on the wire: encoded, with the query. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export type Answer = (request: SeenRequest, response: ServerResponse) => void;

export interface ScriptedServer {
  readonly url: string;
  readonly seen: readonly SeenRequest[];
  /** Resolves when `count` requests have arrived. */
  arrived(count: number): Promise<void>;
  /** Resolves when the connections of `count` requests are closed. */
  hungUp(count: number): Promise<void>;
}

/** @param answers one for each request in turn; the last one goes on */
export async function scriptedServer(t: TestContext, ...answers: readonly Answer[]): Promise<ScriptedServer> {
  const seen: SeenRequest[] = [];
  const used = new Set<Socket>();
  const hungUp = new Set<Socket>();
  const server = createServer((request: IncomingMessage, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const arrived = {
        method: request.method ?? "",
        url: request.url ?? "",
        headers: request.headers,
        body: Buffer.concat(chunks).toString(),
      };
      seen.push(arrived);
      if (!used.has(request.socket)) request.socket.once("close", () => hungUp.add(request.socket));
      used.add(request.socket);
      answers[Math.min(seen.length, answers.length) - 1]?.(arrived, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const until = async (reached: () => boolean): Promise<void> => {
    for (const giveUpAt = Date.now() + 60_000; !reached(); await wait(2)) {
      if (Date.now() > giveUpAt) throw new Error("the server waited a minute for something that did not happen");
    }
  };
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    arrived: (count) => until(() => seen.length >= count),
    hungUp: (count) => until(() => hungUp.size >= count),
  };
}

/** Answers with a status and a JSON body, or with a text as it stands. */
export function answer(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Answer {
  return (_request, response) => {
    response.writeHead(status, headers).end(typeof body === "string" ? body : JSON.stringify(body));
  };
}

/** Never answers. */
export const silence: Answer = () => undefined;

export const TOKEN = "canary-syt_docket-token";

/** Time that passes at once in `sleep`, for waits between attempts. Long sleeps (time-outs) never end by themselves. */
export function hastyClock(): Clock & { readonly waits: readonly number[] } {
  const waits: number[] = [];
  let skippedMs = 0;
  return {
    waits,
    now: () => Date.now() + skippedMs,
    sleep: (ms, signal) => {
      if (ms >= TIME_OUT_MS) return systemClock.sleep(ms, signal);
      waits.push(ms);
      skippedMs += ms;
      return Promise.resolve();
    },
  };
}

/** Time that passes when the test says so: a time-out comes neither early nor late, however busy the machine is. */
export function handClock(): Clock & { endWaits(): void } {
  const waiting = new Set<() => void>();
  return {
    now: () => Date.now(),
    sleep: (_ms, signal) =>
      new Promise((resolve) => {
        const done = (): void => {
          waiting.delete(done);
          resolve();
        };
        waiting.add(done);
        signal?.addEventListener("abort", done, { once: true });
      }),
    endWaits: () => {
      for (const done of waiting) done();
    },
  };
}

/** Resolves when the client has read the head of the next reply, and goes on to its body. */
export async function headRead(): Promise<void> {
  const channel = "undici:request:headers";
  await new Promise<void>((resolve) => {
    const note = (): void => {
      unsubscribe(channel, note);
      resolve();
    };
    subscribe(channel, note);
  });
  await nextTurn();
}

/** The time-out that `clientFor` sets, so that `hastyClock` can tell it from a wait. */
const TIME_OUT_MS = 100_000;

export function clientFor(
  t: TestContext,
  server: { readonly url: string },
  options: Partial<DocketClientOptions> = {},
): DocketClient {
  const client = new DocketClient({
    homeserverUrl: server.url,
    network: directNetwork,
    tokenProvider: () => TOKEN,
    clock: systemClock,
    log: silentLogger,
    timeoutMs: TIME_OUT_MS,
    random: () => 0,
    ...options,
  });
  t.after(() => client.close());
  return client;
}

export const never: AbortSignal = new AbortController().signal;

/** @returns what the promise was rejected with */
export async function rejection<E extends Error>(
  kind: new (...parameters: never[]) => E,
  promise: Promise<unknown>,
): Promise<E> {
  const error: unknown = await promise.then(
    () => new Error("it was not rejected"),
    (reason: unknown) => reason,
  );
  if (error instanceof kind) return error;
  throw new Error(`expected ${kind.name}`, { cause: error });
}

/** All that a logger could find on an error: message, stack, own fields, causes. */
export function everythingIn(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return [error.message, error.stack, JSON.stringify(error), everythingIn(error.cause)].join("\n");
}
