/** Runs the demo as a process, as `npm run demo` does, in a folder that the test can look into afterwards. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { temporaryDirectory } from "./temporaryDirectory.ts";

const DEMO = fileURLToPath(new URL("../../demo/demo.ts", import.meta.url));

export interface DemoEnd {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class DemoProcess {
  /** Configuration, data and logs of the run. */
  readonly folder: string;
  readonly ended: Promise<DemoEnd>;
  readonly process: ChildProcess;
  #stdout = "";
  #stderr = "";
  #watchers: (() => void)[] = [];

  constructor(t: TestContext, args: readonly string[] = [], environment: Readonly<Record<string, string>> = {}) {
    this.folder = join(temporaryDirectory(t), "run");
    const child = spawn(process.execPath, [DEMO, "--folder", this.folder, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...environment },
    });
    this.process = child;
    child.stdout.setEncoding("utf8").on("data", (text: string) => this.#took(() => (this.#stdout += text)));
    child.stderr.setEncoding("utf8").on("data", (text: string) => this.#took(() => (this.#stderr += text)));
    this.ended = new Promise((resolve) => {
      child.once("close", (exitCode) => {
        resolve({ exitCode, stdout: this.#stdout, stderr: this.#stderr });
        this.#took(() => undefined);
      });
    });
    // Its own clean-up is under test; this is for the case that it fails.
    t.after(() => {
      child.kill("SIGKILL");
      for (const pid of Object.values(this.pids())) endForGood(pid);
    });
  }

  /** Process IDs of the demo's children so far, by name: `homeserver`, `bot`, `sender`. */
  pids(): Readonly<Record<string, number>> {
    const file = join(this.folder, "pids.json");
    return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Record<string, number>) : {};
  }

  /** Resolves when standard output contains `text`. @throws Error when the demo ends without it */
  async says(text: string): Promise<void> {
    while (!this.#stdout.includes(text)) {
      if (this.process.exitCode !== null || this.process.signalCode !== null) {
        throw new Error(`the demo ended without saying ${text}:\n${this.#stdout}${this.#stderr}`);
      }
      await new Promise<void>((resolve) => this.#watchers.push(resolve));
    }
  }

  #took(change: () => unknown): void {
    change();
    const watchers = this.#watchers;
    this.#watchers = [];
    for (const watcher of watchers) watcher();
  }
}

/** One that has ended and waits to be collected by its parent does not run any more. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    const stat = `/proc/${pid}/stat`;
    return !existsSync(stat) || !/\) Z /.test(readFileSync(stat, "utf8"));
  } catch {
    return false;
  }
}

function endForGood(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended, as it should.
  }
}
