/**
 * Makes the key backup of an account that has an identity and no backup: somebody has deleted it, or it was never made. Not done by
 * itself, since whoever deleted it may have meant it.
 */
import type { CryptoEngine } from "../crypto/cryptoEngine.ts";
import { SecretStorage } from "../crypto/secretStorage.ts";
import type { Logger } from "../logging.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import type { UserId } from "../protocol/ids.ts";
import { setUpBackup, whereTaken } from "./identitySetup.ts";

interface Account {
  readonly homeserver: Pick<Homeserver, "request">;
  readonly engine: Pick<CryptoEngine, "backup">;
  readonly userId: UserId;
}

/**
 * For the key that is here; else for the one in secret storage, or a new one that goes there, with the recovery key.
 * @param recoveryKey null: there is none
 * @throws ServerRefused | ServerUnreachable | Cancelled | CryptoPanicked
 */
export async function makeMissingBackup(
  { engine: { backup }, homeserver, userId }: Account,
  recoveryKey: string | null,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  if ((await backup.check(signal)).kind !== "absent") return;
  const isTaken = await whereTaken(() => backup.remake(signal), log);
  if (!isTaken || backup.state.kind !== "absent" || recoveryKey === null) return;
  const storage = new SecretStorage(homeserver, userId);
  const opened = await storage.open(recoveryKey, signal);
  if (opened.kind === "open") await setUpBackup({ storage, backup, log }, opened.key, signal);
}
