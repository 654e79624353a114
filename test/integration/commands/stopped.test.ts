/** Commands on the device that are stopped, or get nothing to go on with: an end at once, in words, and not as a bug. */
import assert from "node:assert/strict";
import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { after, before, test, type TestContext } from "node:test";
import { startDevServer, type DevServer } from "../../../devserver/server.ts";
import { BotProcess, writeConfig } from "../../support/botProcess.ts";
import { docketGiven } from "../../support/docketCommand.ts";
import { temporaryDirectory } from "../../support/temporaryDirectory.ts";

type Child = ChildProcessByStdio<Writable, null, Readable>;

const MAIN = join(import.meta.dirname, "..", "..", "..", "src", "main.ts");

let server: DevServer;
before(async () => {
  server = await startDevServer();
});
after(() => server.stop());

/** A device of an account whose identity another one has made. */
async function second(t: TestContext, localpart: string) {
  const account = server.createAccount(localpart, "not a secret");
  const maker = new BotProcess({ homeserver: server.url, ...account, directory: temporaryDirectory(t) });
  t.after(() => maker.kill());
  await maker.running();
  assert.equal(await maker.stop(), 0);
  const options = {
    homeserver: server.url,
    ...server.signIn(account.userId),
    directory: temporaryDirectory(t),
    accountYaml: "  create_identity: false\n",
  };
  return { options, config: writeConfig(options) };
}

test("a command that is stopped while it waits for the homeserver, or for an answer, ends at once, says so, and exits with 130", async (t) => {
  const { options, config } = await second(t, "stopped");
  const stopped = async (
    args: readonly string[],
    signal: NodeJS.Signals,
    there: (child: Child) => Promise<unknown>,
  ) => {
    // Its standard input stays open.
    const child = spawn(process.execPath, [MAIN, ...args, "--config", config], { stdio: ["pipe", "ignore", "pipe"] });
    t.after(() => child.kill("SIGKILL"));
    const closed = once(child, "close") as Promise<[number | null]>;
    const said = text(child.stderr);
    await there(child);
    child.kill(signal);
    const [code] = await closed;
    const stderr = await said;
    assert.equal(code, 130, stderr);
    assert.match(stderr, /docket: stopped before the end\. .+ it can be repeated\.\n$/);
    assert.doesNotMatch(stderr, /bug/);
  };
  await stopped(["identity", "restore"], "SIGTERM", ({ stderr }) => once(stderr, "data"));
  const hang = server.fault({ path: "/keys/query$", deviceId: options.deviceId, action: { kind: "hang" } });
  await stopped(["identity", "show"], "SIGINT", () => server.waitFor(() => hang.hits > 0, 60_000, "its request"));
});

test("standard input that is no recovery key is said to be none, and is no bug", async (t) => {
  const { config } = await second(t, "unread");
  const long = await docketGiven({ stdin: "x".repeat(9_000) }, "identity", "restore", "--config", config);
  assert.deepEqual([long.code, long.stdout], [64, ""]);
  assert.match(
    long.stderr,
    /nothing was restored: the recovery key can't be read from standard input \(it is too long\)/,
  );
});
