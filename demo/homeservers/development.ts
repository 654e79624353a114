/** The development homeserver, started for this run. */
import type { StartProcess } from "../processes.ts";
import { type DemoHomeserver, PACES } from "./homeserver.ts";

/** @param secret stands in the passwords */
export async function startDevelopment(start: StartProcess, secret: string): Promise<DemoHomeserver> {
  const bot = { user: "docket", password: `bot-${secret}` };
  const sender = { user: "sender", password: `sender-${secret}` };
  const ready = Promise.withResolvers<string>();
  start({
    name: "homeserver",
    args: [
      "devserver/main.ts",
      "--stop-with-parent",
      ...[bot, sender].flatMap(({ user, password }) => ["--account", `${user}:${password}`]),
    ],
    onLine: (line) => ready.resolve(line),
  });
  const { url } = JSON.parse(await ready.promise) as { url: string };
  return { baseUrl: url, bot, sender, foreign: false, pace: PACES.development };
}
