/** What the doctor says of the account's key backup. */
import assert from "node:assert/strict";
import test from "node:test";
import { ServerUnreachable } from "../../../../src/errors.ts";
import { backupCheck } from "../../../../src/ops/doctor/backupCheck.ts";
import type { Verdict } from "../../../../src/ops/doctor/finding.ts";
import type { Vitals } from "../../../../src/vitals.ts";
import { known, NOW, running, wellFacts } from "./wellFacts.ts";

async function judged(change: (vitals: Vitals) => void, isThere = true): Promise<Verdict> {
  const facts = await wellFacts();
  return backupCheck.judge({ ...facts, bot: running(change), server: { ...facts.server, backup: known(isThere) } });
}

test("a backup in use is well, with how much is in it; a failed upload, a foreign version and a missing key are warned of", async () => {
  const well = await judged((vitals) => {
    vitals.backupFound({ kind: "in_use", version: "3" });
    vitals.backedUp({ total: 12, backedUp: 10 });
  });
  assert.equal(well.state, "ok");
  assert.match(well.found, /version "3".* 10 of 12 room keys/);
  const failed = await judged((vitals) => {
    vitals.backupFound({ kind: "in_use", version: "3" });
    vitals.backupFailed(NOW, new ServerUnreachable("The server is away", { doubtful: false }));
  });
  assert.equal(failed.state, "warning");
  assert.match(failed.found, /The server is away\./);
  for (const kind of ["untrusted", "unsupported", "upload_only"] as const)
    assert.equal((await judged((vitals) => vitals.backupFound({ kind, version: "\u001b[2J" }))).state, "warning", kind);
  const hostile = await judged((vitals) => vitals.backupFound({ kind: "untrusted", version: "\u001b[2J" }));
  assert.equal(hostile.found.includes("\u001b"), false);
  assert.match(hostile.advice ?? "", /docket identity restore/);
});

test("without a bot the doctor says whether there is a backup, and no more", async () => {
  assert.equal((await judged(() => undefined, false)).state, "off");
  const there = await judged(() => undefined, true);
  assert.equal(there.state, "unknown");
  assert.match(there.found, /a running bot tells/);
});
