/**
 * Makes the key backup of an account that has an identity and no backup: somebody has deleted it, or it was never made. Not done by
 * itself, since whoever deleted it may have meant it.
 */
import { SecretStorage } from "../crypto/secretStorage.ts";
import type { Logger } from "../logging.ts";
import { setUpBackup } from "./identitySetup.ts";
import type { Session } from "./openSession.ts";

/**
 * For the key that is here; else for the one in secret storage, or a new one that goes there, with the recovery key.
 * @param recoveryKey null: there is none
 * @throws ServerRefused | ServerUnreachable | Cancelled | CryptoPanicked
 */
export async function makeMissingBackup(
  { engine: { backup }, homeserver, userId }: Session,
  recoveryKey: string | null,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  if ((await backup.check(signal)).kind !== "absent") return;
  if ((await backup.remake(signal)).kind !== "absent" || recoveryKey === null) return;
  const storage = new SecretStorage(homeserver, userId);
  const opened = await storage.open(recoveryKey, signal);
  if (opened.kind === "open") await setUpBackup({ storage, backup, log }, opened.key, signal);
}
