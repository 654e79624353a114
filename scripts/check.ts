/**
 * `npm run check`: types, lint (with type-aware rules and the order of rooms), format and unused code, side by side.
 * One line for each with its time; the output of what failed follows. Exit code 1 if one failed.
 */
import { spawn } from "node:child_process";
import { dirname, delimiter, join } from "node:path";

const root = join(import.meta.dirname, "..");
const bin = join(root, "node_modules", ".bin");
/** Far above the 45 s that a whole run may take: it ends a tool that hangs, not one on a busy machine. */
const timeoutMs = 180_000;

const checks: readonly { name: string; tool: string; args: readonly string[] }[] = [
  { name: "types", tool: "tsc", args: ["-p", "."] },
  {
    name: "lint and order of rooms",
    tool: "oxlint",
    args: ["--type-aware", "--deny-warnings", "--report-unused-disable-directives", "."],
  },
  { name: "format", tool: "prettier", args: ["--check", "--log-level", "warn", "."] },
  { name: "unused code", tool: "knip", args: ["--no-progress"] },
];

interface Outcome {
  readonly name: string;
  readonly failure: string | null;
}

function seconds(sinceMs: number): string {
  return `${((performance.now() - sinceMs) / 1000).toFixed(1)} s`;
}

function run(check: (typeof checks)[number]): Promise<Outcome> {
  const startedMs = performance.now();
  const env = { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env["PATH"] ?? ""}` };
  return new Promise((resolve) => {
    const child = spawn(join(bin, check.tool), check.args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
    const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
    const output: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => output.push(chunk));
    const settle = (failure: string | null): void => {
      clearTimeout(timer);
      console.log(
        `${failure === null ? "ok    " : "FAILED"}  ${check.name.padEnd(24)} ${seconds(startedMs).padStart(7)}`,
      );
      resolve({ name: check.name, failure });
    };
    child.on("error", (error) => settle(`${check.tool} did not start: ${error.message}`));
    child.on("close", (code, signal) => {
      if (code === 0) return settle(null);
      const how = signal === null ? `exit code ${code}` : `ended by ${signal} after ${seconds(startedMs)}`;
      settle(`${Buffer.concat(output).toString()}\n${check.tool} ${check.args.join(" ")}: ${how}`);
    });
  });
}

const startedMs = performance.now();
const outcomes = await Promise.all(checks.map(run));
const failed = outcomes.filter((outcome) => outcome.failure !== null);
for (const { name, failure } of failed) console.log(`\n--- ${name} ---\n${failure}`);
console.log(
  `\ncheck: ${failed.length === 0 ? "all ok" : `${failed.length} of ${checks.length} failed`}, ${seconds(startedMs)}`,
);
process.exitCode = failed.length === 0 ? 0 : 1;
