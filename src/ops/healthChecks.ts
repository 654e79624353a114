/**
 * Judges the facts of src/vitals.ts: which of the four things that the bot is there for it can do, and why not, in a sentence for
 * people with what to do. Pure.
 */
import type { EpochMs } from "../clock.ts";
import type { Facts, Trouble } from "../vitals.ts";

export const checkNames = ["syncing", "decrypting", "writing", "sending"] as const;
export type CheckName = (typeof checkNames)[number];

/** A long poll takes half a minute; what comes late for two more has not come. */
const SYNC_TOO_OLD_MS = 150_000;
/** So many events in a row that can't be decrypted are no accident. */
const UNDECRYPTABLE_IN_A_ROW = 10;
const FAILURES_IN_A_ROW = 3;
/** New one-time keys are there within a sync or two. */
const FEW_KEYS_WORTH_SAYING_MS = 2 * 60_000;
/** The probe writes every five seconds. */
const WRITE_TOO_OLD_MS = 30_000;
/** A failure to send is over after this, if nothing waits to be sent. */
const FAILURE_FRESH_MS = 60_000;
/** A homeserver that limits now and then is no trouble; one that wants to be left alone for longer is. */
const LIMIT_WORTH_SAYING_MS = 5_000;

/**
 * @param messagesWait whether messages still wait to be sent; asked only where it matters
 * @returns for each check what is wrong, or null
 */
export function problemsOf(
  facts: Facts,
  now: EpochMs,
  messagesWait: () => boolean,
): Readonly<Record<CheckName, string | null>> {
  return {
    syncing: syncProblem(facts, now),
    decrypting: decryptProblem(facts, now),
    writing: writeProblem(facts, now),
    sending: sendProblem(facts, now, messagesWait),
  };
}

function syncProblem({ lastSyncAt, syncTrouble }: Facts, now: EpochMs): string | null {
  if (syncTrouble !== null)
    return `The homeserver could not be asked for news ${said(syncTrouble)} The bot asks again by itself; if it stays so, look at the homeserver and at the address in the configuration.`;
  if (lastSyncAt === null)
    return "The first sync since the start is not done yet. After a long absence it may take minutes.";
  if (now - lastSyncAt > SYNC_TOO_OLD_MS)
    return `The last sync was ${seconds(now - lastSyncAt)} ago. The homeserver holds its answer back, or the inbox is full (limits.inbox): the log says which.`;
  return null;
}

/** What is off with the keys on the homeserver although the bot can still decrypt; null where nothing is. A sentence. */
export function keyNote({ keyCounts }: Facts, now: EpochMs): string | null {
  if (keyCounts === null || !isLong(keyCounts.fewSince, now)) return null;
  const fallback = keyCounts.hasFallback === true ? "Until there are more, new devices use one fallback key" : null;
  return `The homeserver has only ${keyCounts.oneTimeKeys} one-time keys of the bot, and got no new ones for ${seconds(now - (keyCounts.fewSince ?? now))}. ${fallback ?? "Without any, new devices can't give the bot their keys"}; see the log for key requests that fail.`;
}

function isLong(since: EpochMs | null, now: EpochMs): boolean {
  return since !== null && now - since >= FEW_KEYS_WORTH_SAYING_MS;
}

const NEW_DEVICE =
  "Only a new device helps: sign in again with `docket login`, with a new, empty data.directory, and keep this one, which holds the record.";

function decryptProblem(facts: Facts, now: EpochMs): string | null {
  const { engineRuns, undecryptable, keyUploads, keyCounts, ownKeys, copySign } = facts;
  if (!engineRuns) return "The crypto engine does not run yet; it starts when the homeserver has answered.";
  if (ownKeys === "none")
    return `The homeserver does not show the keys of the bot's device any more, so nobody can encrypt for it: the device was deleted there. ${NEW_DEVICE}`;
  if (ownKeys === "others")
    return `The homeserver shows other keys of the bot's device than its own, so nobody can encrypt for it: another program has signed in as the same device. ${NEW_DEVICE}`;
  if (keyUploads.failures >= FAILURES_IN_A_ROW && copySign === "one_time_keys")
    return "The homeserver refuses the bot's one-time keys, because it has others: new devices may not be able to give the bot their keys. The notes say what to do.";
  if (keyCounts?.oneTimeKeys === 0 && keyCounts.hasFallback === false && isLong(keyCounts.fewSince, now))
    return "The homeserver has no one-time key and no fallback key of the bot: new devices can't give it their keys. See the log for key requests that fail.";
  if (keyUploads.failures >= FAILURES_IN_A_ROW && keyUploads.trouble !== null)
    return `The bot's one-time keys could not be uploaded ${keyUploads.failures} times in a row ${said(keyUploads.trouble)} Without them new devices can't give the bot their keys; look at the homeserver.`;
  if (undecryptable.count >= UNDECRYPTABLE_IN_A_ROW)
    return `None of the last ${undecryptable.count} encrypted events could be decrypted (the last one: ${undecryptable.lastReason ?? "unknown"}). See whether the senders' clients give their keys to the bot's device; docs/errors.md explains the reasons.`;
  return null;
}

function writeProblem({ lastWriteAt, freeDiskBytes }: Facts, now: EpochMs): string | null {
  if (lastWriteAt === null) return "The database has not been written to yet; it will be when the bot has started.";
  if (now - lastWriteAt > WRITE_TOO_OLD_MS)
    return `The last write to the database was ${seconds(now - lastWriteAt)} ago, and is tried every 5 seconds. Look at the disk of the data directory.`;
  if (freeDiskBytes === null)
    return "It is not known how much room the disk has. Look at the file system of the data directory.";
  return null;
}

function sendProblem({ sends }: Facts, now: EpochMs, messagesWait: () => boolean): string | null {
  const { failures, trouble, limitedUntil } = sends;
  if (trouble === null) return null;
  const limited = limitedUntil > now && limitedUntil - trouble.at >= LIMIT_WORTH_SAYING_MS;
  if (!limited && failures < FAILURES_IN_A_ROW) return null;
  if (now - trouble.at > FAILURE_FRESH_MS && !messagesWait()) return null;
  return limited
    ? `The homeserver takes no messages of the bot for another ${seconds(limitedUntil - now)} ${said(trouble)} Raise the rate limit for the bot's account.`
    : `The last ${failures} attempts to send failed ${said(trouble)} Look at the homeserver, and at the bot's rights in the room that the log names.`;
}

/** In brackets: the code, and the error's own sentence. */
function said({ code, problem }: Trouble): string {
  return problem === null ? `(${code}: a bug; the log says more).` : `(${code}: ${problem.replace(/\.$/, "")}).`;
}

function seconds(ms: number): string {
  return `${Math.ceil(ms / 1000)} s`;
}
