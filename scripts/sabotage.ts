/**
 * `npm run test:sabotage [-- --only NAME] [--jobs N]`: do the tests notice when a promise is broken? Copies the work tree, applies
 * one fault of test/sabotage/faults.ts at a time, and runs the one test that has to notice. That test passes without the fault
 * (tried first) and must fail with it: a file that can't be loaded or a run that hangs does not count. Prints a table; exit code 1
 * if a fault survived or no longer fits the sources.
 */
import { execFileSync, spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { faults, type Fault } from "../test/sabotage/faults.ts";
import type { TestVerdict } from "./verdictReporter.ts";

const root = join(import.meta.dirname, "..");
const reporter = join(import.meta.dirname, "verdictReporter.ts");
const limitMs = 180_000;

interface Row {
  readonly fault: Fault;
  readonly result: string;
  readonly noticed: boolean;
  readonly ms: number;
}

/** Tracked and new files as they are now; the installed packages by a link. */
function copyWorkTree(to: string): void {
  const args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  for (const file of execFileSync("git", args, { cwd: root, encoding: "utf8" }).split("\0")) {
    // A file that was deleted and not yet committed is still listed.
    if (file === "" || !existsSync(join(root, file))) continue;
    mkdirSync(dirname(join(to, file)), { recursive: true });
    cpSync(join(root, file), join(to, file), { force: true, errorOnExist: false, verbatimSymlinks: true });
  }
  symlinkSync(join(root, "node_modules"), join(to, "node_modules"));
}

/** Runs the tests of one file whose titles are in `names`. @returns what ended and how; null for a run that took too long */
function runTests(tree: string, file: string, names: readonly string[]): Promise<TestVerdict[] | null> {
  const patterns = names.map((name) => `--test-name-pattern=${name.replaceAll(/[.*+?^${}()|[\]\\/]/g, "\\$&")}$`);
  const env: NodeJS.ProcessEnv = { ...process.env };
  env["PATH"] = `${dirname(process.execPath)}${delimiter}${env["PATH"] ?? ""}`;
  delete env["NODE_TEST_CONTEXT"];
  // What a failed test leaves open must not keep its verdict from us.
  const args = [
    "--test",
    "--test-force-exit",
    `--test-reporter=${reporter}`,
    "--test-reporter-destination=stdout",
    ...patterns,
    file,
  ];
  // A process group of its own: what the tests start ends with them.
  const child = spawn(process.execPath, args, { cwd: tree, env, detached: true, stdio: ["ignore", "pipe", "ignore"] });
  const endGroup = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    } catch {
      // nobody left
    }
  };
  running.add(endGroup);
  return new Promise((resolve, reject) => {
    let text = "";
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      endGroup();
    }, limitMs);
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    child.on("error", reject);
    child.on("exit", () => {
      // What the tests left running holds the pipe open: end it, or `close` does not come.
      endGroup();
    });
    child.on("close", () => {
      clearTimeout(timer);
      running.delete(endGroup);
      const lines = text.split("\n").filter((line) => line.startsWith("{"));
      resolve(late ? null : lines.map((line) => JSON.parse(line) as TestVerdict));
    });
  });
}

const running = new Set<() => void>();

/** @returns why the fault does not fit the sources any more, or null */
function misfit(fault: Fault): string | null {
  if (fault.find === fault.replace || `${fault.find}${fault.replace}`.includes("\n"))
    return "is not a change of one line";
  const count = readFileSync(join(root, fault.file), "utf8").split(fault.find).length - 1;
  return count === 1 ? null : `its text occurs ${count} times in ${fault.file}, not once`;
}

async function tryFault(tree: string, fault: Fault): Promise<Row> {
  const startedMs = performance.now();
  const path = join(tree, fault.file);
  const original = readFileSync(path, "utf8");
  writeFileSync(
    path,
    original.replace(fault.find, () => fault.replace),
  );
  const verdicts = await runTests(tree, fault.test.file, [fault.test.name]).finally(() =>
    writeFileSync(path, original),
  );
  const named = verdicts?.filter((verdict) => verdict.name === fault.test.name) ?? [];
  const noticed = named.some((verdict) => !verdict.ok);
  let result = "noticed";
  if (verdicts === null) result = `HUNG: no verdict after ${limitMs / 1000} s`;
  else if (named.length === 0) result = "NOT RUN: the test file could not be loaded";
  else if (!noticed) result = "SURVIVED";
  return { fault, result, noticed, ms: performance.now() - startedMs };
}

/** Why a test that is not green without the fault can't show anything. */
function unsound(all: readonly TestVerdict[] | null, named: readonly TestVerdict[]): string {
  if (all === null) return `HUNG without the fault, for ${limitMs / 1000} s`;
  return named.length === 0 ? "NO SUCH TEST, or its file can't be loaded" : "RED without the fault";
}

function printRow(fault: string, file: string, test: string, result: string, time: string): void {
  console.log(`${fault.padEnd(34)} ${file.padEnd(34)} ${result.padEnd(10)} ${time.padStart(7)}  ${test}`);
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { only: { type: "string", multiple: true }, jobs: { type: "string", default: "2" } },
  });
  const chosen = faults.filter((fault) => values.only === undefined || values.only.includes(fault.name));
  if (chosen.length === 0) {
    console.log(`sabotage: no such fault; there are ${faults.map((fault) => fault.name).join(", ")}`);
    return 64;
  }
  const problems = chosen.flatMap((fault) => {
    const problem = misfit(fault);
    return problem === null ? [] : [`${fault.name}: ${problem}`];
  });
  for (const problem of problems) console.log(`sabotage: ${problem}`);
  if (problems.length > 0) return 1;

  const workshop = mkdtempSync(join(tmpdir(), "docket-sabotage-"));
  process.on("exit", () => {
    for (const end of running) end();
    rmSync(workshop, { recursive: true, force: true });
  });
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(1));

  const queue = [...new Set(chosen.map((fault) => fault.test.file))].map((file) => ({
    file,
    faults: chosen.filter((fault) => fault.test.file === file),
  }));
  const rows: Row[] = [];
  printRow("fault", "in", "test that has to notice", "result", "time");
  const worker = async (number: number): Promise<void> => {
    const tree = join(workshop, `tree-${number}`);
    copyWorkTree(tree);
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const names = [...new Set(next.faults.map((fault) => fault.test.name))];
      const sound = await runTests(tree, next.file, names);
      for (const fault of next.faults) {
        const own = sound?.filter((verdict) => verdict.name === fault.test.name) ?? [];
        const green = own.length > 0 && own.every((verdict) => verdict.ok);
        const row: Row = green
          ? await tryFault(tree, fault)
          : { fault, noticed: false, ms: 0, result: unsound(sound, own) };
        rows.push(row);
        printRow(fault.name, fault.file, fault.test.name, row.result, `${(row.ms / 1000).toFixed(1)} s`);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, Number(values.jobs)) }, (_, number) => worker(number)));
  const bad = rows.filter((row) => !row.noticed);
  console.log(`\nsabotage: ${rows.length - bad.length} of ${rows.length} faults were noticed`);
  for (const { fault, result } of bad) console.log(`sabotage: ${fault.name} (${fault.breaks}): ${result}`);
  return bad.length === 0 ? 0 : 1;
}

process.exit(await main());
