/**
 * `npm test [-- [FILTER...] [--name PATTERN]]`: runs node's test runner over test/unit, test/integration, test/crash and
 * test/synapse.
 * A filter is a part of a path (`test/unit/protocol`); a file runs if it contains any of them. `--name` keeps the tests whose
 * title matches. Beyond node's own verdict a run fails if no test ran, if one was skipped or marked as to do, if a file has no
 * tests, or if a test left a process behind. The slowest files are named at the end, after node's closing lines.
 *
 * test/synapse needs packages of Debian. Where they can't be had, its files are skipped: the run says so and why, and fails with
 * `CI=true` alone.
 *
 * The runner works in a process group of its own, so that whatever the tests start ends with it.
 */
import { spawn } from "node:child_process";
import { globSync, readFileSync, readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { delimiter, dirname, join, relative } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { prepareSynapse } from "../test/synapse/synapsePackages.ts";

const root = join(import.meta.dirname, "..");
/** In the order of start: those first whose files run longest, much of it waiting. */
const suites = ["synapse", "crash", "integration", "unit"];
const needsSynapse = /^test[/\\]synapse[/\\]/;
const inCi = !["", "false", "0"].includes(process.env["CI"] ?? "");
/** What a process that is just ending may take to go. */
const farewellMs = 2_000;
/** Compiled sources, for the hundreds of processes that the tests start: half of each one's start. Node holds it to the sources. */
const compileCache = join(root, "node_modules", ".cache", "node-compile");
const insideVariable = "DOCKET_TEST_RUNNER";

/** Live members of the process group, as `pid command`; empty where there is no /proc. */
function membersOf(group: number): string[] {
  const found: string[] = [];
  let pids: string[];
  try {
    pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return found;
  }
  for (const pid of pids) {
    try {
      // `pid (command) state ppid pgrp ...`; the command may contain anything, so count from its closing bracket.
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      const [state, , processGroup] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      if (Number(processGroup) !== group || state === "Z" || state === "X") continue;
      found.push(`${pid} ${readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim()}`);
    } catch {
      continue; // it has just ended
    }
  }
  return found;
}

/** Starts the runner in its own process group; afterwards nothing of the group is alive. */
async function superviseRunner(): Promise<number> {
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    [insideVariable]: "1",
    NODE_COMPILE_CACHE: compileCache,
  };
  env["PATH"] = `${dirname(process.execPath)}${delimiter}${env["PATH"] ?? ""}`;
  delete env["NODE_TEST_CONTEXT"]; // set when a test runs this script; the runner would then report to nobody
  const child = spawn(process.execPath, [import.meta.filename, ...process.argv.slice(2)], {
    cwd: root,
    env,
    detached: true,
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const group = child.pid;
  if (group === undefined) throw new Error("the test runner did not start: is there memory left?");
  const endGroup = (signal: NodeJS.Signals): void => {
    try {
      process.kill(-group, signal);
    } catch {
      // nobody left
    }
  };
  let interrupted: NodeJS.Signals | null = null;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      endGroup(interrupted === null ? signal : "SIGKILL");
      interrupted = signal;
    });
  }
  const code = await new Promise<number>((resolve) => child.on("exit", (status) => resolve(status ?? 1)));
  const patienceEnds = performance.now() + farewellMs;
  let left = membersOf(group);
  while (left.length > 0 && performance.now() < patienceEnds) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    left = membersOf(group);
  }
  endGroup("SIGKILL");
  if (left.length === 0 || interrupted !== null) return code;
  console.log(`\ntest: the tests left ${left.length} process(es) running (ended now):\n  ${left.join("\n  ")}`);
  return code === 0 ? 1 : code;
}

interface Options {
  readonly filters: readonly string[];
  readonly namePatterns: readonly string[];
}

function readOptions(): Options {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { name: { type: "string", multiple: true } },
  });
  return { filters: positionals, namePatterns: values.name ?? [] };
}

