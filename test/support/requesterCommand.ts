/** `docket request` as people run it: a process of its own, as an account of its own, with its output read as it comes. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { DevServer, SignedIn } from "../../devserver/server.ts";
import { writeConfig } from "./botProcess.ts";
import { temporaryDirectory } from "./temporaryDirectory.ts";

const MAIN = join(import.meta.dirname, "..", "..", "src", "main.ts");

export type Fact = Readonly<Record<string, unknown>> & { readonly event: string };

export interface Ended {
  readonly code: number | null;
  readonly facts: readonly Fact[];
  readonly stdout: string;
  readonly stderr: string;
}

/** One run of the command. */
export class Asking {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  private out = "";
  private err = "";
  private waiters: (() => void)[] = [];

  constructor(args: readonly string[], input: string | null) {
    this.child = spawn(process.execPath, [MAIN, "request", ...args], { stdio: ["pipe", "pipe", "pipe"] });
    const { stdin, stdout, stderr } = this.child;
    if (stdin === null || stdout === null || stderr === null) throw new Error("the command's output is not piped");
    stdin.end(input ?? "");
    stdout.setEncoding("utf8").on("data", (text: string) => {
      this.out += text;
      this.wake();
    });
    stderr.setEncoding("utf8").on("data", (text: string) => (this.err += text));
    this.ended = once(this.child, "close").then(([code]) => {
      this.wake();
      return { code: code as number | null, facts: this.facts, stdout: this.out, stderr: this.err };
    });
  }

  /** What `--json` has printed so far. */
  get facts(): readonly Fact[] {
    const lines = this.out.split("\n").slice(0, -1);
    return lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as Fact);
  }

  /** The first fact of this kind, past or future. @throws Error the command ended without it */
  async fact(event: string): Promise<Fact> {
    for (;;) {
      const found = this.facts.find((fact) => fact.event === event);
      if (found !== undefined) return found;
      if (this.child.exitCode !== null || this.child.signalCode !== null)
        throw new Error(`the command ended without "${event}"\n${this.out}${this.err}`);
      await this.more();
    }
  }

  /** Resolves when there is more output, or the command has ended. */
  more(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return Promise.resolve();
    return new Promise<void>((resolve) => this.waiters.push(resolve));
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<Ended> {
    this.child.kill(signal);
    return await this.ended;
  }

  private wake(): void {
    for (const waiter of this.waiters.splice(0)) waiter();
  }
}

/** An account that asks, with its configuration. */
export interface Asker {
  readonly account: SignedIn;
  readonly config: string;
  /** `--json` is added. */
  ask(args: readonly string[], input?: string): Asking;
  /** In words. */
  askInWords(args: readonly string[]): Asking;
}

/** @param options.account by default a new one, `@ina` */
export function asker(
  t: TestContext,
  server: DevServer,
  options: { account?: SignedIn; dataDirectory?: string } = {},
): Asker {
  const account = options.account ?? server.createAccount("ina", "not a secret", { deviceId: "INASDEVICE" });
  return askerAs(t, server.url, account, options.dataDirectory);
}

/** On any homeserver. */
export function askerAs(t: TestContext, homeserver: string, account: SignedIn, dataDirectory?: string): Asker {
  const { userId, accessToken } = account;
  const config = writeConfig({
    homeserver,
    userId,
    accessToken,
    directory: temporaryDirectory(t),
    yaml: "",
    ...(dataDirectory === undefined ? {} : { dataDirectory }),
  });
  const run = (args: readonly string[], input: string | null): Asking => {
    const asking = new Asking([...args, "--config", config], input);
    t.after(() => asking.kill());
    return asking;
  };
  return {
    account,
    config,
    ask: ([room = "", ...args], input) => run([room, "--json", ...args], input ?? null),
    askInWords: (args) => run(args, null),
  };
}
