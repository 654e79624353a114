/** The bot as its operator runs it: `node src/main.ts start`, in a process of its own, with its log read line by line. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

export type LogLine = Readonly<Record<string, unknown>> & { readonly msg: string };

export interface BotOptions {
  readonly homeserver: string;
  readonly userId: string;
  /** Null: it is signed in by `docket login`. */
  readonly accessToken: string | null;
  /** Holds the configuration and the data. */
  readonly directory: string;
  /** YAML that is put at the end of the configuration: handlers, limits, ... */
  readonly yaml?: string;
  /** Lines of YAML for the section `account`, indented by two spaces. */
  readonly accountYaml?: string;
  /** By default `data` beside the configuration. */
  readonly dataDirectory?: string;
  /** No file of the bot may grow beyond this, in KiB: what a full disk does to it. */
  readonly fileSizeLimitKiB?: number | undefined;
  /** Module that the bot's process imports first, for faults inside it. */
  readonly preload?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** The program; by default src/main.ts of this work tree. */
  readonly program?: string;
}

/** A command as it stands, with all of its environment. */
export interface Launch {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
}

/** What the bot runs with where a test does not say otherwise. */
export const DEFAULT_YAML = `
invites:
  accept: ["@*:localhost"]
  notice: false
handlers:
  - types: [org.example.report]
    steps: [archive]
`;

export class BotProcess {
  readonly lines: LogLine[] = [];
  readonly child: ChildProcess;
  private stderrText = "";
  private waiters: (() => void)[] = [];
  private readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;

  /** @param start the bot of this work tree, or another program that logs like it */
  constructor(start: BotOptions | Launch) {
    const { command, uid, gid, env } = "command" in start ? start : launchOf(start);
    const [program = "", ...args] = command;
    this.child = spawn(program, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env,
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
    });
    const { stdout, stderr } = this.child;
    if (stdout === null || stderr === null) throw new Error("the bot's output is not piped");
    createInterface({ input: stdout }).on("line", (line) => {
      this.lines.push(JSON.parse(line) as LogLine);
      this.wake();
    });
    stderr.setEncoding("utf8").on("data", (text: string) => (this.stderrText += text));
    this.exited = once(this.child, "close").then(([code, signal]) => {
      this.wake();
      return { code: code as number | null, signal: signal as NodeJS.Signals | null };
    });
  }

  /** Everything written to standard error so far. */
  get stderr(): string {
    return this.stderrText;
  }

  /**
   * @returns the first log line that matches, past or future
   * @throws Error the process ended, or `timeoutMs` is over, before there was one
   */
  async line(matches: (line: LogLine) => boolean, what: string, timeoutMs = 60_000): Promise<LogLine> {
    const end = Date.now() + timeoutMs;
    for (;;) {
      const found = this.lines.find(matches);
      if (found !== undefined) return found;
      const ended = this.child.exitCode !== null || this.child.signalCode !== null;
      if (ended || Date.now() > end) {
        throw new Error(
          `the bot ${ended ? "ended" : "did not log"} before ${what}\n${this.stderrText}${JSON.stringify(this.lines.slice(-12), null, 1)}`,
        );
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.max(end - Date.now(), 1));
        this.waiters.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  running(): Promise<LogLine> {
    return this.line((line) => line.msg === "Docket is running", "it was running");
  }

  /** Where health and metrics are served. */
  async operationsUrl(): Promise<string> {
    const { port } = await this.line((line) => line.msg === "operations are served", "operations were served");
    return `http://127.0.0.1:${String(port)}`;
  }

  /** Resolves with how the process ended, whoever ended it. */
  ended(): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    return this.exited;
  }

  /** SIGTERM, and the end of the process. @returns its exit code */
  async stop(): Promise<number | null> {
    this.child.kill("SIGTERM");
    return (await this.exited).code;
  }

  /** SIGKILL, and the end of the process. Does nothing to one that has ended. */
  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.exited;
  }

  private wake(): void {
    const waiters = this.waiters;
    this.waiters = [];
    for (const waiter of waiters) waiter();
  }
}

function launchOf(options: BotOptions): Launch {
  const config = writeConfig(options);
  const preload = options.preload === undefined ? [] : ["--import", options.preload];
  const command = [process.execPath, ...preload, options.program ?? MAIN, "start", "--config", config];
  const limited = ["bash", "-c", `trap '' XFSZ; ulimit -f ${options.fileSizeLimitKiB}; exec "$@"`, "bash", ...command];
  return {
    command: options.fileSizeLimitKiB === undefined ? command : limited,
    env: { ...process.env, ...options.env },
  };
}

/** @returns the path of the configuration file that was written */
export function writeConfig(options: BotOptions): string {
  const config = join(options.directory, "config.yaml");
  const token = join(options.directory, "token");
  if (options.accessToken !== null) writeFileSync(token, options.accessToken, { mode: 0o600 });
  const tokenLine = options.accessToken === null ? "" : `  token: "\${file:./token}"\n`;
  const yaml = options.yaml ?? DEFAULT_YAML;
  // Any free port: many bots run side by side.
  const operations = /^operations:/m.test(yaml) ? "" : "operations:\n  listen: 127.0.0.1:0\n";
  // A proxy in the environment of whoever runs the tests has no part in them.
  const network = /^network:/m.test(yaml) ? "" : "network:\n  proxy: false\n";
  writeFileSync(
    config,
    `homeserver: ${options.homeserver}\naccount:\n  user: "${options.userId}"\n${tokenLine}${options.accountYaml ?? ""}data:\n  directory: ${options.dataDirectory ?? "./data"}\n${operations}${yaml}\n${network}`,
  );
  return config;
}
