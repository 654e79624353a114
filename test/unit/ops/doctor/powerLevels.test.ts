/** Power levels as rooms of all versions have them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ServerRefused } from "../../../../src/errors.ts";
import type { Homeserver } from "../../../../src/matrix/homeserver.ts";
import { askPowerLevels, neededFor, powerLevelsIn } from "../../../../src/ops/doctor/powerLevels.ts";
import type { JsonObject } from "../../../../src/protocol/json.ts";
import { ROOM, USER } from "./wellFacts.ts";

test("levels have the defaults of the specification, and may be numbers in texts", () => {
  assert.deepEqual(powerLevelsIn({}, USER), { own: 0, needed: {}, neededByDefault: 0 });
  const levels = powerLevelsIn(
    { users_default: "5", users: { "@x:y": 100 }, events: { a: 20, b: "30", c: {} }, events_default: " 7 " },
    USER,
  );
  assert.deepEqual(levels, { own: 5, needed: { a: 20, b: 30 }, neededByDefault: 7 });
  assert.deepEqual(
    ["a", "b", "c", "toString"].map((type) => neededFor(type, levels)),
    [20, 30, 7, 7],
  );
  assert.equal(powerLevelsIn({ users: { [USER]: -1 }, users_default: 50 }, USER).own, -1);
});

/** A room with this state; what is not there is 404. */
function room(state: Record<string, JsonObject>) {
  const asked: string[] = [];
  const request: Homeserver["request"] = async (_method, endpoint) => {
    const type = endpoint.split("/").at(-1) ?? "";
    asked.push(type);
    const found = state[type];
    if (found === undefined) throw new ServerRefused("none", { status: 404, errcode: "M_NOT_FOUND" });
    return found;
  };
  const ask = { request, signal: new AbortController().signal, timeoutMs: 1_000 };
  return { asked, levels: () => askPowerLevels(ROOM, USER, ["m.room.encrypted"], ask) };
}

test("a room without power levels lets everybody send", async () => {
  const answer = await room({}).levels();
  assert.deepEqual(answer, { kind: "known", value: { own: 0, needed: {}, neededByDefault: 0 } });
});

test("who made a room of version 12 stands above its levels, and of an older one does not", async () => {
  const power = { "m.room.power_levels": { events_default: 50 } };
  const own = async (create: JsonObject): Promise<number | null> => {
    const answer = await room({ ...power, "m.room.create": create }).levels();
    return answer.kind === "known" ? answer.value.own : null;
  };
  assert.equal(await own({ sender: USER, content: { room_version: "12" } }), Number.POSITIVE_INFINITY);
  assert.equal(await own({ sender: "@x:y", content: { room_version: "12", additional_creators: [USER] } }), Infinity);
  assert.equal(await own({ sender: "@x:y", content: { room_version: "12" } }), 0);
  assert.equal(await own({ sender: USER, content: { room_version: "11" } }), 0);
  assert.equal(
    await own({ room_version: "12", additional_creators: [USER] }),
    Infinity,
    "a server without format=event",
  );
  const allowed = room({ "m.room.power_levels": {} });
  await allowed.levels();
  assert.deepEqual(allowed.asked, ["m.room.power_levels"], "who may send need not have made the room");
});
