/** `docket data restored`: what has to be done once when a data directory was put back from an older copy, before the bot starts on it. */
import type { Command } from "commander";
import { systemClock } from "../clock.ts";
import { loadConfig } from "../config/loadConfig.ts";
import { DataDirectoryRefused, ExitCode } from "../errors.ts";
import type { AtRest, OnServer } from "../session/restoredCopy.ts";
import { defaultConfigFile, type CommandContext, type CommandResult, type RunCommand } from "./command.ts";
import { plainLogger } from "./plainLogger.ts";

/** The one-time keys could not be replaced. */
const NEW_DEVICE_NEEDED = 1;

export function addDataRestored(data: Command, context: CommandContext, run: RunCommand): void {
  data
    .command("restored")
    .summary("make a restored data directory usable")
    .description(
      "To be run once after a data directory was put back from an older copy, while the bot is stopped and no other process uses its device. " +
        "Ends every key that the copy would use a second time: room keys that it sent with, encrypted channels to other devices, and the one-time keys on the homeserver, " +
        "which get replaced. Messages that wait are sent only if the room does not have them yet. May be repeated; exits 1 if only a new device helps.",
    )
    .option("-c, --config <file>", "the configuration file", defaultConfigFile)
    .action((options: { config: string }) => run(() => restored(options.config, context)));
}

async function restored(configFile: string, context: CommandContext): Promise<CommandResult> {
  const config = await loadConfig(configFile, context);
  const { directory } = config.data;
  const { Database } = await import("../journal/database.ts");
  if (!Database.exists(directory))
    throw new DataDirectoryRefused(
      `There is no data in ${directory}. Put the copy there first, or check data.directory.`,
    );
  const { ownerOf } = await import("../journal/ownership.ts");
  const { openSession } = await import("../session/openSession.ts");
  const { restoreAtRest, restoreOnServer } = await import("../session/restoredCopy.ts");
  const signal = context.stopSignal();
  const database = Database.open(directory);
  try {
    const atRest = restoreAtRest(database);
    context.stdout.write(`${saidAtRest(atRest)}\n`);
    const session = await openSession(database, config, {
      clock: systemClock,
      log: plainLogger(context.stderr),
      signal,
      role: ownerOf(database)?.role ?? null,
      patience: "once",
      onFatal: (error) => context.endNow(error),
    });
    try {
      const onServer = await restoreOnServer(session, { database, clock: systemClock, signal });
      context.stdout.write(`${saidOnServer(onServer)}\n`);
      return onServer.uploaded > 0 ? ExitCode.ok : NEW_DEVICE_NEEDED;
    } finally {
      await session.stop();
    }
  } finally {
    database.close();
  }
}

function saidAtRest({ olmSessions, roomKeys }: AtRest): string {
  return `Ended ${count(roomKeys, "room key")} that the bot sent with, and ${count(olmSessions, "channel")} to other devices. They begin anew with the next message.`;
}

function saidOnServer({ takenBack, uploaded, doubtful }: OnServer): string {
  const waiting =
    doubtful === 0
      ? "No message waits to be sent."
      : `${count(doubtful, "message")} wait to be sent; each answer goes out only if its room does not have it yet.`;
  if (uploaded === 0)
    return (
      `Took back ${count(takenBack, "one-time key")}, but the homeserver took no new ones: new devices can't give this device their keys. ${waiting}\n` +
      "If the lines before say that the homeserver did not answer, repeat this. Else only a new device helps: keep this directory, which has the record, give the configuration a new, empty data.directory, and run `docket login`."
    );
  return (
    `Took back ${count(takenBack, "one-time key")} from the homeserver and uploaded ${uploaded} new ones. ${waiting}\n` +
    "Room keys that came after the copy was made are lost to it: events under them stay undecrypted unless their senders give the keys again, or the key backup has them (`docket identity restore`). No new device is needed; start the bot."
  );
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}