function selectFiles(filters: readonly string[]): string[] {
  const all = suites.flatMap((suite) => globSync(`test/${suite}/**/*.test.ts`, { cwd: root }).sort());
  if (filters.length === 0) return all;
  return all.filter((file) => filters.some((filter) => file.includes(filter.replace(/^\.\//, ""))));
}

interface Selection {
  readonly files: readonly string[];
  /** Goes to the end of the output. */
  readonly notes: readonly string[];
  readonly problems: readonly string[];
}

/** Gets the packages of Synapse if a selected file needs them, once for all of them; leaves those files out if that fails. */
async function withSynapse(files: readonly string[]): Promise<Selection> {
  const needing = files.filter((file) => needsSynapse.test(file));
  if (needing.length === 0) return { files, notes: [], problems: [] };
  const notes: string[] = [];
  const say = (line: string): void => {
    console.log(`test: Synapse: ${line}`);
    notes.push(line);
  };
  try {
    const { version } = await prepareSynapse({ say });
    notes.push(`${needing.length} files with Synapse ${version}`);
    return { files, notes, problems: [] };
  } catch (error) {
    const skipped = `skipped: ${needing.length} files of test/synapse: ${error instanceof Error ? error.message : String(error)}`;
    const others = files.filter((file) => !needing.includes(file));
    return inCi ? { files: others, notes: [], problems: [skipped] } : { files: others, notes: [skipped], problems: [] };
  }
}

async function runTests(options: Options): Promise<number> {
  // The supervisor is gone, perhaps killed: nothing of this run shall outlive it.
  process.once("disconnect", () => process.kill(-process.pid, "SIGKILL"));
  process.channel?.unref();
  const selected = selectFiles(options.filters);
  if (selected.length === 0) {
    console.log(
      `test: no test file ${options.filters.length === 0 ? "exists" : `matches ${options.filters.join(" ")}`}`,
    );
    return 64;
  }
  const { files, notes, problems: missing } = await withSynapse(selected);
  const problems = [...missing];
  const fileTimes: { file: string; ms: number }[] = [];
  let executed = 0;
  const stream = run({
    cwd: root,
    files: files.map((file) => join(root, file)),
    // One more than can work at a time: the long ones mostly wait.
    concurrency: Math.max(2, availableParallelism()) + 1,
    execArgv: ["--import", pathToFileURL(join(import.meta.dirname, "fileTimeLimit.ts")).href],
    ...(options.namePatterns.length > 0 && { testNamePatterns: [...options.namePatterns] }),
  });
  stream.on("test:pass", ({ name, file, skip, todo, details }) => {
    const where = file === undefined ? name : `${relative(root, file)}: ${name}`;
    if (skip !== undefined && skip !== false) problems.push(`skipped: ${where}`);
    else if (todo !== undefined && todo !== false) problems.push(`marked as to do: ${where}`);
    else if (files.includes(relative(root, name)) || files.includes(name)) {
      if (options.namePatterns.length === 0) problems.push(`has no tests: ${name}`);
    } else if (details.type !== "suite") executed += 1;
  });
  stream.on("test:fail", ({ details, todo, name }) => {
    if (todo !== undefined && todo !== false) problems.push(`marked as to do: ${name}`);
    if (details.type !== "suite") executed += 1;
  });
  let success = false;
  stream.on("test:summary", (summary) => {
    if (summary.file === undefined) success = summary.success;
    else fileTimes.push({ file: relative(root, summary.file), ms: summary.duration_ms });
  });
  for await (const text of stream.compose(new spec())) process.stdout.write(text as string);

  if (executed === 0) problems.push("no test was executed");
  fileTimes.sort((a, b) => b.ms - a.ms);
  const slowest = fileTimes.slice(0, 5).map(({ file, ms }) => `${file} ${(ms / 1000).toFixed(1)} s`);
  console.log(`test: ${files.length} files; slowest: ${slowest.join(", ")}`);
  for (const note of notes) console.log(`test: ${note}`);
  for (const problem of problems) console.log(`test: ${problem}`);
  return success && problems.length === 0 ? 0 : 1;
}

process.exitCode = process.env[insideVariable] === undefined ? await superviseRunner() : await runTests(readOptions());
