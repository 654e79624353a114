/**
 * Opens one connection through a forward proxy with CONNECT (RFC 9110, section 9.3.6). Guarantees: within its limits it resolves, or
 * rejects with `ProxyFailure`; a rejected or aborted attempt leaves no socket; nothing of the request that follows has been sent.
 */
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { isIP, type Socket } from "node:net";
import type { SecureContext } from "node:tls";
import type { ProxyServer } from "../config/proxyServer.ts";
import { failureCode } from "./failureCode.ts";
import { ProxyFailure, schemesOf, type ProxyTrouble } from "./proxyFailure.ts";

export interface TunnelLimits {
  /** For reaching the proxy, TLS with it included, in milliseconds. */
  readonly connectTimeoutMs: number;
  /** From then on until it has answered, in milliseconds: it has to reach the server meanwhile. */
  readonly answerTimeoutMs: number;
}

/**
 * @param target host and port of the server, with brackets around an IPv6 address
 * @param secureContext for a proxy that is itself spoken to over TLS
 * @returns the socket, on which nothing has been sent to the server yet
 * @throws ProxyFailure
 */
export function openTunnel(
  proxy: ProxyServer,
  target: string,
  limits: TunnelLimits,
  { secureContext, signal }: { secureContext: SecureContext | undefined; signal: AbortSignal },
): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const request = (proxy.secure ? httpsRequest : httpRequest)({
    method: "CONNECT",
    host: proxy.host,
    port: proxy.port,
    path: target,
    // A connection of its own, and never one that the environment redirects.
    agent: false,
    // Else the name would be taken from the Host header, which is the server's.
    servername: isIP(proxy.host) === 0 ? proxy.host : "",
    headers: {
      Host: target,
      "User-Agent": "Docket",
      ...(proxy.authorization === null ? {} : { "Proxy-Authorization": proxy.authorization.reveal() }),
    },
    signal,
    ...(secureContext === undefined ? {} : { secureContext }),
  });
  let reached = false;
  const end = (trouble: ProxyTrouble): void => {
    clearTimeout(timer);
    reject(new ProxyFailure(proxy, target, trouble));
    request.destroy();
  };
  const tooLate = (): void => end({ kind: reached ? "unclear" : "unreached", code: "TIMEOUT" });
  let timer = setTimeout(tooLate, limits.connectTimeoutMs);
  request.once("socket", (socket) => {
    socket.once(proxy.secure ? "secureConnect" : "connect", () => {
      reached = true;
      clearTimeout(timer);
      timer = setTimeout(tooLate, limits.answerTimeoutMs);
    });
  });
  request.once("connect", (response: IncomingMessage, socket: Socket, head: Buffer) => {
    clearTimeout(timer);
    const status = response.statusCode ?? 0;
    if (status >= 200 && status < 300) {
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
      return;
    }
    // Its page may still be under way.
    socket.on("error", () => undefined).destroy();
    end({ kind: "refused", status, schemes: schemesOf(response.headers) });
  });
  request.on("error", (error: Error) => {
    end({ kind: reached ? "unclear" : "unreached", code: failureCode(error) });
  });
  request.end();
  return promise;
}
