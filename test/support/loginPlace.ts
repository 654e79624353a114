/** A bot's configuration and data directory, to be signed in by `docket login`, and a talk with the bot that runs on them. */
import { join } from "node:path";
import type { TestContext } from "node:test";
import { Sender } from "../../demo/sender/sender.ts";
import { startDevServer, type DevServer } from "../../devserver/server.ts";
import { Credentials, type SignedInDevice } from "../../src/journal/credentials.ts";
import { Database } from "../../src/journal/database.ts";
import { BotProcess, writeConfig, type BotOptions } from "./botProcess.ts";
import { docketGiven, type CommandOutcome } from "./docketCommand.ts";
import { temporaryDirectory } from "./temporaryDirectory.ts";

export const USER = "@docket:localhost";
export const PASSWORD = "pass wörd";

export interface LoginPlace {
  readonly server: DevServer;
  /** Of the configuration. */
  readonly file: string;
  readonly dataDirectory: string;
  readonly botOptions: BotOptions;
  readonly stored: () => SignedInDevice | null;
  /** `docket login` with the password at standard input. */
  readonly login: (...more: string[]) => Promise<CommandOutcome>;
}

/** @param given.server with the accounts `docket` and `other`; by default a new one. @param given.yaml as for a bot */
export async function loginPlace(
  t: TestContext,
  given: { server?: DevServer; yaml?: string } = {},
): Promise<LoginPlace> {
  const server = given.server ?? (await startDevServer());
  if (given.server === undefined) {
    t.after(() => server.stop());
    for (const name of ["docket", "other"]) server.createAccount(name, PASSWORD, { deviceId: "ADMINS" });
  }
  const directory = temporaryDirectory(t);
  const botOptions = {
    homeserver: server.url,
    userId: USER,
    accessToken: null,
    directory,
    ...(given.yaml === undefined ? {} : { yaml: given.yaml }),
  };
  const file = writeConfig(botOptions);
  const dataDirectory = join(directory, "data");
  return {
    server,
    file,
    dataDirectory,
    botOptions,
    stored: () => {
      const database = Database.openReadOnly(dataDirectory);
      try {
        return new Credentials(database).read();
      } finally {
        database.close();
      }
    },
    login: (...more) => docketGiven({ stdin: `${PASSWORD}\n` }, "login", "--config", file, "--password-stdin", ...more),
  };
}

export interface Talk {
  readonly bot: BotProcess;
  /** Asks in an encrypted room, and waits for the bot's answer. */
  ask(): Promise<void>;
  /** @returns the bot's exit code */
  end(): Promise<number | null>;
}

/** Starts the bot, and somebody who talks to it in an encrypted room. */
export async function openTalk(
  t: TestContext,
  { server, botOptions }: LoginPlace,
  more: Pick<BotOptions, "preload" | "env"> = {},
): Promise<Talk> {
  const bot = new BotProcess({ ...botOptions, ...more });
  t.after(() => bot.kill());
  const { deviceId } = await bot.running();
  const name = `alice${server.requests().length}`;
  const alice = await Sender.withToken({ baseUrl: server.url, ...server.createAccount(name, "not a secret") });
  t.after(() => alice.stop());
  await alice.start();
  const roomId = await alice.createRoom({ encrypted: true, invite: [USER] });
  await alice.waitForJoin(roomId, USER);
  await alice.waitForDevice(USER, String(deviceId));
  return {
    bot,
    ask: async () => {
      const before = server.eventsIn(roomId).length;
      const request = { from_device: alice.deviceId, lifetime: 120_000 };
      await alice.send(roomId, "org.example.report", { "m.request.status": request });
      const isAnswer = ({ sender, type }: { sender: string | null; type: string | null }): boolean =>
        sender === USER && type === "m.room.encrypted";
      await server.waitFor(() => server.eventsIn(roomId).slice(before).find(isAnswer), 120_000, "the bot's answer");
    },
    end: async () => {
      await alice.stop();
      return await bot.stop();
    },
  };
}

/** A whole talk: the bot runs, answers, and stops as it should. */
export async function converse(t: TestContext, place: LoginPlace): Promise<void> {
  const talk = await openTalk(t, place);
  await talk.ask();
  const code = await talk.end();
  if (code !== 0) throw new Error(`the bot ended with ${code}: ${talk.bot.stderr}`);
}
