/** A homeserver, a bot in its own process, and people who talk to it: what most integration tests start from. */
import type { TestContext } from "node:test";
import { Sender, type NewRoom, type SenderOptions } from "../../demo/sender/sender.ts";
import { startDevServer, type DevServer, type DevServerOptions, type SignedIn } from "../../devserver/server.ts";
import { BotProcess, type BotOptions } from "./botProcess.ts";
import { temporaryDirectory } from "./temporaryDirectory.ts";

export interface Conversation {
  readonly server: DevServer;
  readonly account: SignedIn;
  readonly alice: Sender;
  readonly directory: string;
  /** The bot that runs now: tests that restart it put the new one here. */
  bot: BotProcess;
  /** Starts a bot on the same data; `bot` is that one from now on. */
  restart(options?: Partial<BotOptions>): Promise<BotProcess>;
  /** A room that Alice made and that the bot has joined by her invitation. */
  room(options?: NewRoom): Promise<string>;
  sender(localpart: string, options?: SenderOptions): Promise<Sender>;
}

export async function startConversation(
  t: TestContext,
  options: { bot?: Partial<BotOptions>; server?: DevServerOptions; deviceId?: string; password?: string } = {},
): Promise<Conversation> {
  const server = await startDevServer(options.server);
  t.after(() => server.stop());
  const { deviceId = "DOCKETBOT", password = "not a secret" } = options;
  const account = server.createAccount("docket", password, { deviceId });
  const directory = temporaryDirectory(t);
  const startBot = (more: Partial<BotOptions> = {}): BotProcess => {
    const bot = new BotProcess({
      homeserver: server.url,
      userId: account.userId,
      accessToken: account.accessToken,
      directory,
      ...options.bot,
      ...more,
    });
    t.after(() => bot.kill());
    return bot;
  };
  const sender = async (localpart: string, how: SenderOptions = {}): Promise<Sender> => {
    const made = await Sender.withToken(
      { baseUrl: server.url, ...server.createAccount(localpart, "not a secret") },
      how,
    );
    t.after(() => made.stop());
    await made.start();
    return made;
  };
  const bot = startBot();
  const alice = await sender("alice");
  await bot.running();
  const conversation: Conversation = {
    server,
    account,
    alice,
    directory,
    bot,
    sender,
    async restart(more = {}) {
      conversation.bot = startBot(more);
      await conversation.bot.running();
      return conversation.bot;
    },
    async room(room = {}) {
      const roomId = await alice.createRoom({ ...room, invite: [account.userId, ...(room.invite ?? [])] });
      await alice.waitForJoin(roomId, account.userId);
      if (room.encrypted === true) await alice.waitForDevice(account.userId, account.deviceId);
      return roomId;
    },
  };
  return conversation;
}
