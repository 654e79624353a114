/**
 * One HTTP server, on an address or a socket. Guarantees: what clients send is small and comes in time, so that one that hangs holds
 * nothing up; `stop` closes every connection at once; no failure in here ends anything but its own request.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import type { Hono } from "hono";
import { DocketError } from "../errors.ts";
import { supervise } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";

const LARGEST_HEADERS_BYTES = 8 * 1_024;
const HEADERS_TIMEOUT_MS = 5_000;
const REQUEST_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 5_000;
const LOOK_FOR_LATE_ONES_MS = 1_000;
/** A connection on which nothing moves, in either direction. */
const SILENCE_MS = 30_000;
const MOST_CONNECTIONS = 128;

export class HttpListener {
  private readonly server: Server;
  private stopped: Promise<void> | null = null;

  constructor(app: Hono, log: Logger) {
    const listener = getRequestListener(app.fetch, {
      overrideGlobalObjects: false,
      // For HTTP/1.0, which may come without a Host: load balancers ask so.
      hostname: "localhost",
    });
    const limits = {
      maxHeaderSize: LARGEST_HEADERS_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: LOOK_FOR_LATE_ONES_MS,
    };
    const failed = (error: unknown): void =>
      log.error({ code: error instanceof DocketError ? error.code : "BUG" }, "an operations request failed");
    this.server = createServer(limits, (request, response) => {
      void supervise(listener(request, response), failed);
    });
    // What keeps it from listening is its caller's to say.
    this.server.once("listening", () => this.server.on("error", failed));
    this.server.timeout = SILENCE_MS;
    this.server.maxConnections = MOST_CONNECTIONS;
  }

  /**
   * Takes connections when it resolves.
   * @returns the port; 0 for a socket
   * @throws a system error (`code`) such as EADDRINUSE
   */
  async start(where: { readonly host: string; readonly port: number } | { readonly path: string }): Promise<number> {
    const { server } = this;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(where, () => {
        server.off("error", reject);
        resolve();
      });
    });
    const address = server.address();
    return typeof address === "object" && address !== null ? (address satisfies AddressInfo).port : 0;
  }

  /** Idempotent. */
  stop(): Promise<void> {
    this.stopped ??= new Promise((resolve) => {
      this.server.close(() => resolve());
      this.server.closeAllConnections();
    });
    return this.stopped;
  }
}
