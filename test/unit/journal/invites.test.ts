import assert from "node:assert/strict";
import { test } from "node:test";
import type { RoomId } from "../../../src/protocol/ids.ts";
import { ALICE, ROOM, batch, openJournal, stateEvent, update } from "../../support/journal.ts";

const invite = { roomId: ROOM, joinRule: null, inviter: ALICE };
const invited = batch({ invites: [invite] });

test("an invitation is on disk with its sync, and still there after a restart", async (t) => {
  const before = openJournal(t);
  await before.inbox.accept(invited);
  before.database.close();
  assert.equal(openJournal(t, before.directory).invites.next("judge").job?.inviter, ALICE);
});

test("an invitation that is taken back, or that somebody else's client accepted, is no job any more", async (t) => {
  for (const membership of ["leave", "join"] as const) {
    const { inbox, invites } = openJournal(t);
    await inbox.accept(invited);
    await inbox.accept(batch({ rooms: [update({ membership })] }));
    assert.equal(invites.next("judge").job, null, membership);
  }
});

test("an invitation that was refused once is a job again when it is sent again", async (t) => {
  const { inbox, invites, clock } = openJournal(t);
  await inbox.accept(invited);
  const { job } = invites.next("judge");
  assert(job);
  invites.finish(job, { kind: "ignored", reason: "inviter_not_allowed" });
  assert.equal(invites.next("judge").job, null);
  clock.time += 1;
  await inbox.accept(batch({ ...invited, receivedAt: clock.now() }));
  assert.equal(invites.next("judge").job?.roomId, ROOM);
});

test("a join that is to be tried again waits for its time, and only a failure counts as a try", async (t) => {
  const { inbox, invites, clock } = openJournal(t);
  await inbox.accept(invited);
  for (const counts of [false, true]) {
    const { job } = invites.next("judge");
    assert(job);
    invites.finish(job, { kind: "retry", notBefore: clock.now() + 1_000, counts });
    assert.deepEqual(invites.next("judge"), { job: null, lookAgainAt: clock.now() + 1_000 });
    clock.time += 1_000;
  }
  assert.equal(invites.next("judge").job?.attempts, 1);
});

test("rooms are counted once, from the join on, whether a sync has shown them or not", async (t) => {
  const { inbox, invites } = openJournal(t);
  const other = "!other:example.org" as RoomId;
  await inbox.accept(batch({ rooms: [update()], invites: [{ ...invite, roomId: other }] }));
  assert.equal(invites.roomCount(), 1);
  const { job } = invites.next("judge");
  assert(job);
  invites.finish(job, { kind: "joined" });
  assert.equal(invites.roomCount(), 2, "before a sync has shown it");
  await inbox.accept(batch({ rooms: [update({ roomId: other })] }));
  assert.equal(invites.roomCount(), 2);
  await inbox.accept(batch({ rooms: [update({ roomId: other, membership: "leave" })] }));
  assert.equal(invites.roomCount(), 1);
});

test("an invitation that was accepted counts in its hour, also where only the sync tells of the join", async (t) => {
  const { inbox, invites, clock } = openJournal(t);
  const start = clock.now();
  await inbox.accept(batch({ invites: [invite] }));
  await inbox.accept(batch({ receivedAt: start + 5, rooms: [update({ roomId: invite.roomId })] }));
  assert.deepEqual(invites.acceptedSince(start, 10), [start + 5]);
  assert.deepEqual(invites.acceptedSince(start + 5, 10), []);
});

test("each acceptance counts, also of invitations to one room again and again", async (t) => {
  const { inbox, invites, clock } = openJournal(t);
  const start = clock.now();
  for (const round of [1, 2, 3]) {
    clock.time = start + round;
    await inbox.accept(batch({ receivedAt: clock.now(), invites: [invite] }));
    const { job } = invites.next("judge");
    assert(job);
    invites.finish(job, { kind: "joined" });
    await inbox.accept(batch({ receivedAt: clock.now(), rooms: [update({ roomId: invite.roomId })] }));
    await inbox.accept(
      batch({ receivedAt: clock.now(), rooms: [update({ roomId: invite.roomId, membership: "leave" })] }),
    );
  }
  assert.deepEqual(invites.acceptedSince(start, 10), [start + 3, start + 2, start + 1]);
  assert.equal(invites.roomCount(), 0);
});

