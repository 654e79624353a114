/** The command line as operators use it: a process of the sources, its output and its exit code. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

const MAIN = join(import.meta.dirname, "..", "..", "src", "main.ts");

export interface CommandOutcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export function docket(...args: string[]): Promise<CommandOutcome> {
  return docketWith(process.env, ...args);
}

/** @param env the whole environment */
export async function docketWith(env: NodeJS.ProcessEnv, ...args: string[]): Promise<CommandOutcome> {
  try {
    return { code: 0, ...(await promisify(execFile)(process.execPath, [MAIN, ...args], { env })) };
  } catch (error) {
    return error as CommandOutcome;
  }
}
