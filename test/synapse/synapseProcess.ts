/** One running process of Synapse: started on a directory, ready when it answers, ended for good or in order. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { startPython } from "./unpackedPython.ts";

const START_LIMIT_MS = 120_000;
const POLL_MS = 25;
const GENTLE_STOP_MS = 20_000;
/** Below the ports that systems give to connections: nothing else takes one of these by chance. */
const PORTS = { first: 18_000, count: 12_000 };

/** Ended before it answered. */
export class SynapseDidNotStart extends Error {
  readonly portWasTaken: boolean;

  constructor(log: string) {
    const end = log.trimEnd().split("\n").slice(-12).join("\n");
    super(`Synapse ended before it answered; the end of its log:\n${end}`);
    this.portWasTaken = /Address already in use|CannotListenError/.test(log);
  }
}

export class SynapseProcess {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /**
   * @returns once it answers `/versions`
   * @throws SynapseDidNotStart with the end of its log
   */
  static async start(root: string, configFile: string, baseUrl: string, logFile: string): Promise<SynapseProcess> {
    const log = openSync(logFile, "a");
    const start = readFileSync(logFile).length;
    let child: ChildProcess;
    try {
      const args = ["-m", "synapse.app.homeserver", "--config-path", configFile];
      child = startPython(root, { args, stdout: log, stderr: log });
    } finally {
      closeSync(log);
    }
    const server = new SynapseProcess(child);
    const endsAt = performance.now() + START_LIMIT_MS;
    while (!(await answers(baseUrl))) {
      if (!server.running || performance.now() > endsAt) {
        await server.kill();
        throw new SynapseDidNotStart(readFileSync(logFile).subarray(start).toString());
      }
      await pause(POLL_MS);
    }
    return server;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get running(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Stands still: connections are taken by the system, and nothing is answered. */
  pause(): void {
    this.#child.kill("SIGSTOP");
  }

  resume(): void {
    this.#child.kill("SIGCONT");
  }

  /** SIGTERM, and SIGKILL if that takes long. */
  async stop(): Promise<void> {
    const impatience = setTimeout(() => this.#child.kill("SIGKILL"), GENTLE_STOP_MS);
    this.resume();
    await this.#end("SIGTERM");
    clearTimeout(impatience);
  }

  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    if (!this.running) return;
    const ended = once(this.#child, "exit");
    this.#child.kill(signal);
    await ended;
  }
}

/** @returns a port on 127.0.0.1 that nobody listens on at this moment */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = PORTS.first + Math.floor(Math.random() * PORTS.count);
    const server = createServer();
    const listens = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => resolve(true));
    });
    if (!listens) continue;
    server.close();
    await once(server, "close");
    return port;
  }
}

async function answers(baseUrl: string): Promise<boolean> {
  try {
    const response = await fetch(`${baseUrl}/_matrix/client/versions`, { signal: AbortSignal.timeout(5_000) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}
