/** Power levels: who may say what, and the refusals. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import type { HttpClient } from "../support/httpClient.ts";
import type { Scene } from "./scene.ts";

const FORBIDDEN = [403, "M_FORBIDDEN"];

export function permissionsContract(scene: Scene): void {
  let alice: HttpClient;
  let bob: HttpClient;
  let roomId: string;

  before(async () => {
    [alice, bob] = await scene.users("alice", "bob");
    roomId = await scene.room(alice, [bob]);
  });

  test("a member may send any event but no state, and an outsider nothing", async () => {
    const eve = await scene.user("eve");
    await bob.send(roomId, "org.example.custom", "c1");
    await bob.send(roomId, "m.reaction", "c2");
    assert.deepEqual(await bob.verdict("PUT", `/v3/rooms/${roomId}/state/org.example.s/key`, {}), FORBIDDEN);
    assert.deepEqual(await bob.verdict("PUT", `/v3/rooms/${roomId}/state/m.room.name`, { name: "x" }), FORBIDDEN);
    assert.deepEqual(await eve.verdict("PUT", `/v3/rooms/${roomId}/send/org.example.said/1`, {}), FORBIDDEN);
    assert.deepEqual(await eve.verdict("GET", `/v3/rooms/${roomId}/state`), FORBIDDEN);
    assert.deepEqual(
      await eve.verdict("PUT", `/v3/rooms/${roomId}/typing/${eve.userId}`, { typing: false }),
      FORBIDDEN,
    );
  });

  test("the level for an event type counts, then that for all events, and a level given to a user lifts it", async () => {
    const levels = await alice.call("GET", `/v3/rooms/${roomId}/state/m.room.power_levels`);
    const set = (changes: object): Promise<unknown> =>
      alice.call("PUT", `/v3/rooms/${roomId}/state/m.room.power_levels`, { ...levels, ...changes });
    const send = (type: string, txnId: string): Promise<unknown> =>
      bob.verdict("PUT", `/v3/rooms/${roomId}/send/${type}/${txnId}`, {});
    await set({ events: { "org.example.high": 60 }, events_default: 20 });
    assert.deepEqual(await send("org.example.high", "h1"), FORBIDDEN);
    assert.deepEqual(await send("org.example.any", "a1"), FORBIDDEN);
    await set({
      events: { "org.example.high": 60 },
      events_default: 20,
      users: { [alice.userId]: 100, [bob.userId]: 30 },
    });
    assert.deepEqual(await send("org.example.high", "h1"), FORBIDDEN, "a refused transaction may come again");
    assert.deepEqual(await send("org.example.any", "a1"), [200, null]);
    await set({ users: { [alice.userId]: 100, [bob.userId]: 60 } });
    assert.deepEqual(await bob.verdict("PUT", `/v3/rooms/${roomId}/state/org.example.s`, {}), [200, null]);
    await set({});
  });

  test("kick, ban and invite need their levels, and nobody is removed by who stands no higher", async () => {
    const room = await scene.room(alice, [bob], {
      power_level_content_override: { invite: 50, users: { [alice.userId]: 100, [bob.userId]: 100 } },
    });
    const carol = await scene.user("carol");
    assert.deepEqual(await bob.verdict("POST", `/v3/rooms/${room}/kick`, { user_id: alice.userId }), FORBIDDEN);
    await bob.call("POST", `/v3/rooms/${room}/invite`, { user_id: carol.userId });
    await carol.call("POST", `/v3/join/${room}`, {});
    const dave = await scene.user("dave");
    assert.deepEqual(await carol.verdict("POST", `/v3/rooms/${room}/invite`, { user_id: dave.userId }), FORBIDDEN);
    for (const how of ["kick", "ban"])
      assert.deepEqual(await carol.verdict("POST", `/v3/rooms/${room}/${how}`, { user_id: bob.userId }), FORBIDDEN);
    await bob.call("POST", `/v3/rooms/${room}/ban`, { user_id: carol.userId });
    assert.deepEqual(await carol.verdict("POST", `/v3/join/${room}`, {}), [403, "M_BAD_STATE"]);
    const again = await bob.verdict("POST", `/v3/rooms/${room}/invite`, { user_id: carol.userId });
    assert.deepEqual(again, [403, "M_BAD_STATE"]);
    assert.deepEqual(await carol.verdict("POST", `/v3/rooms/${room}/unban`, { user_id: carol.userId }), FORBIDDEN);
    await bob.call("POST", `/v3/rooms/${room}/unban`, { user_id: carol.userId });
    await bob.call("POST", `/v3/rooms/${room}/invite`, { user_id: carol.userId });
    await carol.call("POST", `/v3/join/${room}`, {});
  });

  test("the creator of a version 12 room needs no level; before, a creator is like others", async () => {
    const newer = await scene.room(alice, [bob], { room_version: "12" });
    const levels = await alice.call("GET", `/v3/rooms/${newer}/state/m.room.power_levels`);
    assert.deepEqual(levels["users"], {});
    await alice.call("PUT", `/v3/rooms/${newer}/state/m.room.name`, { name: "by the creator" });
    assert.deepEqual(await bob.verdict("PUT", `/v3/rooms/${newer}/state/m.room.name`, { name: "no" }), FORBIDDEN);

    const older = await scene.room(alice);
    const own = await alice.call("GET", `/v3/rooms/${older}/state/m.room.power_levels`);
    await alice.call("PUT", `/v3/rooms/${older}/state/m.room.power_levels`, { ...own, users: {} });
    assert.deepEqual(await alice.verdict("PUT", `/v3/rooms/${older}/state/m.room.name`, { name: "x" }), FORBIDDEN);
  });
}
