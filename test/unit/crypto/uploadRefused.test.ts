/** One-time keys that the homeserver refuses for good: said, asked for ever more rarely, and nothing else waits for them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock, type Clock } from "../../../src/clock.ts";
import { ServerRefused, ServerUnreachable } from "../../../src/errors.ts";
import { UploadPause } from "../../../src/crypto/uploadPause.ts";
import { keyServer, loneEngine, noChanges } from "../../support/loneEngine.ts";

const conflict = new ServerRefused("POST /keys/upload: refused", { status: 400, errcode: "M_UNKNOWN" });

test("refused keys are tried again after seconds, then a minute, then every quarter of an hour, and are said from the second refusal on", () => {
  let now = 1_700_000_000_000;
  let told = 0;
  const clock: Clock = { now: () => now, sleep: () => Promise.resolve() };
  const pause = new UploadPause(clock, () => (told += 1));
  const pauses = [1, 2, 3, 4].map(() => {
    const pauseMs = pause.noteFailure(conflict);
    assert.equal(pause.isOn, true);
    now += pauseMs ?? 0;
    assert.equal(pause.isOn, false);
    return [pauseMs, told];
  });
  assert.deepEqual(pauses, [
    [5_000, 0],
    [60_000, 1],
    [900_000, 2],
    [900_000, 3],
  ]);
  pause.noteTaken();
  assert.deepEqual([pause.noteFailure(conflict), told], [5_000, 3], "one that was taken begins anew");
});

test("a homeserver that does not answer, limits, or is a proxy's page is no refusal of the keys", () => {
  const pause = new UploadPause(systemClock, () => assert.fail("nothing is wrong with the keys"));
  const others = [
    new ServerUnreachable("away", { doubtful: true }),
    new ServerRefused("limited", { status: 429, errcode: "M_LIMIT_EXCEEDED" }),
    new ServerRefused("broken", { status: 502, errcode: null }),
    new ServerRefused("a proxy", { status: 400, errcode: null }),
  ];
  for (const error of [...others, ...others]) assert.equal(pause.noteFailure(error), null);
  assert.equal(pause.isOn, false);
});

test("while the keys are refused the engine does not ask again at every sync, and everything else goes on", async (t) => {
  let uploads = 0;
  let queried = Promise.withResolvers<void>();
  const told = Promise.withResolvers<void>();
  let now = 1_700_000_000_000;
  const clock: Clock = {
    now: () => now,
    sleep: (ms, signal) => systemClock.sleep(Math.min(ms, 5), signal),
  };
  const homeserver = keyServer((_, endpoint) => {
    if (endpoint.endsWith("/keys/query")) queried.resolve();
    if (!endpoint.endsWith("/keys/upload")) return { device_keys: { "@bot:example.org": {} }, failures: {} };
    uploads += 1;
    throw conflict;
  });
  const { engine, fatal } = await loneEngine(t, { homeserver, clock, onKeysRefused: () => told.resolve() });
  await engine.start();
  for (let sync = 0; sync < 10; sync += 1) {
    queried = Promise.withResolvers();
    await engine.receive({ ...noChanges, changedUsers: ["@bot:example.org"] }, async ({ held }) => held.apply());
    await queried.promise;
  }
  assert.equal(uploads, 1);
  now += 6_000;
  await engine.receive(noChanges, async ({ held }) => held.apply());
  await told.promise;
  assert.equal(uploads, 2);
  assert.deepEqual(fatal, []);
});
