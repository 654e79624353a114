/** What may stand behind `npm run demo --`, and the passwords, which stand in the environment alone. */
import { parseArgs } from "node:util";
import type { DemoAccount } from "./homeservers/homeserver.ts";

export type HomeserverChoice =
  | { readonly kind: "development" }
  | { readonly kind: "synapse" }
  | { readonly kind: "foreign"; readonly baseUrl: string; readonly bot: DemoAccount; readonly sender: DemoAccount };

export interface DemoOptions {
  readonly help: boolean;
  readonly homeserver: HomeserverChoice;
  readonly keep: boolean;
  readonly json: boolean;
  /** Where everything goes, kept afterwards; null: a new temporary folder. */
  readonly folder: string | null;
  /** Text that is put where secrets stand: bodies of events and made-up passwords. A test looks for it in the bot's log. */
  readonly canary: string | null;
  /** The bot's log level. */
  readonly log: string;
}

export const PASSWORDS = { bot: "DOCKET_DEMO_BOT_PASSWORD", sender: "DOCKET_DEMO_SENDER_PASSWORD" } as const;

export const USAGE = `Usage: npm run demo -- [options]

Starts a development homeserver, the bot with the handlers of config.sample.yaml, and an independent
sender with its own encryption; sends real requests and shows what came back.

  --homeserver synapse   on a Synapse of its own, from Debian's packages: nothing is installed, the
                         first time some 70 MB are downloaded and kept in ~/.cache/docket-synapse
  --homeserver URL --bot USER --sender USER
                         on any homeserver, with two accounts of yours: name or @name:server.
                         Passwords: ${PASSWORDS.bot}, ${PASSWORDS.sender}
                         in the environment. The bot's account must be in no room. At the end both
                         leave the demo's rooms and sign out again

  --keep          leave it all running afterwards, with addresses and accounts, until Ctrl-C
  --json          one JSON object a line, each with "ok": true, false, or null for what can't be
                  shown on this homeserver
  --folder DIR    keep configuration, data and logs in DIR, which must be empty or not exist
  --log LEVEL     the bot's log level (default: info)
  --canary TEXT   put TEXT into event bodies and made-up passwords, to look for it in the log
  --help          this text

Exit code: 0 if everything came back as expected, 1 if not, 64 for a wrong option, 69 if the homeserver
can't be had or reached, 77 if it lets an account not sign in, 130 after Ctrl-C.
`;

/**
 * @param environment of the process
 * @throws Error with one sentence for people when an option is unknown, lacks its value, or does not fit the others
 */
export function readDemoOptions(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): DemoOptions {
  const { values } = parseArgs({
    args: [...args],
    strict: true,
    allowPositionals: false,
    options: {
      help: { type: "boolean", short: "h", default: false },
      homeserver: { type: "string", default: "development" },
      bot: { type: "string" },
      sender: { type: "string" },
      keep: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      folder: { type: "string" },
      canary: { type: "string" },
      log: { type: "string", default: "info" },
    },
  });
  return {
    ...values,
    // Who asks for help is not told what is wrong.
    homeserver: values.help ? { kind: "development" } : choice(values, environment),
    folder: values.folder ?? null,
    canary: values.canary ?? null,
  };
}

function choice(
  { homeserver, bot, sender }: { homeserver: string; bot?: string | undefined; sender?: string | undefined },
  environment: Readonly<Record<string, string | undefined>>,
): HomeserverChoice {
  if (homeserver === "development" || homeserver === "synapse") {
    if (bot !== undefined || sender !== undefined)
      throw new Error(`--bot and --sender go with --homeserver URL: this homeserver is made for the demo`);
    return { kind: homeserver };
  }
  const baseUrl = address(homeserver);
  const accountOf = (role: "bot" | "sender", user: string | undefined): DemoAccount => {
    if (user === undefined) throw new Error(`--homeserver URL needs --${role} USER, an account there`);
    if (!/^(@[^\s:]+:\S+|[^\s:@]+)$/.test(user))
      throw new Error(`--${role} must be a name or @name:server, not "${user}"`);
    const password = environment[PASSWORDS[role]] ?? "";
    if (password === "") throw new Error(`the password of ${user} is missing: set ${PASSWORDS[role]}`);
    return { user, password };
  };
  const accounts = { bot: accountOf("bot", bot), sender: accountOf("sender", sender) };
  if (accounts.bot.user.toLowerCase() === accounts.sender.user.toLowerCase())
    throw new Error("--bot and --sender must be two accounts: the bot never answers itself");
  return { kind: "foreign", baseUrl, ...accounts };
}

/** The words of the address are not repeated: somebody may have put a password into it. */
function address(text: string): string {
  const url = URL.parse(text);
  if (
    url === null ||
    !/^https?:$/.test(url.protocol) ||
    `${url.username}${url.password}${url.search}${url.hash}` !== ""
  )
    throw new Error("--homeserver must be synapse, or a base address such as https://matrix.example.org");
  return url.href.replace(/\/+$/, "");
}
