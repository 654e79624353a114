/** What the doctor says of the account's key backup. */
import assert from "node:assert/strict";
import test from "node:test";
import { ServerUnreachable } from "../../../../src/errors.ts";
import { backupCheck } from "../../../../src/ops/doctor/backupCheck.ts";
import type { Verdict } from "../../../../src/ops/doctor/finding.ts";
import type { Vitals } from "../../../../src/vitals.ts";
import { known, NOW, running, wellFacts } from "./wellFacts.ts";

async function judged(change: (vitals: Vitals) => void): Promise<Verdict> {
  return backupCheck.judge({ ...(await wellFacts()), bot: running(change) });
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

test("an account without a backup is warned of, but where none is wanted", async () => {
  const absent = running((vitals) => vitals.backupFound({ kind: "absent", version: null }));
  const wanted = await wellFacts();
  const warned = backupCheck.judge({ ...wanted, bot: absent });
  assert.equal(warned.state, "warning");
  assert.match(warned.advice ?? "", /docket identity create/);
  const account = { ...wanted.config.account, createIdentity: false };
  const configuration = { kind: "good", config: { ...wanted.config, account } } as const;
  assert.equal(backupCheck.judge({ ...wanted, configuration, bot: absent }).state, "off");
});

test("without a bot the doctor says whether there is a backup, and no more", async () => {
  const facts = { ...(await wellFacts()), bot: { kind: "stopped" } as const };
  const { server } = facts;
  assert.equal(backupCheck.judge({ ...facts, server: { ...server, backup: known(false) } }).state, "warning");
  const there = backupCheck.judge({ ...facts, server: { ...server, backup: known(true) } });
  assert.equal(there.state, "unknown");
  assert.match(there.found, /a running bot tells/);
});
