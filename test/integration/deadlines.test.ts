/** Handlers that are slow, deaf or broken: the deadline is kept, other rooms are not held up, and exactly one outcome wins. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { handlerOf, startLocalBot } from "../support/localBot.ts";

/** Time to send an answer that not even a busy machine can use up. The handler's time ends two margins before the lifetime. */
const MARGIN_MS = 20_000;
const WIDE_MARGIN = `responses:\n  send_margin: ${MARGIN_MS / 1_000}s\n`;

test("a handler that is not done in time is cancelled, and the time-out is said while it can still arrive", async (t) => {
  const cancelled = Promise.withResolvers<void>();
  const slow = handlerOf("slow", (_event, _context, signal) => {
    signal.addEventListener("abort", () => cancelled.resolve());
    return new Promise(() => undefined);
  });
  const { alice, room, ask } = await startLocalBot(t, [slow], { yaml: WIDE_MARGIN });
  const roomId = await room();
  const eventId = await ask(roomId, "slow", 2 * MARGIN_MS + 4_000);
  const response = await alice.waitForResponse(eventId);
  assert.deepEqual([response.status, response.code], ["error", "timed_out"]);
  assert.match(response.messages[0]?.text ?? "", /not confirmed in time/i);
  await cancelled.promise;
});

test("a deadline is kept even if every handler is busy with something else", async (t) => {
  const busy = Promise.withResolvers<void>();
  const { alice, room, ask } = await startLocalBot(
    t,
    [
      handlerOf("stuck", () => {
        busy.resolve();
        return new Promise(() => undefined);
      }),
      handlerOf("waiting", async () => ({ status: "success" })),
    ],
    { yaml: `limits:\n  handlers: 1\n  handlers_per_room: 1\n  shutdown_grace: 0s\n${WIDE_MARGIN}` },
  );
  const [first, second] = [await room(), await room()];
  await alice.send(first, "stuck", {});
  await busy.promise;
  const eventId = await ask(second, "waiting", 2 * MARGIN_MS + 1_500);
  const response = await alice.waitForResponse(eventId);
  assert.equal(response.code, "timed_out");
});

test("a room that is busy does not hold up another", async (t) => {
  const release = Promise.withResolvers<void>();
  const { alice, room, ask } = await startLocalBot(t, [
    handlerOf("blocked", async () => {
      await release.promise;
      return { status: "success" };
    }),
    handlerOf("quick", async () => ({ status: "success" })),
  ]);
  const [busy, free] = [await room(), await room()];
  const blocked = await Promise.all(Array.from({ length: 12 }, () => ask(busy, "blocked", 60_000)));
  const quick = await ask(free, "quick", 60_000);
  assert.equal((await alice.waitForResponse(quick)).status, "success");
  assert(blocked.every((eventId) => alice.responsesTo(eventId).length === 0));
  release.resolve();
  for (const eventId of blocked) assert.equal((await alice.waitForResponse(eventId)).status, "success");
});

test("a handler that throws is an error without the thrown text, and the next request is served", async (t) => {
  const { alice, room, ask } = await startLocalBot(t, [
    handlerOf("throws", async (event) => {
      throw new Error(`CANARY ${JSON.stringify(event.content)}`);
    }),
    handlerOf("quick", async () => ({ status: "success" })),
  ]);
  const roomId = await room();
  const response = await alice.waitForResponse(await ask(roomId, "throws", 60_000));
  assert.equal(response.code, "handler_failed");
  assert(!JSON.stringify(response).includes("CANARY"));
  assert.equal((await alice.waitForResponse(await ask(roomId, "quick", 60_000))).status, "success");
});

