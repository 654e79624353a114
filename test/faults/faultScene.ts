/** A bot in its own process with a fault proxy before its homeserver, and a sender who talks to that homeserver directly. */
import type { TestContext } from "node:test";
import { Sender, type NewRoom } from "../../demo/sender/sender.ts";
import type { SignedIn } from "../../devserver/server.ts";
import type { JsonObject } from "../../src/protocol/json.ts";
import { BotProcess, DEFAULT_YAML } from "../support/botProcess.ts";
import { FaultProxy } from "../support/faultProxy.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";

/** What these tests need of a homeserver; that of the contract has it. */
export interface Homeserver {
  /** Without a slash at the end. */
  readonly url: string;
  readonly serverName: string;
  createAccount(localpart: string, password: string): Promise<SignedIn>;
  stop(): Promise<void>;
}

export interface FaultScene {
  readonly proxy: FaultProxy;
  readonly bot: BotProcess;
  readonly account: SignedIn;
  readonly alice: Sender;
  /** A room that Alice made and that the bot has joined by her invitation. */
  room(options?: NewRoom): Promise<string>;
  /** Alice asks for a status. @returns the event ID */
  ask(roomId: string, more?: JsonObject): Promise<string>;
}

let made = 0;

/** @param before plans faults that the bot meets at its start */
export async function startFaultScene(
  t: TestContext,
  homeserver: Homeserver,
  before: (proxy: FaultProxy) => void = () => undefined,
): Promise<FaultScene> {
  made += 1;
  const proxy = await FaultProxy.start(homeserver.url);
  t.after(() => proxy.stop());
  before(proxy);
  const account = await homeserver.createAccount(`docket${made}`, "not a secret");
  const bot = new BotProcess({
    homeserver: proxy.url,
    ...account,
    directory: temporaryDirectory(t),
    yaml: DEFAULT_YAML.replace("@*:localhost", `@*:${homeserver.serverName}`),
  });
  t.after(() => bot.kill());
  const alice = await Sender.withToken({
    baseUrl: homeserver.url,
    ...(await homeserver.createAccount(`alice${made}`, "not a secret")),
  });
  t.after(() => alice.stop());
  await alice.start();
  await bot.running();
  return {
    proxy,
    bot,
    account,
    alice,
    async room(options = {}) {
      const roomId = await alice.createRoom({ ...options, invite: [account.userId] });
      await alice.waitForJoin(roomId, account.userId);
      if (options.encrypted === true) await alice.waitForDevice(account.userId, account.deviceId);
      return roomId;
    },
    ask: (roomId, more = {}) =>
      alice.send(roomId, "org.example.report", {
        "m.request.status": { from_device: alice.deviceId, lifetime: 90_000, ...more },
      }),
  };
}
