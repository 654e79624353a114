/**
 * A process that the demo started. It is known by its process ID from start to end and stopped by it: gently first, then for
 * good; `killNow` is for the moment when nothing can be awaited any more. Its output goes to a file.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";

export interface ChildPlan {
  /** What people call it. */
  readonly name: string;
  readonly args: readonly string[];
  /** Takes standard error, and standard output too unless `onLine` wants it. */
  readonly logFile: string;
  /** Called with each line of standard output. */
  readonly onLine?: (line: string) => void;
  readonly environment?: Readonly<Record<string, string>>;
}

export interface ChildEnd {
  readonly name: string;
  readonly exitCode: number | null;
  readonly signal: string | null;
}

const GENTLE_STOP_MS = 8000;

export class Child {
  readonly name: string;
  readonly logFile: string;
  /** Resolves when the process has ended; never rejects. */
  readonly ended: Promise<ChildEnd>;
  readonly #process: ChildProcess;
  #running = true;

  private constructor(plan: ChildPlan, child: ChildProcess) {
    this.name = plan.name;
    this.logFile = plan.logFile;
    this.#process = child;
    this.ended = new Promise((resolve) => {
      const end = (exitCode: number | null, signal: string | null): void => {
        this.#running = false;
        resolve({ name: plan.name, exitCode, signal });
      };
      child.once("exit", end);
      child.once("error", () => end(null, null));
    });
    // A broken pipe to a child that has died is reported by its end, not here.
    child.stdin?.on("error", () => undefined);
    const { onLine } = plan;
    if (child.stdout !== null && onLine !== undefined) createInterface({ input: child.stdout }).on("line", onLine);
  }

  /** Starts Node 24 (the one that runs this) with these arguments. */
  static start(plan: ChildPlan): Child {
    const log = openSync(plan.logFile, "a");
    try {
      const child = spawn(process.execPath, [...plan.args], {
        // A group of its own: a Ctrl-C in the terminal reaches the demo alone, which stops its children in order.
        detached: true,
        stdio: ["pipe", plan.onLine === undefined ? log : "pipe", log],
        env: { ...process.env, ...plan.environment },
      });
      return new Child(plan, child);
    } finally {
      closeSync(log);
    }
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** Writes a line to its standard input. */
  write(line: string): void {
    this.#process.stdin?.write(`${line}\n`);
  }

  /** SIGTERM, and SIGKILL if it has not ended some seconds later. */
  async stop(): Promise<ChildEnd> {
    if (this.#running) this.#process.kill("SIGTERM");
    const impatience = setTimeout(() => this.killNow(), GENTLE_STOP_MS);
    const end = await this.ended;
    clearTimeout(impatience);
    return end;
  }

  killNow(): void {
    if (this.#running) this.#process.kill("SIGKILL");
  }

  /** The last lines of its log. */
  lastLines(count: number): string {
    return readFileSync(this.logFile, "utf8").trimEnd().split("\n").slice(-count).join("\n");
  }
}
