/** Brings a recovery key that is kept in docket.db to whoever keeps it from now on: its file, or the person at the terminal. */
import type { IdentityDrafts } from "../journal/identityDrafts.ts";
import type { Logger } from "../logging.ts";
import { createRecoveryFile } from "./recoveryFile.ts";

/**
 * What nobody could be given stays kept.
 * @throws StoreFailed
 */
export async function handOverKept(
  drafts: IdentityDrafts,
  { recoveryFile, show, log }: { recoveryFile: string | null; show: ((key: string) => void) | null; log: Logger },
): Promise<void> {
  const kept = drafts.kept();
  if (kept === null) return;
  if (recoveryFile !== null && (await createRecoveryFile(recoveryFile, kept.recoveryKey)).kind === "written") {
    log.info({ file: recoveryFile }, "the account's recovery key was written to its file: keep a copy of it elsewhere");
    drafts.handedOver();
    return;
  }
  if (show === null) return;
  show(kept.recoveryKey);
  drafts.handedOver();
}

/** The key as a person sees it once, with what it is for. */
export function recoveryKeyWords(recoveryKey: string): string {
  return (
    `The recovery key of the bot's account, shown this once:\n\n    ${recoveryKey}\n\n` +
    "Keep it where the data directory is not. With it, a new device of the bot gets its identity and its room keys back.\n"
  );
}
