/** `docket identity verify --json` as a program at the terminal runs it: a process of its own, read line by line, and answered. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

const MAIN = join(import.meta.dirname, "..", "..", "src", "main.ts");
const PATIENCE_MS = 60_000;

export type VerifyLine = Readonly<Record<string, unknown>> & { readonly kind: string };

export class VerifyCommand {
  readonly lines: VerifyLine[] = [];
  private readonly child: ChildProcess;
  private readonly closed: Promise<unknown>;
  private err = "";
  private waiters: (() => void)[] = [];

  constructor(config: string, ...args: readonly string[]) {
    this.child = spawn(process.execPath, [MAIN, "identity", "verify", "--json", "--config", config, ...args], {
      stdio: ["pipe", "pipe", "pipe"],
    });
    const { stdin, stdout, stderr } = this.child;
    if (stdin === null || stdout === null || stderr === null) throw new Error("the command's streams are not piped");
    stdin.on("error", () => undefined);
    createInterface({ input: stdout }).on("line", (line) => {
      this.lines.push(JSON.parse(line) as VerifyLine);
      this.wake();
    });
    stderr.setEncoding("utf8").on("data", (text: string) => (this.err += text));
    this.closed = once(this.child, "close").then(() => this.wake());
  }

  /** @returns the first line of this kind, past or future @throws Error it ended without one, or a minute is over */
  async line(kind: string): Promise<VerifyLine> {
    const end = Date.now() + PATIENCE_MS;
    for (;;) {
      const found = this.lines.find((line) => line.kind === kind);
      if (found !== undefined) return found;
      const hasEnded = this.child.exitCode !== null || this.child.signalCode !== null;
      if (hasEnded || Date.now() > end)
        throw new Error(
          `the command ${hasEnded ? "ended" : "went on"} without "${kind}": ${JSON.stringify(this.lines)}\n${this.err}`,
        );
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.max(end - Date.now(), 1));
        this.waiters.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  answer(text: string): void {
    this.child.stdin?.write(`${text}\n`);
  }

  /** Ctrl-C. */
  interrupt(): void {
    this.child.kill("SIGINT");
  }

  /** @returns the exit code */
  async ended(): Promise<number | null> {
    await this.closed;
    return this.child.exitCode;
  }

  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.closed;
  }

  private wake(): void {
    for (const waiter of this.waiters.splice(0)) waiter();
  }
}
