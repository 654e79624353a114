/**
 * Preloaded into the process of each test file by scripts/test.ts: ends it when it takes longer than the limit. Node's own time
 * limit fails the running test, but waits for ever for a file whose timers, sockets or loops keep it alive. A thread of its own
 * watches, so that a loop that never yields is ended too.
 */
import { Worker } from "node:worker_threads";

/** Far above what any file needs on a busy machine, far below what a person would wait for a hang. */
const limitMs = 300_000;
/** The kill loop starts the bot some hundred times. */
const crashLimitMs = 1_200_000;

const watcher = `
  const { writeSync } = require("node:fs");
  const { workerData } = require("node:worker_threads");
  setTimeout(() => {
    const what = "took longer than " + workerData.limitMs / 1000 + " s: is a timer, socket, process or loop left in it?";
    writeSync(2, workerData.file + " " + what + "\\n");
    process.kill(process.pid, "SIGKILL");
  }, workerData.limitMs);
`;

const file = process.argv[1] ?? "";
const workerData = { file, limitMs: /[/\\]test[/\\]crash[/\\]/.test(file) ? crashLimitMs : limitMs };
new Worker(watcher, { eval: true, execArgv: [], workerData }).unref();
