/**
 * `docket identity create` and `docket identity reset`: brings the account's identity as far as it goes with somebody at the terminal,
 * who may give what is missing. What is begun and not finished is gone on with by the next attempt, or by the running bot.
 */
import { z } from "zod";
import type { Clock } from "../../clock.ts";
import { IdentityDrafts } from "../../journal/identityDrafts.ts";
import { wordsFor, type Standing } from "../../session/identityStanding.ts";
import { makeMissingBackup } from "../../session/missingBackup.ts";
import { meansOf, accountIdentityOf, type Means } from "../../session/accountIdentity.ts";
import { handOverKept } from "../../session/recoveryHandover.ts";
import type { Device, DeviceOperation, Talk } from "./deviceOperation.ts";
import {
  identityQuestion,
  identityReply,
  identityReport,
  type IdentityQuestion,
  type IdentityReply,
  type IdentityReport,
} from "./identityTalk.ts";

const madeIdentity = z.object({
  signed: z.boolean(),
  /** What is missing, in sentences; null where the device is signed. */
  problem: z.string().nullable(),
  /** Where a new recovery key went; `none`: there is no new one. */
  recoveryKey: z.enum(["none", "file", "shown", "kept"]),
  /** The file that the configuration names. */
  file: z.string().nullable(),
});
export type MadeIdentity = z.output<typeof madeIdentity>;

type IdentityTalk = Talk<IdentityReport, IdentityQuestion, IdentityReply>;
type IdentityWork = DeviceOperation<null, IdentityReport, MadeIdentity, IdentityQuestion, IdentityReply>;

/** Wrong passwords and recovery keys that are borne. */
const MOST_ANSWERS = 5;
const APPROVAL_POLL_MS = 5_000;
const LONGEST_APPROVAL_MS = 10 * 60_000;

const shapes = {
  input: z.null(),
  report: identityReport,
  result: madeIdentity,
  question: identityQuestion,
  reply: identityReply,
};

export const createIdentity: IdentityWork = {
  ...shapes,
  name: "identity-create",
  run: (device, _input, talk) => make(device, talk, "settle"),
};

export const resetIdentity: IdentityWork = {
  ...shapes,
  name: "identity-reset",
  run: (device, _input, talk) => make(device, talk, "reset"),
};

async function make(device: Device, talk: IdentityTalk, way: "settle" | "reset"): Promise<MadeIdentity> {
  const { session, database, config, log } = device;
  const drafts = new IdentityDrafts(database);
  const own = accountIdentityOf(session, drafts, log);
  const keptBefore = drafts.kept();
  let means: Means = { ...meansOf(config.account), mayCreate: true };
  const waiting = new Patience(device.clock);
  let standing: Standing;
  for (let answers = 0; ;) {
    // What a reset has begun is gone on with, whatever the way: once the homeserver has it, it is there to stay.
    standing = await own[way](means, talk.signal);
    if (standing.kind === "waiting" && standing.for.kind === "approval") {
      talk.tell({ approvalUrl: standing.for.url });
      if (await waiting.isOver(talk.signal)) break;
      continue;
    }
    const question = answers < MOST_ANSWERS ? questionFor(standing, way, config.account.user) : null;
    if (question === null) break;
    answers += 1;
    const { text } = await talk.ask(question);
    if (text === null || text === "") break;
    means = question.kind === "password" ? { ...means, password: text } : { ...means, recoveryKey: text };
  }
  // One that somebody has deleted is made again only here, where somebody asks for it.
  if (standing.kind === "signed") await makeMissingBackup(session, means.recoveryKey, log, talk.signal);
  session.engine.crossSigning.noteChange();
  const file = means.recoveryFile;
  const problem = wordsFor(standing);
  const signed = standing.kind === "signed";
  const handedOver = await handOver(drafts, file, talk, log);
  if (handedOver !== null) return { signed, problem, recoveryKey: handedOver, file };
  const isNew = signed && file !== null && way === "reset" && keptBefore === null;
  return { signed, problem, recoveryKey: isNew ? "file" : "none", file };
}

function questionFor(standing: Standing, way: "settle" | "reset", userId: string): IdentityQuestion | null {
  if (standing.kind === "waiting") {
    const { kind } = standing.for;
    if (kind === "password" || kind === "other_password")
      return { kind: "password", userId, again: kind === "other_password" };
    return null;
  }
  if (way === "reset") return null;
  if (standing.kind === "unreadable_key") return { kind: "recovery_key", problem: `it is none: ${standing.problem}` };
  if (standing.kind !== "unsigned") return null;
  if (standing.why === "wrong_recovery_key")
    return { kind: "recovery_key", problem: "it is not the key of the account's secret storage" };
  const isMissing = standing.why === "no_recovery_key" || standing.why === "storage_of_others";
  return isMissing ? { kind: "recovery_key", problem: null } : null;
}

/** @returns where the key that nobody had yet is now; null where there is none */
export async function handOver(
  drafts: IdentityDrafts,
  recoveryFile: string | null,
  talk: Pick<IdentityTalk, "ask">,
  log: Device["log"],
): Promise<"file" | "shown" | "kept" | null> {
  await handOverKept(drafts, { recoveryFile, show: null, log });
  const kept = drafts.kept();
  if (kept === null) return null;
  const { text } = await talk.ask({ kind: "show", recoveryKey: kept.recoveryKey });
  if (text === null) return "kept";
  drafts.handedOver();
  return "shown";
}

class Patience {
  private readonly clock: Clock;
  private readonly until: number;

  constructor(clock: Clock) {
    this.clock = clock;
    this.until = clock.now() + LONGEST_APPROVAL_MS;
  }

  async isOver(signal: AbortSignal): Promise<boolean> {
    if (this.clock.now() >= this.until) return true;
    await this.clock.sleep(APPROVAL_POLL_MS, signal);
    signal.throwIfAborted();
    return false;
  }
}
