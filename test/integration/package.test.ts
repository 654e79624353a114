/**
 * The published package: packed, installed into an empty folder elsewhere, and run there. Needs the npm registry (or npm's cache).
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { startConversation } from "../support/conversation.ts";

const root = join(import.meta.dirname, "..", "..");
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  version: string;
  files: string[];
  scripts: Record<string, string>;
  engines: { node: string };
};

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(command: string, args: readonly string[], cwd: string, env: NodeJS.ProcessEnv = {}): Ran {
  const path = `${dirname(process.execPath)}${delimiter}${process.env["PATH"] ?? ""}`;
  const result = spawnSync(command, args, {
    cwd,
    env: { ...process.env, PATH: path, ...env },
    encoding: "utf8",
    timeout: 120_000,
  });
  assert.equal(result.error, undefined);
  return { code: result.status, stdout: result.stdout, stderr: result.stderr };
}

function mustRun(command: string, args: readonly string[], cwd: string): Ran {
  const ran = run(command, args, cwd);
  assert.equal(ran.code, 0, `${command} ${args.join(" ")}\n${ran.stdout}\n${ran.stderr}`);
  return ran;
}

/** Each Node that the PATH offers beside the one that runs this test. */
function otherNodes(): string[] {
  const folders = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => !folder.includes("node_modules"));
  return [...new Set(folders)].map((folder) => join(folder, "node")).filter((file) => existsSync(file));
}

describe("the package", () => {
  let workshop: string;
  let installed: string;
  let docket: string;

  before(() => {
    workshop = mkdtempSync(join(tmpdir(), "docket-package-"));
    // Packed from a folder with just what the manifest names, so that nothing is written into the work tree.
    const stage = join(workshop, "stage");
    mkdirSync(stage);
    mustRun(process.execPath, [join(root, "scripts", "build.ts"), "--out", join(stage, "dist")], root);
    for (const name of ["package.json", "LICENSE", "README.md", ...manifest.files.filter((file) => file !== "dist/")]) {
      cpSync(join(root, name), join(stage, name), { recursive: true });
    }
    mustRun("npm", ["pack", "--ignore-scripts", "--silent", "--pack-destination", workshop], stage);
    installed = join(workshop, "elsewhere");
    mkdirSync(installed);
    writeFileSync(join(installed, "package.json"), "{}\n");
    const tarball = join(workshop, `matrix-docket-${manifest.version}.tgz`);
    const quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--silent"];
    mustRun("npm", ["install", ...quiet, tarball], installed);
    docket = join(installed, "node_modules", ".bin", "docket");
  });
  after(() => rmSync(workshop, { recursive: true, force: true }));

  test("prints its help and its version", () => {
    const help = run(docket, ["--help"], installed);
    assert.equal(help.code, 0, help.stderr);
    assert.match(help.stdout, /Usage: docket/);
    assert.equal(run(docket, ["--version"], installed).stdout.trim(), manifest.version);
    assert.equal(help.stderr, "", "it starts without warnings");
  });

  test("finds its sample configuration good", () => {
    const sample = join(installed, "node_modules", "matrix-docket", "config.sample.yaml");
    const names = [...readFileSync(sample, "utf8").matchAll(/^[^#]*\$\{env:(\w+)\}/gm)].map((match) => match[1]!);
    const env = Object.fromEntries(names.map((name) => [name, "a-value"]));
    const checked = run(docket, ["check", "--config", sample], installed, env);
    assert.equal(checked.code, 0, checked.stdout + checked.stderr);
  });

  test("finds a broken configuration broken, with exit code 78", () => {
    const broken = join(installed, "broken.yaml");
    writeFileSync(broken, "homeserver: https://matrix.example.org\nacount:\n  user: nobody\n");
    const checked = run(docket, ["check", "--config", broken], installed);
    assert.equal(checked.code, 78, checked.stdout + checked.stderr);
    assert.match(checked.stdout + checked.stderr, /broken\.yaml:2.*acount/);
  });

  test("runs the bot: a request in an encrypted room is answered, encrypted, and recorded", async (t) => {
    const program = join(installed, "node_modules", "matrix-docket", "dist", "docket.mjs");
    const { alice, room, bot, directory } = await startConversation(t, { bot: { program } });
    const roomId = await room({ encrypted: true });
    const content = { "m.request.status": { from_device: alice.deviceId, lifetime: 90_000 } };
    const eventId = await alice.send(roomId, "org.example.report", content);
    const response = await alice.waitForResponse(eventId);
    assert.equal(response.status, "success");
    assert.equal(response.event.encrypted, true);
    assert.equal(await bot.stop(), 0, bot.stderr);
    const shown = run(docket, ["record", "show", eventId, "--config", join(directory, "config.yaml")], installed);
    assert.equal(shown.code, 0, shown.stderr);
    assert.equal((JSON.parse(shown.stdout) as { clear: { type: string } }).clear.type, "org.example.report");
  });

  test("says on an older Node which one it needs, and ends", () => {
    const entry = join(installed, "node_modules", "matrix-docket", "dist", "docket.mjs");
    const pretend = 'Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.19.0" } });';
    const runs = [run(process.execPath, ["--import", `data:text/javascript,${pretend}`, entry, "--help"], installed)];
    for (const node of otherNodes()) {
      const version = Number(/^v(\d+)/.exec(run(node, ["--version"], installed).stdout)?.[1]);
      if (version < 22) runs.push(run(node, [entry, "--help"], installed));
    }
    const needed = manifest.engines.node.replace(">=", "");
    for (const { code, stdout, stderr } of runs) {
      assert.notEqual(code, 0);
      assert.ok(stderr.includes(`needs Node ${needed}`), stderr);
      assert.equal(stdout, "");
    }
  });

  test("holds what it is made of, and nothing of the development", () => {
    const home = join(installed, "node_modules", "matrix-docket");
    const expected = [
      "CHANGELOG.md",
      "LICENSE",
      "README.md",
      "config.sample.yaml",
      "dist",
      "package.json",
      "packaging",
      "schemas",
    ];
    assert.deepEqual(
      readdirSync(home)
        .filter((name) => name !== "node_modules")
        .sort(),
      expected.sort(),
    );
    const code = readdirSync(join(home, "dist"), { recursive: true, encoding: "utf8" }).filter((file) =>
      file.endsWith(".mjs"),
    );
    const text = code.map((file) => readFileSync(join(home, "dist", file), "utf8")).join("\n");
    assert.doesNotMatch(text, /devserver\/|\/demo\//);
    assert.match(
      readFileSync(join(home, "dist", "THIRD-PARTY-LICENSES.txt"), "utf8"),
      /^matrix-bot-sdk 0\.8\.0 \(MIT\)$/m,
    );
    const all = readdirSync(join(installed, "node_modules"));
    for (const absent of ["matrix-bot-sdk", "express", "request", "fast-check"])
      assert.ok(!all.includes(absent), absent);
  });

  test("is built before it is packed", () => {
    assert.equal(manifest.scripts["prepack"], "node scripts/setup.mjs && node scripts/build.ts");
  });
});
