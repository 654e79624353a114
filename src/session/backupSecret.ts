/**
 * Fetches the key of the account's backup from secret storage (client-server API, "Secrets"; `m.megolm_backup.v1`). Whether it fits the
 * backup that the account has now, the backup finds out.
 */
import type { Config } from "../config/config.ts";
import { BACKUP_SECRET } from "../crypto/identityKeys.ts";
import { SecretStorage } from "../crypto/secretStorage.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import type { UserId } from "../protocol/ids.ts";
import { recoveryKeyNow } from "./recoveryFile.ts";

interface Account {
  readonly homeserver: Pick<Homeserver, "request">;
  readonly userId: UserId;
}

export type BackupSecret =
  | { readonly kind: "found"; readonly decryptionKey: string }
  /** The account has no secret storage, or one of a kind that Docket does not know, or no backup's key in it. */
  | { readonly kind: "no_storage" | "unsupported_storage" | "no_secret" }
  /** It is a recovery key, of something else. */
  | { readonly kind: "wrong_key" }
  /** It is no recovery key, and not the storage's passphrase; `problem` says why, without quoting. */
  | { readonly kind: "unreadable_key"; readonly problem: string };

/**
 * @param recoveryKey of the secret storage, or its passphrase
 * @throws ServerRefused | ServerUnreachable | Cancelled
 */
export async function backupSecret(
  recoveryKey: string,
  { homeserver, userId }: Account,
  signal: AbortSignal,
): Promise<BackupSecret> {
  const storage = new SecretStorage(homeserver, userId);
  const opened = await storage.open(recoveryKey, signal);
  switch (opened.kind) {
    case "absent":
      return { kind: "no_storage" };
    case "unsupported":
      return { kind: "unsupported_storage" };
    case "wrong_key":
    case "unreadable_key":
      return opened;
    case "open": {
      const decryptionKey = await storage.read(BACKUP_SECRET, opened.key, signal);
      return decryptionKey === null ? { kind: "no_secret" } : { kind: "found", decryptionKey };
    }
  }
}

/** For the engine: with the recovery key of the configuration. */
export function storedBackupKey(
  { account }: Pick<Config, "account">,
  owner: Account,
): (signal: AbortSignal) => Promise<string | null> {
  return async (signal) => {
    const recoveryKey = await recoveryKeyNow(account);
    const secret = recoveryKey === null ? null : await backupSecret(recoveryKey, owner, signal);
    return secret?.kind === "found" ? secret.decryptionKey : null;
  };
}