test("a room that we are let into again is counted before a sync shows it", async (t) => {
  const { inbox, invites } = openJournal(t);
  await inbox.accept(batch({ rooms: [update({ roomId: invite.roomId, membership: "leave" })] }));
  await inbox.accept(batch({ invites: [invite] }));
  const { job } = invites.next("judge");
  assert(job);
  invites.finish(job, { kind: "joined" });
  assert.equal(invites.roomCount(), 1);
});

test("a room is looked at once after each join, as it is then, whatever the invitation showed", async (t) => {
  const { inbox, invites } = openJournal(t);
  const state = [stateEvent("m.room.join_rules", "", { join_rule: "public" })];
  for (const _ of [1, 2]) {
    await inbox.accept(batch({ invites: [{ ...invite, joinRule: "invite" }] }));
    await inbox.accept(batch({ rooms: [update({ roomId: invite.roomId, state })] }));
    assert.deepEqual(invites.arrivals(), [{ roomId: invite.roomId, joinRule: "public" }]);
    invites.arrive(invite.roomId);
    assert.deepEqual(invites.arrivals(), []);
    await inbox.accept(batch({ rooms: [update({ roomId: invite.roomId, membership: "leave" })] }));
  }
});

test("waiting for a place forgets no failure, and a change of the policy shortens the wait for a place alone", async (t) => {
  const { inbox, invites, clock } = openJournal(t);
  const other = "!other:example.org" as RoomId;
  await inbox.accept(batch({ invites: [invite, { ...invite, roomId: other }] }));
  const next = (roomId: RoomId) => {
    clock.time += 1;
    const { job } = invites.next("judge");
    assert(job);
    assert.equal(job.roomId, roomId);
    return job;
  };
  const failing = invites.next("judge").job;
  assert(failing);
  invites.finish(failing, { kind: "retry", notBefore: 0, counts: false });
  invites.finish(failing, { kind: "wait", notBefore: clock.now() + 1_000 });
  const last = failing.roomId === ROOM ? other : ROOM;
  invites.finish(next(last), { kind: "retry", notBefore: clock.now() + 500_000, counts: false });
  assert.equal(invites.next("judge").job, null);
  invites.reconsider();
  const again = next(failing.roomId);
  assert.equal(again.failures, 1);
  invites.take(again);
  assert.equal(invites.next("judge").job, null, "the other one keeps the wait that it was asked for");
});

test("what is being answered is nobody else's, whatever changes meanwhile", async (t) => {
  const { inbox, invites } = openJournal(t);
  await inbox.accept(batch({ invites: [invite] }));
  const { job } = invites.next("judge");
  assert(job);
  invites.finish(job, { kind: "declining", reason: "public_room" });
  const declining = invites.next("decline").job;
  assert(declining);
  assert.equal(declining.reason, "public_room");
  invites.take(declining);
  invites.reconsider();
  assert.deepEqual([invites.next("judge").job, invites.next("decline").job], [null, null]);
  invites.release(declining);
  invites.reconsider();
  assert.equal(invites.next("judge").job?.reason, null, "judged anew");
});

test("an invitation to a room that we were in says that we are out, and a join of one that was renewed counts", async (t) => {
  const { inbox, invites, rooms, clock } = openJournal(t);
  const start = clock.now();
  await inbox.accept(batch({ receivedAt: start - 3, invites: [invite] }));
  const { job } = invites.next("judge");
  assert(job);
  await inbox.accept(batch({ receivedAt: start - 2, rooms: [update({ roomId: invite.roomId })] }));
  await inbox.accept(batch({ receivedAt: start - 1, invites: [invite] }));
  assert.equal(rooms.view(invite.roomId)?.membership, "leave");
  invites.finish(job, { kind: "joined" });
  assert.deepEqual(invites.acceptedSince(0, 10), [start, start - 2]);
});
