/** docs/operations.md, "From nothing to a bot on your own Synapse": each step is run as it is written there. */
import assert from "node:assert/strict";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { test } from "node:test";
import { Sender } from "../../../demo/sender/sender.ts";
import { temporaryDirectory } from "../../support/temporaryDirectory.ts";
import { startSynapse } from "../synapse.ts";
import { DocumentedShell, shellBlocks, withValues } from "./documentedShell.ts";

const ROOT = join(import.meta.dirname, "../../..");
const HEADING = "## From nothing to a bot on your own Synapse\n";

/** What a clone has, with the dependencies of this one. */
function cloneInto(directory: string): void {
  for (const name of ["package.json", "package-lock.json", "scripts", "src", "schemas", "config.sample.yaml"])
    cpSync(join(ROOT, name), join(directory, name), { recursive: true });
  // Not the folder as a whole: what the clone would replace in it, because the lock file has changed, it must not replace here.
  const modules = join(directory, "node_modules");
  mkdirSync(modules);
  for (const name of readdirSync(join(ROOT, "node_modules")))
    symlinkSync(join(ROOT, "node_modules", name), join(modules, name));
}

/** The steps in their order: `**3. A configuration.**` and its block. */
function steps(): ReadonlyMap<number, string> {
  const text = readFileSync(join(ROOT, "docs/operations.md"), "utf8").split(HEADING)[1]?.split(/^## /m)[0] ?? "";
  const parts = text.split(/^\*\*(\d+)\. /m).slice(1);
  const found = new Map<number, string>();
  for (let at = 0; at + 1 < parts.length; at += 2) {
    const blocks = shellBlocks(parts[at + 1] ?? "");
    assert.equal(blocks.length, 1, `step ${parts[at]} has one block of commands`);
    found.set(Number(parts[at]), blocks[0] ?? "");
  }
  return found;
}

test("from nothing to a running bot without a rate limit on one's own Synapse: every documented step works as written", async (t) => {
  const server = await startSynapse({ rateLimits: "default", serverName: "example.org" });
  t.after(() => server.stop());
  const directory = temporaryDirectory(t);
  cloneInto(directory);
  const commands = temporaryDirectory(t);
  const register = join(commands, "register_new_matrix_user");
  writeFileSync(
    register,
    `#!/bin/sh\nexec '${process.execPath}' '${join(import.meta.dirname, "registerUser.ts")}' '${server.root}' "$@"\n`,
    { mode: 0o755 },
  );
  // The administrator has this from her client; and Alice types her password, which a test can't.
  writeFileSync(join(directory, "admin-token"), `${server.adminToken}\n`, { mode: 0o600 });
  const password = "Alice's own";
  const account = await server.registerUser("alice", password);
  const shell = new DocumentedShell(directory, {
    ...process.env,
    PATH: [commands, dirname(process.execPath), process.env["PATH"] ?? ""].join(delimiter),
  });
  t.after(() => shell.stop());
  const documented = steps();
  assert.deepEqual([...documented.keys()], [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  const run = async (step: number, values: Readonly<Record<string, string>> = {}): Promise<string> => {
    const { code, output } = await shell.run(withValues(documented.get(step) ?? "", values));
    assert.equal(code, 0, `step ${step}:\n${output}`);
    return output;
  };

  await run(1, {
    HOMESERVER: server.baseUrl,
    SERVER_NAME: server.serverName,
    SYNAPSE_CONFIG: join(dirname(server.logFile), "homeserver.yaml"),
    OPERATIONS: "127.0.0.1:0",
  });
  await run(2);
  assert.equal(statSync(join(directory, "bot-password")).mode & 0o777, 0o600);
  await run(3);
  assert.match(await run(4), /Signed in as @docket:example\.org.*The token is for @docket:example\.org/s);
  assert.equal(existsSync(join(directory, "bot-password")), false);
  await run(5);
  assert.match(await run(6), /^ready since/m);
  assert.match(await run(7), /does not limit|no limit|exempt/i);

  // Her account has no identity yet: one would have to sign her new device with what Alice types.
  const alice = await Sender.withToken({ baseUrl: server.baseUrl, ...account }, { identity: "none" });
  t.after(() => alice.stop());
  await alice.start();
  const roomId = await alice.createRoom({ encrypted: true, invite: ["@docket:example.org"] });
  await alice.waitForJoin(roomId, "@docket:example.org");
  await shell.run(`export DOCKET_PASSWORD=${JSON.stringify(password)}`);
  assert.match(await run(8, { ROOM: roomId }), /@docket:example\.org.*success/s);
  await run(9);
});
