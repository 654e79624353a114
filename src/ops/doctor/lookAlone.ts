/**
 * The doctor without a bot that answers: takes the data directory's lock, where nobody has it, and looks with its own eyes. Guarantee:
 * nothing is brought up to date or changed there; SQLite leaves its memory for readers (`-shm`, an empty `-wal`).
 */
import type { Clock } from "../../clock.ts";
import type { OwnIdentity } from "../../crypto/ownIdentity.ts";
import { storedIdentity } from "../../crypto/storedIdentity.ts";
import { Database } from "../../journal/database.ts";
import { ownerOf } from "../../journal/ownership.ts";
import { ask, failureOf, notAsked } from "./asked.ts";
import { diagnose, type Sight } from "./diagnose.ts";
import type { Asked, BotFacts, DirectoryFacts } from "./facts.ts";
import type { DoctorReport } from "./finding.ts";
import { whyNoDatabase } from "./lookAtDisk.ts";

export interface LonelySight extends Pick<Sight, "configuration" | "directoryPath" | "configFile" | "limit"> {
  /** Null where nobody listens on the control socket. */
  readonly bot: Extract<BotFacts, { kind: "hanging" | "denied" | "unknown" }> | null;
}

interface Opened {
  readonly bot: BotFacts;
  readonly directory: DirectoryFacts;
  readonly database: Database | null;
  readonly letGo: () => void;
}

export async function lookAlone(sight: LonelySight, ports: { clock: Clock; version: string }): Promise<DoctorReport> {
  const opened = open(sight);
  const { bot, directory, database } = opened;
  try {
    const identity = (): Promise<Asked<OwnIdentity>> => readIdentity(opened);
    return await diagnose({ ...sight, by: "command", bot, directory, database, homeserver: null, identity }, ports);
  } finally {
    database?.close();
    opened.letGo();
  }
}

function open({ directoryPath, bot: known }: LonelySight): Opened {
  let bot: BotFacts = known ?? { kind: "stopped" };
  let letGo = (): void => undefined;
  const without = (directory: DirectoryFacts): Opened => ({ bot, directory, database: null, letGo });
  if (directoryPath === null) return without({ kind: "absent" });
  const why = whyNoDatabase(directoryPath);
  if (why !== null) return without(why);
  try {
    if (known === null) {
      const held = Database.hold(directoryPath);
      if (held === null) bot = { kind: "deaf" };
      else letGo = held;
    }
    if (Database.isOlder(directoryPath)) return without({ kind: "older" });
    const database = Database.openReadOnly(directoryPath);
    return { bot, directory: { kind: "good", owner: ownerOf(database) }, database, letGo };
  } catch (error) {
    return without({ kind: "failed", failure: failureOf(error) });
  }
}

/** While a bot works on the directory its keys may change under our eyes. */
async function readIdentity({ bot, directory, database }: Opened): Promise<Asked<OwnIdentity>> {
  if (bot.kind !== "stopped") return notAsked("The bot has its keys open, and does not answer.");
  if (database === null || directory.kind !== "good" || directory.owner === null)
    return notAsked("There are no keys in the data directory yet.");
  const { owner } = directory;
  const identity = await ask(() => storedIdentity(database, owner));
  if (identity.kind !== "known") return identity;
  return identity.value === null
    ? notAsked("There are no keys in the data directory yet.")
    : { kind: "known", value: identity.value };
}
