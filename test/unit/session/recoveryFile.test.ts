/** The file of the recovery key. */
import assert from "node:assert/strict";
import { lstatSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createRecoveryFile, replaceRecoveryFile } from "../../../src/session/recoveryFile.ts";
import { temporaryDirectory } from "../../support/temporaryDirectory.ts";

test("the file is for its owner alone, and nothing is left beside it", async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, "key");
  assert.deepEqual(await createRecoveryFile(path, "EsTc"), { kind: "written" });
  assert.deepEqual([readFileSync(path, "utf8"), statSync(path).mode & 0o777], ["EsTc\n", 0o600]);
  assert.deepEqual(await createRecoveryFile(path, "EsTc"), { kind: "written" }, "the same again");
  assert.deepEqual(readdirSync(directory), ["key"]);
});

test("a file with something else in it is left alone, unless it is to be replaced", async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, "key");
  writeFileSync(path, "precious", { mode: 0o640 });
  assert.deepEqual(await createRecoveryFile(path, "EsTc"), { kind: "taken" });
  assert.equal(readFileSync(path, "utf8"), "precious");
  assert.deepEqual(await replaceRecoveryFile(path, "EsTc"), { kind: "written" });
  assert.deepEqual([readFileSync(path, "utf8"), statSync(path).mode & 0o777], ["EsTc\n", 0o600]);
  assert.deepEqual(readdirSync(directory), ["key"]);
});

test("a place where no file can be written is said, with the system's reason", async (t) => {
  const directory = temporaryDirectory(t);
  assert.deepEqual(await createRecoveryFile(join(directory, "none", "key"), "EsTc"), {
    kind: "failed",
    code: "ENOENT",
  });
  const taken = join(directory, "directory");
  mkdirSync(taken);
  assert.deepEqual(await replaceRecoveryFile(taken, "EsTc"), { kind: "taken" });
  assert.deepEqual(await createRecoveryFile(taken, "EsTc"), { kind: "taken" });
  assert.deepEqual(readdirSync(directory), ["directory"]);
});

test("a link in place of the file still leads to it after the key was replaced", async (t) => {
  const directory = temporaryDirectory(t);
  const [path, target] = [join(directory, "key"), join(directory, "kept")];
  writeFileSync(target, "old", { mode: 0o600 });
  symlinkSync(target, path);
  assert.deepEqual(await replaceRecoveryFile(path, "EsTc"), { kind: "written" });
  assert.equal(readFileSync(target, "utf8"), "EsTc\n");
  assert.ok(lstatSync(path).isSymbolicLink());
});
