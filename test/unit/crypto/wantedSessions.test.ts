/** Which sessions are asked for, and when. */
import assert from "node:assert/strict";
import test from "node:test";
import { WANTED_LIMITS, WantedSessions } from "../../../src/crypto/wantedSessions.ts";
import type { RoomId } from "../../../src/protocol/ids.ts";
import { ManualClock } from "../../support/journal.ts";

const session = (sessionId: string, room = "a") => ({ roomId: `!${room}:example.org` as RoomId, sessionId });

function taken(wanted: WantedSessions): string[] {
  const all: string[] = [];
  for (let next = wanted.take(); next !== null; next = wanted.take()) all.push(next.sessionId);
  return all;
}

test("rooms take turns, whatever one of them wants", () => {
  const wanted = new WantedSessions(new ManualClock(), WANTED_LIMITS);
  for (const id of ["a1", "a2", "a3"]) wanted.add(session(id, "a"));
  for (const id of ["b1", "b2"]) wanted.add(session(id, "b"));
  assert.deepEqual(taken(wanted), ["a1", "b1", "a2", "b2", "a3"]);
});

test("a session is asked for once at a time, and what is no session ID never", () => {
  const wanted = new WantedSessions(new ManualClock(), WANTED_LIMITS);
  assert.equal(wanted.add(session("s")), true);
  assert.equal(wanted.add(session("s")), false, "it waits");
  assert.deepEqual(wanted.take(), session("s"));
  assert.equal(wanted.add(session("s")), false, "it is being asked for");
  wanted.putBack(session("s"));
  assert.deepEqual(taken(wanted), ["s"]);
  for (const odd of ["", ".", "..", "a b", "a/b/../c?", "x".repeat(256), "\ud800"])
    assert.equal(wanted.add(session(odd)), false, odd);
});

test("what was not there is asked for again after pauses that grow, and at once in another backup", () => {
  const clock = new ManualClock();
  const wanted = new WantedSessions(clock, { ...WANTED_LIMITS, againAfterMs: [1_000, 5_000] });
  for (const pauseMs of [1_000, 5_000, 5_000]) {
    assert.equal(wanted.add(session("s")), true);
    assert.deepEqual(taken(wanted), ["s"]);
    wanted.notThere(session("s"));
    clock.time += pauseMs - 1;
    assert.equal(wanted.add(session("s")), false);
    clock.time += 1;
  }
  assert.equal(wanted.add(session("s")), true);
  taken(wanted);
  wanted.notThere(session("s"));
  wanted.forgetMissing();
  assert.equal(wanted.add(session("s")), true);
});

test("no more requests than allowed go out, however many sessions are named", () => {
  const clock = new ManualClock();
  const wanted = new WantedSessions(clock, { ...WANTED_LIMITS, burst: 10, perMinute: 60 });
  let added = 0;
  for (let room = 0; room < 100; room += 1)
    for (let number = 0; number < 1_000; number += 1)
      if (wanted.add(session(`${room}-${number}`, String(room)))) added += 1;
  assert.equal(added, WANTED_LIMITS.most, "and what waits is bounded");
  assert.equal(taken(wanted).length, 10);
  assert.equal(wanted.nextInMs(), 1_000);
  clock.time += 3_000;
  assert.equal(taken(wanted).length, 3);
  clock.time += 3_600_000;
  assert.equal(taken(wanted).length, 10, "a rest allows no more than the first time");
});

test("one room's sessions leave place for others", () => {
  const wanted = new WantedSessions(new ManualClock(), WANTED_LIMITS);
  for (let number = 0; number < 10_000; number += 1) wanted.add(session(`s${number}`, "flood"));
  assert.equal(wanted.add(session("s", "other")), true);
});

test("of what was not there the oldest is forgotten first", () => {
  const wanted = new WantedSessions(new ManualClock(), { ...WANTED_LIMITS, mostMissing: 2 });
  for (const id of ["a", "b", "c"]) {
    wanted.add(session(id));
    taken(wanted);
    wanted.notThere(session(id));
  }
  assert.deepEqual(
    ["a", "b", "c"].map((id) => wanted.add(session(id))),
    [true, false, false],
  );
});
