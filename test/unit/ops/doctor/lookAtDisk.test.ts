/** What the doctor sees of files: also that it may not see them. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { lookAtFiles, whyNoDatabase } from "../../../../src/ops/doctor/lookAtDisk.ts";
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts";

const NOBODY = 65_534;

/** Runs as a user whom modes count for. */
function asSomebody<T>(work: () => T): T {
  if (process.geteuid?.() !== 0) return work();
  process.seteuid?.(NOBODY);
  try {
    return work();
  } finally {
    process.seteuid?.(0);
  }
}

test("a directory that this user may not look into is not taken for one that is not there", (t) => {
  const directory = join(temporaryDirectory(t), "data");
  assert.deepEqual(whyNoDatabase(directory), { kind: "absent" });
  mkdirSync(directory);
  assert.deepEqual(whyNoDatabase(directory), { kind: "absent" }, "an empty directory is a new installation too");
  writeFileSync(join(directory, "docket.db"), "");
  assert.equal(whyNoDatabase(directory), null);
  chmodSync(directory, 0o000);
  try {
    assert.deepEqual(
      asSomebody(() => whyNoDatabase(directory)),
      { kind: "denied" },
    );
  } finally {
    chmodSync(directory, 0o700);
  }
});

test("files have the modes that others meet, and what is not there is no file", (t) => {
  const directory = temporaryDirectory(t);
  const file = join(directory, "docket.db");
  writeFileSync(file, "", { mode: 0o600 });
  chmodSync(file, 0o640);
  assert.deepEqual(lookAtFiles(directory, join(directory, "none.yaml")), [
    { path: directory, kind: "data directory", mode: 0o700, sameOwner: true },
    { path: file, kind: "data", mode: 0o640, sameOwner: true },
  ]);
  assert.deepEqual(lookAtFiles(join(directory, "none"), null), []);
  assert.deepEqual(lookAtFiles(null, file), [{ path: file, kind: "configuration", mode: 0o640, sameOwner: true }]);
});
