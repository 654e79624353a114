/** The command line as operators use it: a process of the sources, its output and its exit code. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";

const MAIN = join(import.meta.dirname, "..", "..", "src", "main.ts");

export interface CommandOutcome {
  /** Null where a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export async function docket(...args: string[]): Promise<CommandOutcome> {
  return await docketWith(process.env, ...args);
}

/** @param env the whole environment */
export async function docketWith(env: NodeJS.ProcessEnv, ...args: string[]): Promise<CommandOutcome> {
  return await run(env, "", args);
}

/** @param given.stdin is piped in; @param given.env is added to the environment */
export async function docketGiven(
  given: { readonly stdin?: string; readonly env?: Readonly<Record<string, string>> },
  ...args: string[]
): Promise<CommandOutcome> {
  return await run({ ...process.env, ...given.env }, given.stdin ?? "", args);
}

async function run(env: NodeJS.ProcessEnv, stdin: string, args: readonly string[]): Promise<CommandOutcome> {
  const child = spawn(process.execPath, [MAIN, ...args], { env });
  child.stdin.on("error", () => undefined).end(stdin);
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "close") as Promise<[number | null]>,
  ]);
  return { code, stdout, stderr };
}
