import assert from "node:assert/strict";
import { test } from "node:test";
import { ALICE, ROOM, batch, openJournal, update } from "../../support/journal.ts";

const invited = batch({ invites: [{ roomId: ROOM, joinRule: null, inviter: ALICE }] });

test("an invitation is on disk with its sync, and still there after a restart", async (t) => {
  const before = openJournal(t);
  await before.inbox.accept(invited);
  before.database.close();
  assert.equal(openJournal(t, before.directory).invites.next().job?.inviter, ALICE);
});

test("an invitation that is taken back, or that somebody else's client accepted, is no job any more", async (t) => {
  for (const membership of ["leave", "join"] as const) {
    const { inbox, invites } = openJournal(t);
    await inbox.accept(invited);
    await inbox.accept(batch({ rooms: [update({ membership })] }));
    assert.equal(invites.next().job, null, membership);
  }
});

test("an invitation that was refused once is a job again when it is sent again", async (t) => {
  const { inbox, invites, clock } = openJournal(t);
  await inbox.accept(invited);
  const { job } = invites.next();
  assert(job);
  invites.finish(job, { kind: "ignored", reason: "inviter_not_allowed" });
  assert.equal(invites.next().job, null);
  clock.time += 1;
  await inbox.accept(batch({ ...invited, receivedAt: clock.now() }));
  assert.equal(invites.next().job?.roomId, ROOM);
});

test("a join that is to be tried again waits for its time, and only a failure counts as a try", async (t) => {
  const { inbox, invites, clock } = openJournal(t);
  await inbox.accept(invited);
  for (const counts of [false, true]) {
    const { job } = invites.next();
    assert(job);
    invites.finish(job, { kind: "retry", notBefore: clock.now() + 1_000, counts });
    assert.deepEqual(invites.next(), { job: null, lookAgainAt: clock.now() + 1_000 });
    clock.time += 1_000;
  }
  assert.equal(invites.next().job?.attempts, 1);
});
