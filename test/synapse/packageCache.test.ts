/** The packages between runs: by apt and dpkg as they are, on a small archive. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";
import { preparePackages, type PackageSet } from "./packageCache.ts";
import { filesIn, makeArchive, runProgram, type SmallArchive } from "./smallArchive.ts";

const CHILD = fileURLToPath(new URL("packageCacheChild.ts", import.meta.url));
const DAY_MS = 86_400_000;

interface Scene {
  readonly archive: SmallArchive;
  readonly folder: string;
  /** What was said since the last look. */
  said(): string;
  /** @param atMs by the clock of the cache */
  prepare(atMs: number, refresh?: boolean): Promise<PackageSet>;
  /** IDs of the unpacked sets. */
  sets(): string[];
}

function scene(t: TestContext, parts = 0): Scene {
  const directory = temporaryDirectory(t);
  const archive = makeArchive(directory, parts);
  const folder = join(directory, "cache");
  let lines: string[] = [];
  return {
    archive,
    folder,
    said() {
      const text = lines.join("\n");
      lines = [];
      return text;
    },
    prepare: (atMs, refresh = false) =>
      preparePackages({
        folder,
        wanted: () => archive.wanted,
        tryOut: (root) => Promise.resolve(runProgram(root)),
        say: (line) => void lines.push(line),
        now: () => atMs,
        refresh,
      }),
    sets: () => readdirSync(join(folder, "sets")),
  };
}

test("a set is unpacked whole, no script of a package runs, and the archive is asked again only after a day or on demand", async (t) => {
  const { archive, prepare, said } = scene(t, 3);
  archive.publish("1.0");
  const set = await prepare(0);
  assert.equal(set.version, "1.0");
  assert.equal(filesIn(set.root), 4);
  said();
  archive.publish("1.1");
  assert.equal((await prepare(DAY_MS - 1)).version, "1.0");
  assert.equal(said(), "");
  assert.equal((await prepare(DAY_MS)).version, "1.1");
  archive.publish("1.2");
  assert.equal((await prepare(DAY_MS + 1, true)).version, "1.2");
});

test("a set that does not work is not used: the last good one is, with the reason, until the archive has a better one", async (t) => {
  const { archive, prepare, said, sets } = scene(t);
  archive.publish("1.0");
  const first = await prepare(0);
  said();
  archive.publish("2.0", false);
  assert.deepEqual(await prepare(DAY_MS), first);
  assert.match(said(), /using the last good set \(version 1\.0\).*does not work.*it does not start/s);
  assert.equal(sets().length, 1);
  assert.deepEqual(await prepare(DAY_MS + 1), first);
  assert.match(said(), /using the last good set/);
  assert.deepEqual(await prepare(2 * DAY_MS), first);
  assert.doesNotMatch(said(), /unpacking/, "what is known not to work is not unpacked again");
  archive.publish("2.1");
  assert.equal((await prepare(3 * DAY_MS)).version, "2.1");
  assert.doesNotMatch(said(), /last good/);
  assert(existsSync(first.root), "another run may be using it");
  archive.publish("2.2");
  assert.equal((await prepare(4 * DAY_MS)).version, "2.2");
  assert.equal(existsSync(first.root), false);
  assert.equal(sets().length, 2);
});

test("an archive that can't be reached is got around with the last good set, and without one that is an error", async (t) => {
  const { archive, prepare, said } = scene(t);
  archive.close();
  await assert.rejects(prepare(0), /there are no packages that work: apt-get failed/);
  archive.publish("1.0");
  const first = await prepare(1);
  archive.close();
  said();
  assert.deepEqual(await prepare(DAY_MS + 1), first);
  assert.match(said(), /using the last good set \(version 1\.0\): apt-get failed/);
});

test("an archive whose signature does not hold is refused", async (t) => {
  const { archive, prepare } = scene(t);
  archive.publish("1.0");
  const [stanza = ""] = archive.wanted.stanzas;
  archive.wanted.stanzas[0] = stanza.replace("Trusted: yes\n", "");
  await assert.rejects(prepare(0), /not signed/);
});

/** @returns a folder with a `dpkg-deb` that unpacks one package, and then kills whoever wants the next */
function killingUnpacker(t: TestContext): string {
  const folder = temporaryDirectory(t);
  const script = `#!/bin/sh
if mkdir "$0.first" 2>&-; then
  PATH="\${PATH#*:}" dpkg-deb "$@" && mkdir "$0.done"
else
  until [ -d "$0.done" ]; do sleep 0.01; done
  kill -KILL "$PPID"
fi
`;
  writeFileSync(join(folder, "dpkg-deb"), script, { mode: 0o755 });
  return folder;
}

test("a run that is killed while it unpacks leaves nothing that the next one would use, and no lock", async (t) => {
  const { archive, folder, prepare } = scene(t, 30);
  archive.publish("1.0");
  const child = spawn(process.execPath, [CHILD, folder, JSON.stringify(archive.wanted)], {
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, PATH: `${killingUnpacker(t)}${delimiter}${process.env["PATH"] ?? ""}` },
  });
  t.after(() => child.kill("SIGKILL"));
  const [, signal] = await once(child, "exit");
  assert.equal(signal, "SIGKILL");
  assert(
    readdirSync(folder).some((name) => name.startsWith("unpacking-")),
    "it was killed half-way",
  );
  const set = await prepare(0);
  assert.equal(filesIn(set.root), 31);
  assert.deepEqual(readdirSync(folder).sort(), ["apt", "lock", "sets", "state.json"]);
});

test("of two runs at once one unpacks, and both use the same set", async (t) => {
  const { archive, folder } = scene(t, 10);
  archive.publish("1.0");
  const run = promisify(execFile);
  const args = [CHILD, folder, JSON.stringify(archive.wanted)];
  const outputs = await Promise.all([run(process.execPath, args), run(process.execPath, args)]);
  const unpacked = outputs.filter(({ stdout }) => stdout.includes("unpacking"));
  assert.equal(unpacked.length, 1);
  const sets = outputs.map(({ stdout }) => JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as PackageSet);
  assert.deepEqual(sets[0], sets[1]);
  assert.equal(filesIn(sets[0]?.root ?? ""), 11);
});
