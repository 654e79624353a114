/** The whole demo on a real homeserver: on a Synapse of its own, and with accounts that are somebody's. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { DemoProcess, isRunning } from "../support/demoProcess.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";
import { assertGreen, RECEIPTS, somebodysSynapse } from "./somebodysSynapse.ts";

const LONGEST_MS = 300_000;

describe("the demo on a Synapse of its own", () => {
  it("gets every answer, says what Synapse does not know, and leaves nothing", { timeout: LONGEST_MS }, async (t) => {
    const data = temporaryDirectory(t);
    const demo = new DemoProcess(t, ["--homeserver", "synapse", "--json"], { TMPDIR: data });
    const end = await demo.ended;
    assertGreen(end, [RECEIPTS]);
    assert.match(end.stdout, /"note":"Synapse \d+\.\d+\.\d+\S*, started for this run"/);
    assert.deepEqual(Object.values(demo.pids()).filter(isRunning), []);
    assert.deepEqual(readdirSync(data), []);
  });

  it("leaves nothing when it is killed without a chance to tidy up", { timeout: LONGEST_MS }, async (t) => {
    const data = temporaryDirectory(t);
    const demo = new DemoProcess(t, ["--homeserver", "synapse"], { TMPDIR: data });
    await demo.says("a valid emergency report");
    demo.process.kill("SIGKILL");
    await demo.ended;
    // Nobody is told of the end of a process that is not its child: look until all is gone, or the test's time is over.
    while (Object.values(demo.pids()).some(isRunning) || readdirSync(data).length > 0) await pause(20);
  });

  it("says in one sentence why there is none where the packages can't be had", { timeout: LONGEST_MS }, async (t) => {
    const [cache, nothing] = [temporaryDirectory(t), temporaryDirectory(t)];
    const demo = new DemoProcess(t, ["--homeserver", "synapse"], { XDG_CACHE_HOME: cache, PATH: nothing });
    const { exitCode, stdout, stderr } = await demo.ended;
    assert.match(stdout, /there is no Synapse here: .*this machine has no apt/);
    assert.match(stdout, /npm run demo shows the same on the development homeserver/);
    assert.equal(stderr, "");
    assert.equal(exitCode, 69);
    assert.deepEqual(Object.values(demo.pids()).filter(isRunning), []);
  });
});

describe("the demo on somebody's Synapse", () => {
  it("says so where every room is encrypted by force", { timeout: LONGEST_MS }, async (t) => {
    const overrides = { encryption_enabled_by_default_for_room_type: "all" };
    const { demo, assertAsFound } = await somebodysSynapse(t, { overrides });
    assertGreen(await demo("--json").ended, ["a room without encryption", RECEIPTS]);
    await assertAsFound();
  });

  it("leaves both accounts as it found them after Ctrl-C", { timeout: LONGEST_MS }, async (t) => {
    const { demo, assertAsFound } = await somebodysSynapse(t, {});
    const run = demo();
    await run.says("a valid emergency report");
    run.process.kill("SIGINT");
    assert.equal((await run.ended).exitCode, 130);
    await assertAsFound();
  });
});
