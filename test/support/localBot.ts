/** A bot in the process of the test, so that it can be given handlers and a clock. One at a time: the crypto library knows one store. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { Sender } from "../../demo/sender/sender.ts";
import { startDevServer, type DevServer, type SignedIn } from "../../devserver/server.ts";
import { createBot, type Bot } from "../../src/bot.ts";
import { systemClock, type Clock } from "../../src/clock.ts";
import { loadConfig } from "../../src/config/loadConfig.ts";
import type { Handler } from "../../src/handlers/handler.ts";
import { createRegistry } from "../../src/handlers/registry.ts";
import type { Step } from "../../src/handlers/step.ts";
import { silentLogger, type LogFields, type Logger } from "../../src/logging.ts";
import type { JsonObject } from "../../src/protocol/json.ts";
import { writeConfig } from "./botProcess.ts";
import { temporaryDirectory } from "./temporaryDirectory.ts";

export interface LocalBot {
  readonly server: DevServer;
  readonly account: SignedIn;
  readonly alice: Sender;
  /** The one that runs first. */
  readonly bot: Bot;
  /** Starts another one on the same data. */
  run(): Promise<Bot>;
  /** A room that Alice made and that the bot has joined. */
  room(options?: { encrypted?: boolean }): Promise<string>;
  /** Alice asks for a status. @returns the event ID */
  ask(roomId: string, type: string, lifetime: number, more?: JsonObject): Promise<string>;
  /** The first line of the bot's log like this, information or warning, past or future. */
  said(message: RegExp): Promise<LogFields & { readonly msg: string }>;
}

/** @param options.yaml is put at the end of the configuration */
export async function startLocalBot(
  t: TestContext,
  handlers: readonly Handler[],
  { yaml = "", clock = systemClock }: { yaml?: string; clock?: Clock } = {},
): Promise<LocalBot> {
  const server = await startDevServer();
  t.after(() => server.stop());
  const account = server.createAccount("docket", "not a secret", { deviceId: "DOCKETBOT" });
  const file = writeConfig({
    homeserver: server.url,
    userId: account.userId,
    accessToken: account.accessToken,
    directory: temporaryDirectory(t),
    yaml: `invites:\n  accept: ["@*:localhost"]\n  notice: false\n${yaml}`,
  });
  const lines: (LogFields & { msg: string })[] = [];
  const listeners = new Set<() => void>();
  const note: Logger["info"] = (fields, msg) => {
    lines.push({ ...fields, msg });
    for (const listener of listeners) listener();
  };
  const failures: unknown[] = [];
  t.after(() => assert.deepEqual(failures, []));
  const run = async (): Promise<Bot> => {
    const config = await loadConfig(file, { stepKinds: [], env: {} });
    const rules = { config, registry: createRegistry(handlers) };
    const bot = createBot(rules, {
      clock,
      log: { ...silentLogger, info: note, warn: note },
      onFailure: (error) => failures.push(error),
      onFatal: (error) => {
        throw error;
      },
      readRules: async () => rules,
      setLogLevel: () => undefined,
    });
    t.after(() => bot.stop());
    await bot.start();
    return bot;
  };
  const bot = await run();
  const alice = await Sender.withToken({ baseUrl: server.url, ...server.createAccount("alice", "not a secret") });
  t.after(() => alice.stop());
  await alice.start();
  return {
    server,
    account,
    alice,
    bot,
    run,
    async room({ encrypted = false } = {}) {
      const roomId = await alice.createRoom({ encrypted, invite: [account.userId] });
      await alice.waitForJoin(roomId, account.userId);
      if (encrypted) await alice.waitForDevice(account.userId, account.deviceId);
      return roomId;
    },
    ask: (roomId, type, lifetime, more = {}) =>
      alice.send(roomId, type, { "m.request.status": { from_device: alice.deviceId, lifetime }, ...more }),
    said: (message) =>
      new Promise((resolve) => {
        const look = (): void => {
          const line = lines.find(({ msg }) => message.test(msg));
          if (line === undefined) return;
          listeners.delete(look);
          resolve(line);
        };
        listeners.add(look);
        look();
      }),
  };
}

/** A handler of one type with one step. */
export function handlerOf(type: string, run: Step["run"], ordered = false): Handler {
  return { types: [type], ordered, steps: [{ name: "test", step: { run } }] };
}
