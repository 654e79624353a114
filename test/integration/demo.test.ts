/** `npm run demo`, run as a process: three processes of its own, real traffic, judged by the independent sender. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { scenario } from "../../demo/scenario.ts";
import { DemoProcess, isRunning } from "../support/demoProcess.ts";

const LONGEST_MS = 120_000;
const CAST = { senderDevice: "senderdemo", botDevice: "docketdemo", canary: "x", lifetimeMs: 1000 };

describe("the demo", () => {
  it("gets every answer that it expects and no other, and exits 0", { timeout: LONGEST_MS }, async (t) => {
    // Somebody's proxy does not lead back to this machine.
    const environment = { HTTP_PROXY: "http://127.0.0.1:2" };
    const { exitCode, stdout, stderr } = await new DemoProcess(t, ["--json"], environment).ended;
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.deepEqual(
      lines.filter((line) => line["ok"] !== true),
      [],
    );
    for (const room of ["encrypted", "plain"] as const) {
      assert.deepEqual(
        lines.filter((line) => line["where"] === room).map((line) => line["asked"]),
        ["an invitation to a private room", "nothing, on joining", ...scenario(CAST, room).map((ask) => ask.asked)],
      );
    }
    const received = lines.filter((line) =>
      (line["receivedBy"] as string[] | undefined)?.includes("@docket:localhost"),
    );
    assert.equal(received.length, scenario(CAST, "encrypted").length - 1, "all but the copy");
    assert.equal(lines.filter((line) => line["where"] === "public").length, 1);
    assert.equal(lines.filter((line) => line["where"] === "bot").length, 5);
    assert.equal(stderr, "");
    assert.equal(exitCode, 0);
  });

  it(
    "exits 1 and shows the bot's log when the bot dies, and leaves nothing running",
    { timeout: LONGEST_MS },
    async (t) => {
      const demo = new DemoProcess(t);
      await demo.says("a valid emergency report");
      const pids = demo.pids();
      process.kill(pids["bot"] ?? 0, "SIGKILL");
      const { exitCode, stdout } = await demo.ended;
      assert.equal(exitCode, 1);
      assert.match(stdout, /the bot ended by itself, with signal SIGKILL/);
      assert.ok(stdout.includes(join(demo.folder, "bot.log")));
      const lastLogged = readFileSync(join(demo.folder, "bot.log"), "utf8").trimEnd().split("\n").at(-1) ?? "";
      assert.ok(lastLogged !== "" && stdout.includes(lastLogged));
      assert.deepEqual(Object.keys(pids), ["homeserver", "bot", "sender"]);
      assert.deepEqual(Object.values(pids).filter(isRunning), []);
    },
  );

  it("leaves nothing running when it is interrupted", { timeout: LONGEST_MS }, async (t) => {
    const demo = new DemoProcess(t);
    await demo.says("a valid emergency report");
    demo.process.kill("SIGINT");
    assert.equal((await demo.ended).exitCode, 130);
    assert.deepEqual(Object.values(demo.pids()).filter(isRunning), []);
  });

  it("leaves nothing running when it is killed without a chance to tidy up", { timeout: LONGEST_MS }, async (t) => {
    const demo = new DemoProcess(t);
    await demo.says("a valid emergency report");
    demo.process.kill("SIGKILL");
    await demo.ended;
    // Nobody is told of the end of a process that is not its child: look until all are gone, or the test's time is over.
    while (Object.values(demo.pids()).some(isRunning)) await pause(20);
  });

  it("refuses an option that it does not know, with exit code 64", async (t) => {
    const { exitCode, stderr } = await new DemoProcess(t, ["--nope"]).ended;
    assert.equal(exitCode, 64);
    assert.match(stderr, /--nope/);
    assert.match(stderr, /Usage:/);
  });
});