test("events of an ordered handler run one by one in the order of arrival", async (t) => {
  const ran: unknown[] = [];
  let atOnce = 0;
  let most = 0;
  const { alice, room, ask } = await startLocalBot(t, [
    handlerOf(
      "ordered",
      async (event) => {
        atOnce += 1;
        most = Math.max(most, atOnce);
        await new Promise((resolve) => setImmediate(resolve));
        ran.push(event.content["place"]);
        atOnce -= 1;
        return { status: "success" };
      },
      true,
    ),
  ]);
  const roomId = await room();
  const asked: string[] = [];
  // The later, the less time: by deadline they would run the other way round.
  for (let place = 0; place < 8; place += 1)
    asked.push(await ask(roomId, "ordered", 60_000 - place * 1_000, { place }));
  for (const eventId of asked) await alice.waitForResponse(eventId);
  assert.deepEqual(ran, [0, 1, 2, 3, 4, 5, 6, 7]);
  assert.equal(most, 1);
});

test("a handler that the stop interrupts runs again after the next start, and its request is answered once", async (t) => {
  let runs = 0;
  const started = Promise.withResolvers<void>();
  const steps = handlerOf("interrupted", () => {
    runs += 1;
    started.resolve();
    return runs === 1 ? new Promise(() => undefined) : Promise.resolve({ status: "success" });
  });
  const { alice, room, ask, bot, run } = await startLocalBot(t, [steps], { yaml: "limits:\n  shutdown_grace: 0s\n" });
  const roomId = await room();
  const eventId = await ask(roomId, "interrupted", 60_000);
  await started.promise;
  await bot.stop();
  assert.equal(alice.responsesTo(eventId).length, 0);
  await run();
  assert.equal((await alice.waitForResponse(eventId)).status, "success");
  assert.equal(runs, 2);
});

test("what a handler answers while the bot stops still goes out", async (t) => {
  const [started, finish] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const steps = handlerOf("slow", async () => {
    started.resolve();
    await finish.promise;
    return { status: "success" };
  });
  const { alice, room, ask, bot } = await startLocalBot(t, [steps]);
  const eventId = await ask(await room(), "slow", 60_000);
  await started.promise;
  const stopped = bot.stop();
  finish.resolve();
  await stopped;
  assert.equal((await alice.waitForResponse(eventId)).status, "success");
});

test("a request that names another device than the one that encrypted it is answered, and counted", async (t) => {
  const { alice, bot, account } = await startLocalBot(t, [handlerOf("quick", async () => ({ status: "success" }))]);
  const roomId = await alice.createRoom({ encrypted: true, invite: [account.userId] });
  await alice.waitForJoin(roomId, account.userId);
  await alice.waitForDevice(account.userId, account.deviceId);
  const counted = async (): Promise<number> => (await bot.metrics.foreignDevices.get()).values[0]?.value ?? 0;
  for (const [type, device, expected] of [
    ["quick", alice.deviceId, 0],
    ["quick", "SOMEBODY", 1],
    ["unknown", "SOMEBODY", 2],
  ] as const) {
    const eventId = await alice.send(roomId, type, { "m.request.status": { from_device: device, lifetime: 60_000 } });
    await alice.waitForResponse(eventId);
    assert.equal(await counted(), expected);
  }
});

test("a full inbox holds the sync back, and the sync goes on when there is room again", async (t) => {
  const release = Promise.withResolvers<void>();
  const full = Promise.withResolvers<void>();
  let running = 0;
  const blocked = handlerOf("blocked", async () => {
    running += 1;
    if (running === 3) full.resolve();
    await release.promise;
    return { status: "success" };
  });
  const { alice, room, ask, account, server, said } = await startLocalBot(t, [blocked], {
    yaml: "limits:\n  inbox: 3\n  handlers_per_room: 3\n",
  });
  const roomId = await room();
  const asked = await Promise.all(Array.from({ length: 6 }, () => ask(roomId, "blocked", 60_000)));
  // The room's own events may have filled the inbox before, for a moment: now it stays full.
  await full.promise;
  await said(/^the inbox is full; syncing waits until it has room$/);
  const syncs = (): number => server.requests({ path: /\/sync$/, userId: account.userId }).length;
  const before = syncs();
  await alice.seen(await alice.send(roomId, "org.example.noise", {}));
  assert.equal(syncs(), before, "nobody asks for the news");
  release.resolve();
  for (const eventId of asked) assert.equal((await alice.waitForResponse(eventId)).status, "success");
});
