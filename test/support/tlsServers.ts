/** TLS with a private authority (privateAuthority/, for tests alone) in front of a server that speaks plainly. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, type AddressInfo, type Socket } from "node:net";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { createServer } from "node:tls";

const folder = join(import.meta.dirname, "privateAuthority");

/** Path of the authority's certificate, as PEM. */
export const authorityFile = join(folder, "authority.pem");
export const authority = readFileSync(authorityFile, "utf8");
/** For localhost, 127.0.0.1, ::1, matrix.docket.test and proxy.docket.test. */
export const serverCertificate = {
  cert: readFileSync(join(folder, "server.pem"), "utf8"),
  key: readFileSync(join(folder, "server-key.pem"), "utf8"),
};

export interface TlsFront {
  readonly port: number;
  /** Connections of which TLS came about. */
  readonly connections: number;
}

/** Runs until the test has ended. @param target what is behind it, such as `http://127.0.0.1:8008` */
export async function startTlsFront(t: TestContext, target: string): Promise<TlsFront> {
  const { hostname, port } = new URL(target);
  const open = new Set<Socket>();
  let connections = 0;
  const server = createServer(serverCertificate, (front) => {
    connections += 1;
    const behind = connect(Number(port), hostname);
    for (const [from, to] of [
      [front, behind],
      [behind, front],
    ] as const) {
      open.add(from);
      from.pipe(to);
      from.on("error", () => to.destroy());
      from.on("close", () => {
        open.delete(from);
        to.destroy();
      });
    }
  });
  server.on("tlsClientError", () => undefined);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return connections;
    },
  };
}
