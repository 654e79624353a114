/**
 * A real forward proxy on 127.0.0.1: CONNECT and plain forwarding, Basic authentication, names of its own. It keeps what it was
 * asked for, and how much went through each tunnel.
 */
import { once } from "node:events";
import { createServer, request, type IncomingMessage } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { connect, type AddressInfo, type Socket } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import type { TestContext } from "node:test";
import { serverCertificate } from "./tlsServers.ts";

export interface ForwardProxyOptions {
  /** `user:password`; without it nobody is asked. */
  readonly credentials?: string;
  /** What it says when it asks for credentials. */
  readonly challenge?: string;
  /** Hosts by the names that only the proxy knows; other names are looked up. */
  readonly names?: Readonly<Record<string, string>>;
  /** TLS to the proxy itself. */
  readonly secure?: boolean;
  /** Answers each CONNECT like this instead: a status, `silence`, or bytes as they stand. */
  readonly instead?: number | "silence" | Buffer;
}

export interface ForwardProxy {
  /** Of the proxy itself, without credentials. */
  readonly url: string;
  readonly port: number;
  /** Each request it was asked for, refused ones too: `CONNECT host:port`, or `GET http://host:port/path`. */
  readonly asked: readonly string[];
  /** Bytes from clients that went through. */
  readonly bytes: number;
  /** Everything that clients sent in the open. */
  readonly seen: string;
  /** Connections of clients that stand now. */
  readonly open: number;
  /** Resolves when it holds. @throws Error it does not within `patienceMs` */
  until(reached: (proxy: ForwardProxy) => boolean, patienceMs?: number): Promise<void>;
  /** Cuts all connections that stand. */
  cut(): void;
  /** Takes no connections any more, and cuts those that stand. */
  stop(): Promise<void>;
  /** Listens again, at the same address. */
  resume(): Promise<void>;
}

/** Runs until the test has ended. */
export async function startForwardProxy(t: TestContext, options: ForwardProxyOptions = {}): Promise<ForwardProxy> {
  const { credentials, challenge = 'Basic realm="test"', names = {}, secure = false, instead } = options;
  const asked: string[] = [];
  const clients = new Set<Socket>();
  const servers = new Set<Socket>();
  let bytes = 0;
  let seen = "";
  const note = ({ method, url, rawHeaders }: IncomingMessage): void => {
    asked.push(`${method} ${url}`);
    seen += `${method} ${url}\n${rawHeaders.join("\n")}\n`;
  };
  const allowed = ({ headers }: IncomingMessage): boolean =>
    credentials === undefined ||
    headers["proxy-authorization"] === `Basic ${Buffer.from(credentials).toString("base64")}`;
  const reach = (name: string, port: string): Socket => {
    const socket = connect(Number(port), names[name] ?? name);
    servers.add(socket);
    socket.on("close", () => servers.delete(socket));
    return socket;
  };

  const server = secure ? createTlsServer(serverCertificate) : createServer();
  server.on("request", (asking: IncomingMessage, response) => {
    note(asking);
    if (!allowed(asking)) {
      response.writeHead(407, { "proxy-authenticate": challenge }).end("<p>Who are you?</p>");
      return;
    }
    const { hostname, port, pathname, search } = new URL(asking.url ?? "");
    const { "proxy-authorization": _, ...headers } = asking.headers;
    const onward = request(
      {
        host: names[hostname] ?? hostname,
        port,
        path: pathname + search,
        method: asking.method,
        headers,
        agent: false,
      },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
        answer.pipe(response);
      },
    );
    onward.on("error", () => response.writeHead(502).end("<p>Not reached.</p>"));
    response.on("close", () => onward.destroy());
    asking.on("data", (chunk: Buffer) => (bytes += chunk.length)).pipe(onward);
  });
  server.on("connect", (asking: IncomingMessage, client: Socket) => {
    note(asking);
    client.on("error", () => undefined);
    if (instead === "silence") return void client.resume().on("end", () => client.end());
    if (instead instanceof Buffer) return void client.end(instead);
    if (instead !== undefined) return void client.end(`HTTP/1.1 ${instead} No\r\ncontent-length: 2\r\n\r\nno`);
    if (!allowed(asking))
      return void client.end(`HTTP/1.1 407 Who\r\nproxy-authenticate: ${challenge}\r\ncontent-length: 0\r\n\r\n`);
    const [, name = "", port = ""] = /^\[?(.*?)\]?:(\d+)$/.exec(asking.url ?? "") ?? [];
    const onward = reach(name, port);
    onward.on("error", () => client.end("HTTP/1.1 502 Not reached\r\ncontent-length: 0\r\n\r\n"));
    onward.once("connect", () => {
      client.write("HTTP/1.1 200 Go on\r\n\r\n");
      client.on("data", (chunk: Buffer) => (bytes += chunk.length));
      client.pipe(onward).pipe(client);
    });
    client.on("close", () => onward.destroy());
    onward.on("close", () => client.end());
  });
  server.on(secure ? "secureConnection" : "connection", (client: Socket) => {
    clients.add(client);
    client.on("close", () => clients.delete(client));
  });
  server.on("tlsClientError", () => undefined);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const cut = (): void => {
    for (const socket of [...clients, ...servers]) socket.destroy();
  };
  t.after(() => {
    cut();
    server.close();
  });
  const proxy: ForwardProxy = {
    url: `${secure ? "https" : "http"}://127.0.0.1:${port}`,
    port,
    asked,
    get bytes() {
      return bytes;
    },
    get seen() {
      return seen;
    },
    get open() {
      return clients.size;
    },
    cut,
    async stop() {
      const closed = once(server, "close");
      server.close();
      cut();
      await closed;
    },
    async resume() {
      server.listen(port, "127.0.0.1");
      await once(server, "listening");
    },
    async until(reached, patienceMs = 60_000) {
      for (const giveUpAt = Date.now() + patienceMs; !reached(proxy); await wait(5)) {
        if (Date.now() > giveUpAt) throw new Error("the proxy waited for something that did not happen");
      }
    },
  };
  return proxy;
}
