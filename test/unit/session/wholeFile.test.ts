import assert from "node:assert/strict";
import { lstatSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { isTaken, writeWholeFile } from "../../../src/session/wholeFile.ts";
import { temporaryDirectory } from "../../support/temporaryDirectory.ts";

const { signal } = new AbortController();

test("a file is whole, readable for its owner alone, and nothing else is left beside it", async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, "keys.txt");
  const text = "x".repeat(1_000_000);
  assert.deepEqual(await writeWholeFile(path, text, { replace: false, signal }), { ok: true });
  assert.equal(readFileSync(path, "utf8"), text);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(directory), ["keys.txt"]);
});

test("what came there meanwhile is not replaced, unless that is wanted", async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, "keys.txt");
  writeFileSync(path, "theirs", { mode: 0o644 });
  const dangling = join(directory, "dangling");
  symlinkSync(join(directory, "nothing"), dangling);
  for (const taken of [path, dangling]) {
    assert.equal(await isTaken(taken), true);
    assert.deepEqual(await writeWholeFile(taken, "ours", { replace: false, signal }), { ok: false, problem: "exists" });
  }
  assert.equal(readFileSync(path, "utf8"), "theirs");
  assert.deepEqual(await writeWholeFile(path, "ours", { replace: true, signal }), { ok: true });
  assert.deepEqual([readFileSync(path, "utf8"), lstatSync(path).mode & 0o777], ["ours", 0o600]);
  assert.deepEqual(readdirSync(directory).toSorted(), ["dangling", "keys.txt"]);
});

test("one that was interrupted leaves nothing under its name", async (t) => {
  const directory = temporaryDirectory(t);
  const stopping = new AbortController();
  stopping.abort();
  const path = join(directory, "keys.txt");
  await assert.rejects(writeWholeFile(path, "half", { replace: true, signal: stopping.signal }));
  assert.deepEqual(readdirSync(directory), []);
});

test("a place that can't be written is told by its code", async (t) => {
  const directory = temporaryDirectory(t);
  const below = join(directory, "missing", "keys.txt");
  const written = await writeWholeFile(below, "text", { replace: false, signal });
  assert.deepEqual(written, { ok: false, problem: { code: "ENOENT" } });
});

test("what is no file is not replaced by one, and where a link leads to a file, that one is replaced", async (t) => {
  const directory = temporaryDirectory(t);
  const [folder, toDevice, file, toFile] = ["folder", "device", "file", "link"].map((name) =>
    join(directory, name),
  ) as [string, string, string, string];
  mkdirSync(folder);
  symlinkSync("/dev/full", toDevice);
  for (const other of [folder, toDevice, "/dev/full"])
    for (const replace of [true, false])
      assert.deepEqual(await writeWholeFile(other, "ours", { replace, signal }), { ok: false, problem: "no_file" });
  assert.ok(lstatSync("/dev/full").isCharacterDevice());
  assert.ok(lstatSync(toDevice).isSymbolicLink());
  writeFileSync(file, "old");
  symlinkSync(file, toFile);
  assert.deepEqual(await writeWholeFile(toFile, "ours", { replace: true, signal }), { ok: true });
  assert.ok(lstatSync(toFile).isSymbolicLink());
  assert.equal(readFileSync(file, "utf8"), "ours");
});
