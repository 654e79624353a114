/**
 * Keeps the port of a server that stops listening for a while, by a connection of our own to it: as long as it is open, the system
 * gives the port to nobody else, refuses whoever connects, and lets the same address be listened on again.
 */
import { once } from "node:events";
import { connect, type Server, type Socket } from "node:net";

export interface KeptPort {
  /** The server's end of the connection: to be left alone when its other connections are cut. */
  readonly accepted: Socket;
  letGo(): void;
}

/** @param server listens on that port */
export async function keepPort(server: Server, port: number, host: string): Promise<KeptPort> {
  const arrived: Socket[] = [];
  const note = (socket: Socket): void => void arrived.push(socket);
  server.on("connection", note);
  const keeper = connect(port, host).unref();
  await once(keeper, "connect");
  keeper.on("error", () => undefined);
  const find = (): Socket | undefined => arrived.find((socket) => socket.remotePort === keeper.localPort);
  let accepted = find();
  for (; accepted === undefined; accepted = find()) await once(server, "connection");
  server.off("connection", note);
  return { accepted: accepted.unref(), letGo: () => void keeper.destroy() };
}
