/**
 * The connections to other servers, on undici: straight or through a forward proxy, with the certificate authorities that are
 * trusted. Whatever Docket asks of another machine goes through one of these; what it asks of itself (health, the control socket)
 * never does.
 *
 * Guarantees: `https://` goes through a tunnel (CONNECT), so that a proxy sees no request; `http://` is forwarded in the open, as
 * proxies expect it. Failures at the proxy are told as `ProxyFailure`. After `close()` no socket is left. undici's own time-outs of
 * replies are off: the caller's signal is the limit of a request.
 */
import { createSecureContext, getCACertificates, type SecureContext } from "node:tls";
import { Agent, buildConnector, type Dispatcher } from "undici";
import { proxyFinder, type NetworkSettings } from "../config/network.ts";
import type { ProxyServer } from "../config/proxyServer.ts";
import { failureCode } from "./failureCode.ts";
import { ProxyFailure, schemesOf } from "./proxyFailure.ts";
import { openTunnel, type TunnelLimits } from "./tunnel.ts";

/** Together shorter than an attempt of the client: a tunnel that does not come about is told as such, and is not doubtful. */
const LIMITS: TunnelLimits = { connectTimeoutMs: 10_000, answerTimeoutMs: 15_000 };

export class OutwardConnections {
  /** For `fetch` of undici. */
  readonly dispatcher: Dispatcher;
  private readonly agent: Agent;
  private readonly proxyOf: (url: URL) => ProxyServer | null;
  private readonly secureContext: SecureContext | undefined;
  private readonly straight: buildConnector.connector;
  private readonly limits: TunnelLimits;
  private readonly closing = new AbortController();

  /** @param options.connections the most at once to one server; unbounded where none is given */
  constructor(settings: NetworkSettings, options: { connections?: number; limits?: TunnelLimits } = {}) {
    const { limits = LIMITS, ...pool } = options;
    this.limits = limits;
    this.proxyOf = proxyFinder(settings.proxies);
    const { certificates } = settings.certificateAuthorities;
    // One for all connections: each would read all certificates again.
    if (certificates.length > 0)
      this.secureContext = createSecureContext({ ca: [...getCACertificates("default"), ...certificates] });
    this.straight = buildConnector({
      timeout: limits.connectTimeoutMs,
      ...(this.secureContext === undefined ? {} : { secureContext: this.secureContext }),
    });
    this.agent = new Agent({
      ...pool,
      connect: (target, callback) => this.connect(target, callback),
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    this.dispatcher = this.agent.compose((dispatch) => (request, handler) => {
      const url = new URL(request.origin ?? "");
      const proxy = url.protocol === "http:" ? this.proxyOf(url) : null;
      if (proxy === null) return dispatch(request, handler);
      return dispatch(addressed(request, url, proxy), watched(handler, proxy, url.host));
    });
  }

  /** @returns the proxy that a request to this address goes through; null: none */
  proxyFor(url: URL): ProxyServer | null {
    return this.proxyOf(url);
  }

  /** Idempotent. Requests in flight fail; resolves when every socket is destroyed. */
  async close(): Promise<void> {
    this.closing.abort();
    await this.agent.destroy();
  }

  private connect(target: buildConnector.Options, callback: buildConnector.Callback): void {
    const { proxy, authority } = this.wayTo(target);
    if (proxy === null) this.straight(target, callback);
    else if (target.protocol === "https:") this.tunnel(proxy, authority, target, callback);
    else {
      const { host: hostname, port, secure } = proxy;
      const ofProxy = { hostname, host: hostname, port: String(port), protocol: secure ? "https:" : "http:" };
      this.straight(ofProxy, (error, socket) => {
        if (error === null) callback(null, socket);
        else callback(new ProxyFailure(proxy, authority, { kind: "unreached", code: failureCode(error) }), null);
      });
    }
  }

  private tunnel(
    proxy: ProxyServer,
    authority: string,
    target: buildConnector.Options,
    callback: buildConnector.Callback,
  ): void {
    const { secureContext, closing } = this;
    openTunnel(proxy, authority, this.limits, { secureContext, signal: closing.signal }).then(
      (httpSocket) => {
        const drop = (): void => void httpSocket.destroy();
        closing.signal.addEventListener("abort", drop, { once: true });
        if (closing.signal.aborted) drop();
        this.straight({ ...target, httpSocket }, (error, socket) => {
          closing.signal.removeEventListener("abort", drop);
          if (error === null) return callback(null, socket);
          drop();
          callback(new ProxyFailure(proxy, authority, { kind: "beyond" }, error), null);
        });
      },
      (error: unknown) => callback(error instanceof Error ? error : new Error("the tunnel failed"), null),
    );
  }

  private wayTo({ protocol, hostname, host, port }: buildConnector.Options): {
    proxy: ProxyServer | null;
    authority: string;
  } {
    const name = hostname.includes(":") ? `[${hostname}]` : hostname;
    const url = new URL(`${protocol}//${host ?? name}`);
    const standard = protocol === "https:" ? "443" : "80";
    return { proxy: this.proxyOf(url), authority: `${name}:${port === "" ? standard : port}` };
  }
}

/** What a proxy has to read of a request that it forwards in the open (RFC 9112, section 3.2.2). */
function addressed(request: Dispatcher.DispatchOptions, url: URL, proxy: ProxyServer): Dispatcher.DispatchOptions {
  // What undici's `fetch` passes: names with values.
  const headers = { ...(request.headers as Record<string, string>) };
  if (proxy.authorization !== null) headers["proxy-authorization"] = proxy.authorization.reveal();
  return { ...request, path: `${url.origin}${request.path}`, headers };
}

/** To the caller of `fetch`, status 407 would be a failure without a reason. */
function watched(handler: Dispatcher.DispatchHandler, proxy: ProxyServer, target: string): Dispatcher.DispatchHandler {
  return {
    onRequestStart: (controller, context) => handler.onRequestStart?.(controller, context),
    onRequestUpgrade: (...upgrade) => handler.onRequestUpgrade?.(...upgrade),
    onResponseStart: (controller, status, headers, text) => {
      if (status !== 407) return handler.onResponseStart?.(controller, status, headers, text);
      controller.abort(new ProxyFailure(proxy, target, { kind: "refused", status, schemes: schemesOf(headers) }));
    },
    onResponseData: (controller, chunk) => handler.onResponseData?.(controller, chunk),
    onResponseEnd: (controller, trailers) => handler.onResponseEnd?.(controller, trailers),
    onResponseError: (controller, error) => handler.onResponseError?.(controller, error),
  };
}
