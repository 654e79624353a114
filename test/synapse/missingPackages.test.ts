/** What the test run says where there is no Synapse to be had: here because nothing that gets packages is on the path. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";

const RUNNER = fileURLToPath(new URL("../../scripts/test.ts", import.meta.url));

async function runWithout(t: TestContext, ci: string): Promise<{ code: unknown; output: string }> {
  const child = spawn(process.execPath, [RUNNER, "test/unit/protocol/requests", "test/synapse/aptSources"], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { PATH: "", CI: ci, XDG_CACHE_HOME: temporaryDirectory(t) },
  });
  t.after(() => child.kill("SIGTERM"));
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, "exit")]);
  return { code, output };
}

test("where the packages can't be had the run says so and why, and is green by the other tests", async (t) => {
  const { code, output } = await runWithout(t, "");
  assert.match(output, /test: skipped: 1 files of test\/synapse: .*no apt/);
  assert.equal(code, 0, output);
});

test("in CI a run without the packages fails, with the reason", async (t) => {
  const { code, output } = await runWithout(t, "true");
  assert.match(output, /test: skipped: 1 files of test\/synapse: .*no apt/);
  assert.equal(code, 1, output);
});
