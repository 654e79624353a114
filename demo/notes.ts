/** Lines of the demo that are no rows: where everything is, why it is slow, what the bot said last. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Child } from "./child.ts";
import { PASSWORDS } from "./demoOptions.ts";
import type { DemoHomeserver } from "./homeservers/homeserver.ts";

const LOG_LINES = 15;

/** What to know to look around while it all runs on. */
export function addressNotes(at: {
  readonly homeserver: DemoHomeserver;
  readonly bot: { readonly userId: string };
  readonly sender: { readonly userId: string };
  readonly rooms: Readonly<Record<string, string>>;
  readonly configFile: string;
  readonly folder: string;
}): string[] {
  const { homeserver } = at;
  const password = (role: "bot" | "sender"): string =>
    homeserver.foreign ? `password in ${PASSWORDS[role]}` : `password ${homeserver[role].password}`;
  return [
    `homeserver      ${homeserver.baseUrl}`,
    `bot             ${at.bot.userId}, ${password("bot")}`,
    `sender          ${at.sender.userId}, ${password("sender")}`,
    ...Object.entries(at.rooms).map(([kind, roomId]) => `${`${kind} room`.padEnd(15)} ${roomId}`),
    `configuration   ${at.configFile}`,
    `the bot's log   ${join(at.folder, "bot.log")}`,
    `the record      npm run -s docket -- record list --config ${at.configFile}`,
    homeserver.foreign ? "Ctrl-C ends it all, leaves the rooms and signs both out." : "Ctrl-C ends it all.",
  ];
}

/** Said once, when the homeserver puts the sender off for the first time. @param waitMs milliseconds */
export function limitNote(waitMs: number, botUserId: string): string {
  return [
    `this homeserver limits how fast an account may send, and asks to wait ${Math.ceil(waitMs / 1000)} s for the next message.`,
    "The demo goes on as fast as it may, which takes some minutes; the bot waits for its own limit too, which shows in its times.",
    `On Synapse an administrator exempts the bot: POST /_synapse/admin/v1/users/${botUserId}/override_ratelimit {"messages_per_second": 0, "burst_count": 0}`,
  ].join("\n");
}

/** The end of the bot's log, and whether a rate limit may be the reason. */
export function failureNote(bot: Child): string {
  const limited = readFileSync(bot.logFile, "utf8").includes("M_LIMIT_EXCEEDED");
  const why = limited ? "the homeserver's rate limit stopped the bot from sending now and then; " : "";
  return `${why}the bot's log: ${bot.logFile}; its last lines:\n${bot.lastLines(LOG_LINES)}`;
}
