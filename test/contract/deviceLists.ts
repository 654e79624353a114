/** `device_lists` of a sync, and `/keys/changes`: whose devices must be asked for again, and who is out of sight. */
import assert from "node:assert/strict";
import { before, beforeEach, test } from "node:test";
import type { JsonObject } from "../../src/protocol/json.ts";
import { at, type HttpClient } from "../support/httpClient.ts";
import { deviceKeys, uploadKeys } from "./keyMaterial.ts";
import type { Scene } from "./scene.ts";

export function deviceListsContract(scene: Scene): void {
  let alice: HttpClient;
  let bob: HttpClient;

  before(async () => {
    alice = await scene.user("alice");
    await uploadKeys(alice);
  });
  beforeEach(async () => {
    bob = await scene.user("bob");
    await uploadKeys(bob);
  });

  const names = (sync: JsonObject, list: "changed" | "left", who = bob): boolean => {
    const found = at(sync, "device_lists", list);
    return Array.isArray(found) && found.includes(who.userId);
  };

  test("who joins a room is changed for those who are in it, and they for who joins", async () => {
    const roomId = await scene.room(alice, [], { invite: [bob.userId] });
    const [ofAlice, ofBob] = [await alice.now(), await bob.now()];
    await bob.call("POST", `/v3/join/${roomId}`, {});
    await alice.syncUntil(ofAlice, (sync) => names(sync, "changed"));
    await bob.syncUntil(ofBob, (sync) => names(sync, "changed", alice));
  });

  test("a new identity of a device is a change for whoever shares a room, and for the user's own devices", async () => {
    const roomId = await scene.room(alice, [bob]);
    const tablet = await scene.device(bob, "tablet");
    await uploadKeys(tablet);
    const started = await alice.now();
    await bob.call("POST", "/v3/keys/upload", { device_keys: deviceKeys(bob, "another") });
    const changed = await alice.syncUntil(started, (sync) => names(sync, "changed"));
    assert.equal(at(changed.sync, "device_lists", "left"), undefined);
    await uploadKeys(tablet, ["ONE"]);
    await alice.send(roomId, "a.b", scene.newName("marker"));
    const { sync } = await alice.syncUntil(changed.next, (found) => at(found, "rooms", "join"));
    assert.equal(at(sync, "device_lists", "changed"), undefined, "the same keys and further one-time keys are none");
    const path = `/v3/keys/changes?from=${started}&to=${changed.next}`;
    assert.deepEqual(await alice.call("GET", path), { changed: [bob.userId], left: [] });
  });

  test("a device that signs in with keys, and one that signs out, are changes", async () => {
    await scene.room(alice, [bob]);
    let since = await alice.now();
    const tablet = await scene.device(bob, "tablet");
    await uploadKeys(tablet);
    since = (await alice.syncUntil(since, (sync) => names(sync, "changed"))).next;
    await tablet.call("POST", "/v3/logout", {});
    await alice.syncUntil(since, (sync) => names(sync, "changed"));
  });

  test("a user's own new device is a change for the user", async () => {
    const since = await bob.now();
    const tablet = await scene.device(bob, "tablet");
    await uploadKeys(tablet);
    await bob.syncUntil(since, (sync) => names(sync, "changed"));
  });

  test("who shares no room any more is left, for both; who shares another is not", async () => {
    const [one, two] = [await scene.room(alice, [bob]), await scene.room(alice, [bob])];
    let [ofAlice, ofBob] = [await alice.now(), await bob.now()];
    await bob.call("POST", `/v3/rooms/${one}/leave`, {});
    const still = await alice.syncUntil(ofAlice, (sync) => at(sync, "rooms", "join", one));
    assert.equal(names(still.sync, "left"), false);
    const own = await bob.syncUntil(ofBob, (sync) => at(sync, "rooms", "leave", one));
    assert.equal(names(own.sync, "left", alice), false);
    [ofAlice, ofBob] = [still.next, own.next];
    await bob.call("POST", `/v3/rooms/${two}/leave`, {});
    await alice.syncUntil(ofAlice, (sync) => names(sync, "left"));
    await bob.syncUntil(ofBob, (sync) => names(sync, "left", alice));
  });
}
