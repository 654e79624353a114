/** What may stand behind `npm run demo --`. */
import { parseArgs } from "node:util";

export interface DemoOptions {
  readonly help: boolean;
  readonly keep: boolean;
  readonly json: boolean;
  /** Where everything goes, kept afterwards; null: a new temporary folder. */
  readonly folder: string | null;
  /** Text that is put where secrets stand: bodies of events and passwords. A test looks for it in the bot's log. */
  readonly canary: string | null;
  /** The bot's log level. */
  readonly log: string;
}

export const USAGE = `Usage: npm run demo -- [options]

Starts a development homeserver, the bot with the handlers of config.sample.yaml, and an independent
sender with its own encryption; sends real requests and shows what came back.

  --keep          leave it all running afterwards, with addresses and accounts, until Ctrl-C
  --json          one JSON object a line, each with "ok": true or false
  --folder DIR    keep configuration, data and logs in DIR, which must be empty or not exist
  --log LEVEL     the bot's log level (default: info)
  --canary TEXT   put TEXT into event bodies and passwords, to look for it in the log
  --help          this text

Exit code: 0 if everything came back as expected, 1 if not, 64 for a wrong option.
`;

/** @throws Error with one sentence for people when an option is unknown or lacks its value */
export function readDemoOptions(args: readonly string[]): DemoOptions {
  const { values } = parseArgs({
    args: [...args],
    strict: true,
    allowPositionals: false,
    options: {
      help: { type: "boolean", short: "h", default: false },
      keep: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      folder: { type: "string" },
      canary: { type: "string" },
      log: { type: "string", default: "info" },
    },
  });
  return { ...values, folder: values.folder ?? null, canary: values.canary ?? null };
}
