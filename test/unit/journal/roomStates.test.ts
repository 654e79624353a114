import assert from "node:assert/strict";
import { test } from "node:test";
import { readSyncResponse } from "../../../src/session/syncResponse.ts";
import type { UserId } from "../../../src/protocol/ids.ts";
import { ALICE, BOT, ROOM, batch, openJournal, stateEvent, update } from "../../support/journal.ts";

const BOB = "@bob:example.org" as UserId;
const member = (user: UserId, membership: string) => stateEvent("m.room.member", user, { membership });
const encryption = (content: Record<string, string | number> = {}) =>
  stateEvent("m.room.encryption", "", { algorithm: "m.megolm.v1.aes-sha2", ...content });

test("a room that was seen encrypted once stays encrypted, whatever the server sends or withholds later", async (t) => {
  const { inbox, rooms } = openJournal(t);
  await inbox.accept(batch({ rooms: [update({ state: [encryption()] })] }));
  await inbox.accept(batch({ rooms: [update({ timeline: [stateEvent("m.room.encryption", "", {})] })] }));
  await inbox.accept(batch({ rooms: [update({ membership: "leave" })] }));
  await inbox.accept(batch({ rooms: [update({ state: [member(ALICE, "join")] })] }));
  const view = rooms.view(ROOM);
  assert.equal(view?.everEncrypted, true);
  assert.equal(view?.encryption["algorithm"], "m.megolm.v1.aes-sha2");
});

test("rotation settings only become stricter", async (t) => {
  const { inbox, rooms } = openJournal(t);
  await inbox.accept(
    batch({ rooms: [update({ state: [encryption({ rotation_period_msgs: 10, rotation_period_ms: 1000 })] })] }),
  );
  await inbox.accept(
    batch({ rooms: [update({ timeline: [encryption({ rotation_period_msgs: 5000, rotation_period_ms: 100 })] })] }),
  );
  assert.deepEqual(rooms.view(ROOM)?.encryption, {
    algorithm: "m.megolm.v1.aes-sha2",
    rotation_period_msgs: 10,
    rotation_period_ms: 100,
  });
});

test("an encryption event counts even where it stands in a timeline that is not the current state", async (t) => {
  const { inbox, rooms } = openJournal(t);
  await inbox.accept(batch({ rooms: [update({ stateIs: "after_timeline", timeline: [encryption()] })] }));
  assert.equal(rooms.view(ROOM)?.everEncrypted, true);
});

test("recipients are joined members, and invited ones unless history visibility is joined", async (t) => {
  const { inbox, rooms } = openJournal(t);
  const state = [member(BOT, "join"), member(ALICE, "join"), member(BOB, "invite")];
  await inbox.accept(batch({ rooms: [update({ state })] }));
  const shared = rooms.view(ROOM);
  assert(shared);
  assert.deepEqual(rooms.recipients(shared), [ALICE, BOB, BOT]);
  const joined = stateEvent("m.room.history_visibility", "", { history_visibility: "joined" });
  await inbox.accept(batch({ rooms: [update({ timeline: [joined, member(ALICE, "leave")] })] }));
  const restricted = rooms.view(ROOM);
  assert(restricted);
  assert.deepEqual(rooms.recipients(restricted), [BOT]);
});

test("state after the timeline is the current state: the timeline's own is not applied over it", async (t) => {
  const { inbox, rooms } = openJournal(t);
  await inbox.accept(
    batch({
      rooms: [
        update({ stateIs: "after_timeline", state: [member(ALICE, "join")], timeline: [member(ALICE, "leave")] }),
      ],
    }),
  );
  const view = rooms.view(ROOM);
  assert(view);
  assert.deepEqual(rooms.recipients(view), [ALICE]);
});

test("members of a room that is joined again are those of the new state, not the remembered ones", async (t) => {
  const { inbox, rooms } = openJournal(t);
  await inbox.accept(batch({ rooms: [update({ state: [member(ALICE, "join"), member(BOB, "join")] })] }));
  await inbox.accept(batch({ rooms: [update({ membership: "leave" })] }));
  await inbox.accept(batch({ rooms: [update({ state: [member(ALICE, "join")] })] }));
  const view = rooms.view(ROOM);
  assert(view);
  assert.deepEqual(rooms.recipients(view), [ALICE]);
});

test("nothing is guessed about a room that was never heard of", (t) => {
  assert.equal(openJournal(t).rooms.view(ROOM), null);
});

test("an encryption event that is malformed otherwise still makes the room encrypted", async (t) => {
  const { inbox, rooms } = openJournal(t);
  const response = (events: object[]) => ({ next_batch: "n", rooms: { join: { [ROOM]: { state: { events } } } } });
  const broken = { ...encryption(), origin_server_ts: 1.5 };
  const read = readSyncResponse(response([broken]), BOT);
  assert(read.ok);
  await inbox.accept(batch({ rooms: read.contents.rooms }));
  assert.equal(rooms.view(ROOM)?.everEncrypted, true);
  await inbox.accept(batch({ rooms: [update({ timeline: [encryption({ rotation_period_msgs: 3 })] })] }));
  assert.equal(rooms.view(ROOM)?.encryption["rotation_period_msgs"], 3);
});

test("a room is empty from when the last other member, joined or invited, is gone, until somebody is there again", async (t) => {
  const { inbox, rooms } = openJournal(t);
  const at = async (receivedAt: number, ...timeline: ReturnType<typeof member>[]): Promise<void> => {
    await inbox.accept(batch({ receivedAt, rooms: [update({ timeline })] }));
  };
  await at(1_000, member(BOT, "join"), member(ALICE, "join"), member(BOB, "invite"));
  assert.equal(rooms.oldestSolitude(), null);
  await at(2_000, member(ALICE, "leave"));
  assert.equal(rooms.oldestSolitude(), null, "somebody is invited");
  await at(3_000, member(BOB, "leave"));
  await at(4_000);
  assert.equal(rooms.oldestSolitude(), 3_000, "what follows does not start it anew");
  assert.deepEqual([rooms.aloneSinceBefore(2_999), rooms.aloneSinceBefore(3_000)], [[], [ROOM]]);
  await at(5_000, member(BOB, "join"));
  assert.deepEqual(rooms.aloneSinceBefore(9_000), []);
  await at(6_000, member(BOB, "ban"));
  rooms.notAlone(ROOM);
  assert.equal(rooms.oldestSolitude(), null);
  await at(7_000);
  await inbox.accept(batch({ rooms: [update({ membership: "leave" })] }));
  assert.deepEqual(rooms.aloneSinceBefore(9_000), [], "a room that we are not in is not ours to leave");
});
