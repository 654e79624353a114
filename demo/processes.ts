/**
 * The processes of one run, by name. `pids.json` in the folder always has all of them. One that ends before it may is reported
 * once; `stopAll` ends them in the reverse order of their starts.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Child, type ChildEnd } from "./child.ts";
import { describeEnd } from "./endRows.ts";

export interface ProcessPlan {
  readonly name: string;
  /** A script of the clone, and its arguments. */
  readonly args: readonly string[];
  readonly onLine?: (line: string) => void;
}

/** Starts one; what a homeserver of the demo's own is started with. */
export type StartProcess = (plan: ProcessPlan) => Child;

export class Processes {
  readonly #root: string;
  readonly #folder: string;
  readonly #onEnd: (message: string) => void;
  readonly #children: Child[] = [];
  /** Children whose end is no failure. */
  readonly #mayEnd = new Set<Child>();

  /** @param root the clone @param folder for logs @param onEnd told of an end that nobody asked for */
  constructor(root: string, folder: string, onEnd: (message: string) => void) {
    this.#root = root;
    this.#folder = folder;
    this.#onEnd = onEnd;
  }

  /** Process IDs so far. */
  get pids(): readonly number[] {
    return this.#children.flatMap(({ pid }) => pid ?? []);
  }

  find(name: string): Child | undefined {
    return this.#children.find((child) => child.name === name);
  }

  readonly start: StartProcess = ({ name, args, onLine }) => {
    const [script = "", ...rest] = args;
    const child = Child.start({
      name,
      args: [join(this.#root, script), ...rest],
      logFile: join(this.#folder, `${name}.log`),
      ...(onLine === undefined ? {} : { onLine }),
    });
    this.#children.push(child);
    const pids = Object.fromEntries(this.#children.map(({ name: key, pid }) => [key, pid]));
    writeFileSync(join(this.#folder, "pids.json"), JSON.stringify(pids));
    void child.ended.then((end) => {
      if (!this.#mayEnd.has(child)) this.#onEnd(`the ${end.name} ended by itself, with ${describeEnd(end)}`);
    });
    return child;
  };

  /** From here on its end is no failure. */
  mayEnd(child: Child): void {
    this.#mayEnd.add(child);
  }

  async stop(child: Child): Promise<ChildEnd> {
    this.mayEnd(child);
    return await child.stop();
  }

  /** @param farewell called for each before it is stopped */
  async stopAll(farewell: (child: Child) => void): Promise<void> {
    for (const child of this.#children.toReversed()) {
      this.mayEnd(child);
      farewell(child);
      await child.stop();
    }
  }

  /** At once, without waiting. */
  killNow(): void {
    for (const child of this.#children) child.killNow();
  }
}
