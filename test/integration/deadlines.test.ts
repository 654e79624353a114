/** Handlers that are slow, deaf or broken: the deadline is kept, other rooms are not held up, and exactly one outcome wins. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { Sender } from "../../demo/sender/sender.ts";
import { startDevServer } from "../../devserver/server.ts";
import { createBot, type Bot } from "../../src/bot.ts";
import { systemClock } from "../../src/clock.ts";
import { loadConfig } from "../../src/config/loadConfig.ts";
import type { Handler } from "../../src/handlers/handler.ts";
import { createRegistry } from "../../src/handlers/registry.ts";
import type { Step } from "../../src/handlers/step.ts";
import { silentLogger, type Logger } from "../../src/logging.ts";
import type { JsonObject } from "../../src/protocol/json.ts";
import { writeConfig } from "../support/botProcess.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";

/** A bot in this process, so that a test can hand it handlers of its own. One at a time: the crypto library knows one store. */
async function startBot(t: TestContext, handlers: readonly Handler[], yaml = "") {
  const server = await startDevServer();
  t.after(() => server.stop());
  const account = server.createAccount("docket", "not a secret", { deviceId: "DOCKETBOT" });
  const file = writeConfig({
    homeserver: server.url,
    userId: account.userId,
    accessToken: account.accessToken,
    directory: temporaryDirectory(t),
    yaml: `invites:\n  accept: ["@*:localhost"]\n${yaml}`,
  });
  const logged: string[] = [];
  const waiting = new Map<string, () => void>();
  const log: Logger = {
    ...silentLogger,
    warn(_fields, message) {
      logged.push(message);
      waiting.get(message)?.();
    },
  };
  const failures: unknown[] = [];
  t.after(() => assert.deepEqual(failures, []));
  const run = async (): Promise<Bot> => {
    const config = await loadConfig(file, { stepKinds: [], env: {} });
    const rules = { config, registry: createRegistry(handlers) };
    const bot = createBot(rules, {
      clock: systemClock,
      log,
      onFailure: (error) => failures.push(error),
      onFatal: (error) => {
        throw error;
      },
    });
    t.after(() => bot.stop());
    await bot.start();
    return bot;
  };
  const bot = await run();
  const alice = await Sender.withToken({ baseUrl: server.url, ...server.createAccount("alice", "not a secret") });
  t.after(() => alice.stop());
  await alice.start();
  const room = async (): Promise<string> => {
    const roomId = await alice.createRoom({ invite: [account.userId] });
    await alice.waitForJoin(roomId, account.userId);
    return roomId;
  };
  const ask = (roomId: string, type: string, lifetime: number, more: JsonObject = {}): Promise<string> =>
    alice.send(roomId, type, { "m.request.status": { from_device: alice.deviceId, lifetime }, ...more });
  /** Resolves when the bot has logged this. */
  const said = (message: string): Promise<void> =>
    logged.includes(message) ? Promise.resolve() : new Promise((resolve) => waiting.set(message, resolve));
  return { alice, bot, run, room, ask, account, server, said };
}

const handler = (type: string, run: Step["run"], ordered = false): Handler => ({
  types: [type],
  ordered,
  steps: [{ name: "test", step: { run } }],
});

test("a handler that is not done in time is cancelled, and the time-out is said while it can still arrive", async (t) => {
  const cancelled = Promise.withResolvers<void>();
  const { alice, room, ask } = await startBot(t, [
    handler("slow", (_event, _context, signal) => {
      signal.addEventListener("abort", () => cancelled.resolve());
      return new Promise(() => undefined);
    }),
  ]);
  const roomId = await room();
  const eventId = await ask(roomId, "slow", 3_000);
  const response = await alice.waitForResponse(eventId);
  assert.deepEqual([response.status, response.code], ["error", "timed_out"]);
  assert.match(response.messages[0]?.text ?? "", /not confirmed in time/i);
  await cancelled.promise;
});

test("a deadline is kept even if every handler is busy with something else", async (t) => {
  const busy = Promise.withResolvers<void>();
  const { alice, room, ask } = await startBot(
    t,
    [
      handler("stuck", () => {
        busy.resolve();
        return new Promise(() => undefined);
      }),
      handler("waiting", async () => ({ status: "success" })),
    ],
    "limits:\n  handlers: 1\n  handlers_per_room: 1\n  shutdown_grace: 0s\n",
  );
  const [first, second] = [await room(), await room()];
  await alice.send(first, "stuck", {});
  await busy.promise;
  const eventId = await ask(second, "waiting", 2_500);
  const response = await alice.waitForResponse(eventId);
  assert.equal(response.code, "timed_out");
});

test("a room that is busy does not hold up another", async (t) => {
  const release = Promise.withResolvers<void>();
  const { alice, room, ask } = await startBot(t, [
    handler("blocked", async () => {
      await release.promise;
      return { status: "success" };
    }),
    handler("quick", async () => ({ status: "success" })),
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
  const { alice, room, ask } = await startBot(t, [
    handler("throws", async (event) => {
      throw new Error(`CANARY ${JSON.stringify(event.content)}`);
    }),
    handler("quick", async () => ({ status: "success" })),
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
  const { alice, room, ask } = await startBot(t, [
    handler(
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
  const steps = handler("interrupted", () => {
    runs += 1;
    started.resolve();
    return runs === 1 ? new Promise(() => undefined) : Promise.resolve({ status: "success" });
  });
  const { alice, room, ask, bot, run } = await startBot(t, [steps], "limits:\n  shutdown_grace: 0s\n");
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
  const steps = handler("slow", async () => {
    started.resolve();
    await finish.promise;
    return { status: "success" };
  });
  const { alice, room, ask, bot } = await startBot(t, [steps]);
  const eventId = await ask(await room(), "slow", 60_000);
  await started.promise;
  const stopped = bot.stop();
  finish.resolve();
  await stopped;
  assert.equal((await alice.waitForResponse(eventId)).status, "success");
});

test("a request that names another device than the one that encrypted it is answered, and counted", async (t) => {
  const { alice, bot, account } = await startBot(t, [handler("quick", async () => ({ status: "success" }))]);
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
  const { alice, room, ask, account, server, said } = await startBot(
    t,
    [
      handler("blocked", async () => {
        await release.promise;
        return { status: "success" };
      }),
    ],
    "limits:\n  inbox: 3\n",
  );
  const roomId = await room();
  const asked = await Promise.all(Array.from({ length: 6 }, () => ask(roomId, "blocked", 60_000)));
  await said("the inbox is full; syncing waits until it has room");
  const syncs = (): number => server.requests({ path: /\/sync$/, userId: account.userId }).length;
  const before = syncs();
  await alice.send(roomId, "org.example.noise", {});
  assert.equal(syncs(), before, "nobody asks for the news");
  release.resolve();
  for (const eventId of asked) assert.equal((await alice.waitForResponse(eventId)).status, "success");
});
