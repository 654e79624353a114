/**
 * Preloaded into the process of each test file by scripts/test.ts: ends it when it takes longer than the limit. Node's own time
 * limit fails the running test, but waits for ever for a file whose timers, sockets or loops keep it alive. A thread of its own
 * watches, so that a loop that never yields is ended too.
 */
import { Worker } from "node:worker_threads";

const watcher = `
  const { writeSync } = require("node:fs");
  const { workerData } = require("node:worker_threads");
  setTimeout(() => {
    const what = "took longer than " + workerData.limitMs / 1000 + " s: is a timer, socket, process or loop left in it?";
    writeSync(2, workerData.file + " " + what + "\\n");
    process.kill(process.pid, "SIGKILL");
  }, workerData.limitMs);
`;

const limitMs = Number(process.env["DOCKET_TEST_FILE_LIMIT_MS"]);
if (limitMs > 0)
  new Worker(watcher, { eval: true, execArgv: [], workerData: { limitMs, file: process.argv[1] } }).unref();
