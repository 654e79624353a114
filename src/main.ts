/**
 * The process: arguments, signals, streams and the exit code; the only file that touches `process`. It imports nothing before it
 * knows that this Node can load the rest, and so must stay free of static imports (the bundle keeps the rest in files of its own).
 */
import type { CommandContext, TextSink } from "./commands/command.ts";
import type { LineReader } from "./commands/standardInput.ts";

const OLDEST_NODE = [22, 18] as const;
/** `ExitCode` of errors.ts, which is not loaded yet. */
const USAGE = 64;
/** Nobody may read our output any more. */
const LONGEST_FLUSH_MS = 2_000;
const BUG = 70;
const STORAGE = 74;

function isTooOld(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1]);
}

async function main(): Promise<void> {
  // Before anything is loaded: a service manager may ask for a reload as soon as the process is there, and would end it.
  let hangUps = 0;
  const countHangUp = (): void => void (hangUps += 1);
  if (process.argv[2] === "start") process.on("SIGHUP", countHangUp);
  const { runProgram, reportFailure } = await import("./commands/program.ts");
  const stopping = new AbortController();

  /** Whoever reads our output may leave (`docket ... | head`): no stack, no more output, and long work ends. */
  let outputLost = false;
  const sink = (stream: NodeJS.WriteStream, onGone: (error: NodeJS.ErrnoException) => void): TextSink => {
    let gone = false;
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (!gone) onGone(error);
      gone = true;
    });
    return { write: (text) => void (gone || stream.write(text)), isTerminal: stream.isTTY };
  };
  const stderr = sink(process.stderr, () => undefined);
  const stdout = sink(process.stdout, ({ code }) => {
    stopping.abort();
    if (code === "EPIPE") return;
    outputLost = true;
    stderr.write(`docket: standard output can't be written (${code ?? "unknown reason"})\n`);
  });

  const die = (error: unknown): never => process.exit(reportFailure(error, stderr));
  process.on("unhandledRejection", die);
  process.on("uncaughtException", die);

  let listening = false;
  const stopSignal = (): AbortSignal => {
    if (listening) return stopping.signal;
    listening = true;
    for (const [signal, code] of [
      ["SIGTERM", 143],
      ["SIGINT", 130],
    ] as const) {
      process.on(signal, () => {
        if (stopping.signal.aborted) process.exit(code);
        stopping.abort();
      });
    }
    return stopping.signal;
  };
  const onHangUp = (listener: () => void): void => {
    process.on("SIGHUP", listener);
    process.off("SIGHUP", countHangUp);
    if (hangUps > 0) listener();
  };

  let lines: LineReader | null = null;
  const stdin: CommandContext["stdin"] = {
    isTerminal: process.stdin.isTTY,
    text: async (maxBytes) => (await import("./commands/standardInput.ts")).readText(process.stdin, maxBytes),
    line: async (signal) => {
      lines ??= new (await import("./commands/standardInput.ts")).LineReader(process.stdin);
      return await lines.next(signal);
    },
    hiddenLine: async (prompt) => {
      const { readHiddenLine } = await import("./commands/standardInput.ts");
      // Ctrl-C comes as a character while nothing is shown.
      return await readHiddenLine(process.stdin, stderr, prompt, () => process.exit(130));
    },
  };
  const world: Omit<CommandContext, "stepKinds"> = {
    stdout,
    stderr,
    stdin,
    env: process.env,
    stopSignal,
    onHangUp,
    endNow: die,
  };
  const code = await runProgram(process.argv.slice(2), world);
  // A pipe takes its time: what was written must be out before the process ends.
  const written = Promise.all([process.stdout, process.stderr].map((stream) => flushed(stream)));
  await Promise.race([written, new Promise((resolve) => setTimeout(resolve, LONGEST_FLUSH_MS))]);
  process.exit(code === 0 && outputLost ? STORAGE : code);
}

/** Resolves when all that was written is out, or its failure was heard of. */
function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => void stream.write("", () => setImmediate(resolve)));
}

if (isTooOld(process.versions.node)) {
  process.stderr.write(
    `docket needs Node ${OLDEST_NODE.join(".")} or newer; this is Node ${process.versions.node}.\n` +
      "Install a newer one (https://nodejs.org), or run it with `npx node@24`.\n",
  );
  process.exitCode = USAGE;
} else {
  await main().catch((error: unknown) => {
    // Only loading can fail here: a file of the package is missing, or was built for another system.
    process.stderr.write(`docket can't be loaded: ${error instanceof Error ? error.message : "unknown reason"}\n`);
    process.exitCode = BUG;
  });
}
