/**
 * Runs the shell commands of a document as they stand, one block after the other in one shell, so that variables and background
 * jobs stay. Only the values of named variables are replaced.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";

export interface BlockOutcome {
  readonly code: number;
  /** Standard output and standard error, as a reader of a terminal sees them. */
  readonly output: string;
}

/** @returns the contents of the fenced `sh` blocks, in their order */
export function shellBlocks(markdown: string): readonly string[] {
  return [...markdown.matchAll(/^```sh\n(.*?)^```$/gms)].map((match) => match[1] ?? "");
}

/**
 * @param values what the reader puts in: for each, the line `NAME=...` is replaced, which must be there once
 * @throws Error there is no such line
 */
export function withValues(block: string, values: Readonly<Record<string, string>>): string {
  let text = block;
  for (const [name, value] of Object.entries(values)) {
    const line = new RegExp(`^${name}=.*$`, "gm");
    const found = text.match(line)?.length ?? 0;
    if (found !== 1) throw new Error(`${name}= stands ${found} times in the block, not once:\n${block}`);
    text = text.replace(line, () => `${name}='${value}'`);
  }
  return text;
}

export class DocumentedShell {
  private readonly shell: ChildProcess;
  private output = "";
  private wake: () => void = () => undefined;
  private readonly ended: Promise<void>;
  private running = true;

  constructor(directory: string, env: Readonly<Record<string, string | undefined>>) {
    // A group of its own: what the blocks leave in the background goes with `stop`.
    this.shell = spawn("bash", ["-o", "pipefail"], { cwd: directory, env, stdio: "pipe", detached: true });
    const note = (chunk: string): void => {
      this.output += chunk;
      this.wake();
    };
    this.shell.stdout?.setEncoding("utf8").on("data", note);
    this.shell.stderr?.setEncoding("utf8").on("data", note);
    this.ended = new Promise((resolve) => {
      this.shell.once("close", () => {
        this.running = false;
        this.wake();
        resolve();
      });
    });
  }

  /** Runs a block; its first failing command ends it. @throws Error the shell ended */
  async run(block: string): Promise<BlockOutcome> {
    const mark = `done-${randomUUID()}`;
    const start = this.output.length;
    // The blocks come over standard input: nothing in them may read on there. The last output may lack its line break.
    const lines = block.trimEnd();
    this.shell.stdin?.write(`{ set -e\n${lines}\n} </dev/null 2>&1\nprintf '\\n%s %s\\n' "${mark}" "$?"; set +e\n`);
    for (;;) {
      const text = this.output.slice(start);
      const end = new RegExp(`^${mark} (\\d+)$`, "m").exec(text);
      if (end !== null) return { code: Number(end[1]), output: text.slice(0, end.index) };
      if (!this.running) return { code: this.shell.exitCode ?? -1, output: text };
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }

  /** Ends the shell, and whatever its blocks left running. */
  async stop(): Promise<void> {
    const { pid } = this.shell;
    if (pid !== undefined) {
      try {
        process.kill(-pid, "SIGKILL");
      } catch {
        // nobody left
      }
    }
    await this.ended;
  }
}
