/** Ready, not ready, and since when: never at the start and the stop, and each change is logged once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ServerUnreachable, StoreFailed } from "../../../src/errors.ts";
import { silentLogger, type LogFields, type Logger } from "../../../src/logging.ts";
import { Readiness } from "../../../src/ops/readiness.ts";
import { Vitals } from "../../../src/vitals.ts";

function readiness() {
  const vitals = new Vitals();
  const clock = { time: 1_700_000_000_000, now: () => clock.time, sleep: async () => undefined };
  const logged: { level: string; fields: LogFields; message: string }[] = [];
  const log: Logger = {
    ...silentLogger,
    info: (fields, message) => void logged.push({ level: "info", fields, message }),
    warn: (fields, message) => void logged.push({ level: "warn", fields, message }),
  };
  const checked = new Readiness({
    vitals,
    clock,
    log,
    messagesWait: () => false,
    onFailure: (error) => assert.fail(String(error)),
  });
  const run = (): void => {
    vitals.engineStarted();
    vitals.synced(clock.time);
    vitals.wrote(clock.time, 1e9);
    vitals.enter("running");
  };
  return { vitals, clock, logged, checked, run };
}

test("a bot that starts is not ready though all its checks are well, and one that stops is not either", () => {
  const { vitals, clock, logged, checked, run } = readiness();
  vitals.engineStarted();
  vitals.synced(clock.time);
  vitals.wrote(clock.time, 1e9);
  const starting = checked.report();
  assert.deepEqual([starting.ready, starting.phase], [false, "starting"]);
  assert(Object.values(starting.checks).every(({ ok }) => ok));
  run();
  assert.equal(checked.report().ready, true);
  vitals.enter("stopping");
  vitals.enter("running");
  const stopping = checked.report();
  assert.deepEqual([stopping.ready, stopping.phase], [false, "stopping"]);
  assert.deepEqual(
    logged.map(({ message }) => message),
    ["ready"],
    "a stop says so itself",
  );
});

test("each change is logged once, with the reasons, and the report says since when", () => {
  const { vitals, clock, logged, checked, run } = readiness();
  const began = clock.time;
  run();
  clock.time += 1_000;
  checked.report();
  vitals.syncFailed(clock.time, new ServerUnreachable("nobody answers", { doubtful: false }));
  clock.time += 1_000;
  checked.report();
  clock.time += 1_000;
  const { ready, since, checks } = checked.report();
  assert.deepEqual([ready, since], [false, began + 2_000]);
  assert.deepEqual([checks.syncing.ok, checks.syncing.since], [false, began + 2_000]);
  assert.deepEqual([checks.writing.ok, checks.writing.since], [true, began + 1_000]);
  vitals.synced(clock.time);
  checked.report();
  checked.report();
  assert.deepEqual(
    logged.map(({ level, message }) => `${level} ${message}`),
    ["info ready", "warn not ready any more", "info ready"],
  );
  assert.match(String(logged[1]?.fields["reasons"]), /nobody answers/);
});

test("a failure that ends the bot makes it unready at once, and is named", () => {
  const { vitals, clock, checked, run } = readiness();
  run();
  assert.equal(checked.report().ready, true);
  vitals.fail(clock.time, new StoreFailed("The disk is full."));
  vitals.fail(clock.time, new Error("a consequence"));
  const { ready, problem } = checked.report();
  assert.equal(ready, false);
  assert.equal(problem, "The bot ends: The disk is full. (STORE_FAILED)");
});

test("notes are part of the report, and make nobody unready", () => {
  const { vitals, checked, run } = readiness();
  run();
  vitals.note("receipts", "no delivery receipts");
  const { ready, notes } = checked.report();
  assert.deepEqual([ready, notes], [true, ["no delivery receipts"]]);
});
