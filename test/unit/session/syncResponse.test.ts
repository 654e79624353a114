import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readSyncResponse } from "../../../src/session/syncResponse.ts";
import { BOT, ROOM, event } from "../../support/journal.ts";

const timelineOf = (events: unknown) => ({ next_batch: "n", rooms: { join: { [ROOM]: { timeline: { events } } } } });

test("any JSON value in, contents or a clear reason out, never a throw", () => {
  const part = fc.jsonValue({ maxDepth: 4 });
  const frame = fc.record(
    {
      next_batch: fc.oneof(fc.string(), part),
      rooms: fc.oneof(
        part,
        fc.record({ join: fc.dictionary(fc.string(), part), invite: part, leave: part }, { requiredKeys: [] }),
      ),
      to_device: part,
      device_lists: part,
      device_one_time_keys_count: part,
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.oneof(part, frame), (value) => {
      const read = readSyncResponse(value, BOT);
      assert(read.ok ? read.contents.nextBatch !== "" : read.problem.length > 0);
    }),
    { numRuns: 500 },
  );
});

test("a response whose frame is broken is refused as a whole, and the reason names the part", () => {
  for (const [response, problem] of [
    [[], /not an object/],
    [{}, /next_batch is not a string/],
    [{ next_batch: "n", rooms: 7 }, /rooms is not an object/],
    [{ next_batch: "n", rooms: { join: { [ROOM]: [] } } }, /a room in join is not an object/],
    [timelineOf("text"), /events is not a list/],
    [{ next_batch: "n", to_device: { events: {} } }, /events is not a list/],
  ] as const) {
    const read = readSyncResponse(response, BOT);
    assert(!read.ok);
    assert.match(read.problem, problem);
  }
});

test("an event that is none is set aside as it came, and its neighbours are kept", () => {
  const good = event();
  const bad = [
    7,
    null,
    {},
    { ...event(), sender: 7 },
    { ...event(), content: "x" },
    { ...event(), origin_server_ts: 1.5 },
    { ...event(), state_key: 1 },
  ];
  const read = readSyncResponse(timelineOf([...bad, good]), BOT);
  assert(read.ok);
  assert.deepEqual(read.contents.rooms[0]?.timeline, [good]);
  assert.deepEqual(
    read.contents.malformed.map(({ raw }) => raw),
    bad,
  );
});

test("an event nested too deep to be written down is set aside without its content", () => {
  const deep = `${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`;
  const read = readSyncResponse(timelineOf([{ ...event(), content: JSON.parse(deep) }]), BOT);
  assert(read.ok);
  assert.deepEqual(
    read.contents.malformed.map(({ raw }) => raw),
    [null],
  );
  assert.match(read.contents.malformed[0]?.problem ?? "", /levels deep/);
});

test("a to-device message that is none, or too deep to be written down, is set aside, and its neighbours are kept", () => {
  const deep = JSON.parse(`${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`) as object;
  const good = { type: "m.dummy", sender: BOT, content: {} };
  const read = readSyncResponse({ next_batch: "n", to_device: { events: [7, deep, good] } }, BOT);
  assert(read.ok);
  assert.deepEqual(read.contents.crypto.toDevice, [good]);
  assert.deepEqual(
    read.contents.malformed.map(({ roomId, raw }) => [roomId, raw]),
    [
      [null, 7],
      [null, null],
    ],
  );
});

test("an invitation counts only with an inviter in our own member event", () => {
  const member = (fields: object) => ({
    type: "m.room.member",
    state_key: BOT,
    sender: "@alice:example.org",
    content: { membership: "invite" },
    ...fields,
  });
  const invite = (...events: object[]) => ({
    next_batch: "n",
    rooms: { invite: { [ROOM]: { invite_state: { events } } } },
  });
  const read = (response: unknown) => {
    const result = readSyncResponse(response, BOT);
    assert(result.ok);
    assert.equal(
      result.contents.malformed.length,
      1 - result.contents.invites.length,
      "it is said where there is none",
    );
    return result.contents.invites;
  };
  const invitation = { roomId: ROOM, inviter: "@alice:example.org", joinRule: null };
  assert.deepEqual(read(invite(member({}))), [invitation]);
  const rule = {
    type: "m.room.join_rules",
    state_key: "",
    sender: "@alice:example.org",
    content: { join_rule: "public" },
  };
  assert.deepEqual(read(invite(rule, member({}))), [{ ...invitation, joinRule: "public" }]);
  assert.deepEqual(read(invite({ ...rule, content: { join_rule: 1 } }, member({}))), [invitation]);
  assert.deepEqual(read(invite(member({ state_key: "@bob:example.org" }))), []);
  assert.deepEqual(read(invite(member({ sender: undefined }))), []);
  assert.deepEqual(read(invite()), []);
});

test("missing fallback key types stay undefined: an empty list means that none is left", () => {
  const read = (extra: object) => {
    const result = readSyncResponse({ next_batch: "n", ...extra }, BOT);
    assert(result.ok);
    return result.contents.crypto;
  };
  assert.equal(read({}).unusedFallbackKeyTypes, undefined);
  assert.deepEqual(read({ device_unused_fallback_key_types: [] }).unusedFallbackKeyTypes, []);
  assert.deepEqual(read({ device_one_time_keys_count: { signed_curve25519: 12, odd: "x" } }).oneTimeKeyCounts, {
    signed_curve25519: 12,
  });
});

test("state_after is taken as the state after the timeline, under its stable and its unstable name", () => {
  for (const name of ["state_after", "org.matrix.msc4222.state_after"]) {
    const state = { ...event({ type: "m.room.topic" }), state_key: "" };
    const read = readSyncResponse(
      { next_batch: "n", rooms: { join: { [ROOM]: { [name]: { events: [state] } } } } },
      BOT,
    );
    assert(read.ok);
    assert.equal(read.contents.rooms[0]?.stateIs, "after_timeline");
    assert.equal(read.contents.rooms[0]?.state.length, 1);
  }
});

test("a room whose ID is none is set aside, and its neighbours are kept", () => {
  const join = Object.fromEntries(["..", "norm", "!a b", "!\ud800", `!${"x".repeat(300)}`, ROOM].map((id) => [id, {}]));
  const read = readSyncResponse({ next_batch: "n", rooms: { join } }, BOT);
  assert(read.ok);
  assert.deepEqual(
    read.contents.rooms.map(({ roomId }) => roomId),
    [ROOM],
  );
  assert.equal(read.contents.malformed.length, 5);
});
