/**
 * `docket.sock` in the data directory: how commands reach the bot that runs on it. Guarantees: there is no moment in which anybody
 * but the owner of the directory's files could connect; what a killed process left is replaced (the lock of the directory is held, so
 * nobody listens there); the file goes at the stop. Paths longer than the system's limit for sockets work on Linux.
 */
import { chmodSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Hono } from "hono";
import type { Logger } from "../logging.ts";
import { HttpListener } from "./httpListener.ts";
import { SOCKET_FILE, withSocketPath } from "./socketPath.ts";

/** Made anew at each start, so that its mode is ours from the first moment on. */
const NURSERY = "docket.sock.new";
export class ControlSocket {
  private readonly directory: string;
  private readonly log: Logger;
  private readonly listener: HttpListener;
  private listening = false;

  constructor(options: { directory: string; app: Hono; log: Logger }) {
    this.directory = options.directory;
    this.log = options.log;
    this.listener = new HttpListener(options.app, options.log);
  }

  /** A file system that has no sockets costs the commands that need one, and not the bot: it says so. */
  async start(): Promise<void> {
    const nursery = join(this.directory, NURSERY);
    try {
      rmSync(nursery, { recursive: true, force: true });
      mkdirSync(nursery, { mode: 0o700 });
      await withSocketPath(nursery, "s", (path) => this.listener.start({ path }));
      chmodSync(join(nursery, "s"), 0o600);
      renameSync(join(nursery, "s"), join(this.directory, SOCKET_FILE));
      this.listening = true;
    } catch (error) {
      const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
      this.log.warn(
        { directory: this.directory, code },
        "there is no control socket: `docket health` and `docket reload` can't reach this bot. Does the file system have sockets, is the path not too long, and is there nothing else of that name?",
      );
    } finally {
      rmSync(nursery, { recursive: true, force: true });
    }
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    await this.listener.stop();
    if (this.listening) rmSync(join(this.directory, SOCKET_FILE), { force: true });
    this.listening = false;
  }
}
