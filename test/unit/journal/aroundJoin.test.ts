/** Which events of a timeline are from before our join: by the server's word, else by their place, never by their time. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { placedAroundJoin } from "../../../src/journal/aroundJoin.ts";
import type { RawEvent } from "../../../src/protocol/events.ts";
import type { JsonObject } from "../../../src/protocol/json.ts";
import { ALICE, BOT, event, stateEvent } from "../../support/journal.ts";

const member = (membership: string, before?: string): RawEvent => ({
  ...stateEvent("m.room.member", BOT, { membership }),
  ...(before === undefined ? {} : { unsigned: { prev_content: { membership: before } } }),
});
const old = event({ origin_server_ts: 1 });
const said = (unsigned: JsonObject): RawEvent => event({ unsigned });
const before = (timeline: readonly RawEvent[], wasIn = false): boolean[] =>
  placedAroundJoin(timeline, wasIn, BOT).map(({ beforeJoin }) => beforeJoin);

describe("an event", () => {
  it("that stands before our join is from before it, whatever its time; one behind it is not", () => {
    const late = event({ origin_server_ts: 9_999_999_999_999 });
    assert.deepEqual(before([late, member("join"), old]), [true, false, false]);
  });

  it("of a room that we were in is from after our join", () => {
    assert.deepEqual(before([old, event()], true), [false, false]);
  });

  it("of a timeline that begins after our join is from after it", () => {
    assert.deepEqual(before([old, event()]), [false, false]);
  });

  it("between a kick and our return is from before", () => {
    assert.deepEqual(before([old, member("leave", "join"), old, member("join", "leave"), old], true), [
      false,
      true,
      true,
      false,
      false,
    ]);
  });

  it("before our return is from before, also where the kick was cut off, or never seen", () => {
    assert.deepEqual(before([old, member("join", "leave"), old], true), [true, false, false]);
    assert.deepEqual(before([old, member("invite"), old, member("join", "invite"), old]), [
      true,
      true,
      true,
      false,
      false,
    ]);
  });

  it("before our departure is from after our join, also where the join is not in the timeline", () => {
    assert.deepEqual(before([old, member("leave", "join"), old]), [false, true, true]);
    assert.deepEqual(before([old, member("ban"), old]), [false, true, true]);
  });

  it("is placed by our membership alone: that of others says nothing", () => {
    assert.deepEqual(before([old, stateEvent("m.room.member", ALICE, { membership: "join" }), old]), [
      false,
      false,
      false,
    ]);
  });

  it("before a new display name of ours is not from before our join", () => {
    assert.deepEqual(before([old, member("join", "join"), old]), [false, false, false]);
  });

  it("is placed by the server's word where there is one, under either name", () => {
    assert.deepEqual(
      before([
        said({ membership: "invite" }),
        said({ membership: "join" }),
        said({ "io.element.msc4115.membership": "leave" }),
      ]),
      [true, false, true],
    );
    assert.deepEqual(before([said({ membership: 1 }), member("join")]), [true, false], "a word that is none");
  });
});
