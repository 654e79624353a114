/**
 * Takes the private keys of the account's identity from its secret storage, with the recovery key, and signs this device with them
 * (accountIdentity.ts, step 4); the key of the account's backup comes along. Changes nothing of the identity, nor of the storage, but for a
 * backup where the account has none.
 */
import type { IdentityView } from "../crypto/crossSigning.ts";
import { BACKUP_SECRET, masterKeyOf, SECRET_NAMES, type IdentitySecrets } from "../crypto/identityKeys.ts";
import type { SecretStorage, StorageKey } from "../crypto/secretStorage.ts";
import { setUpBackup, type SetupPorts } from "./identitySetup.ts";
import type { Standing } from "./identityStanding.ts";

/**
 * @param recoveryKey or the storage's passphrase
 * @param view of the identity
 * @throws ServerRefused | ServerUnreachable | Cancelled | CryptoPanicked
 */
export async function recoverIdentity(
  recoveryKey: string,
  view: IdentityView,
  ports: SetupPorts,
  means: { readonly mayCreate: boolean },
  signal: AbortSignal,
): Promise<Standing> {
  const { crossSigning, storage, backup, log } = ports;
  const opened = await storage.open(recoveryKey, signal);
  switch (opened.kind) {
    case "absent":
      return { kind: "unsigned", why: "no_secret_storage" };
    case "unsupported":
      return { kind: "unsigned", why: "unsupported_secret_storage" };
    case "wrong_key":
      return { kind: "unsigned", why: "wrong_recovery_key" };
    case "unreadable_key":
      return opened;
    case "open":
  }
  const secrets = await secretsIn(storage, opened.key, signal);
  if (secrets === null || masterKeyOf(secrets) !== view.master || !(await crossSigning.takeIn(secrets)))
    return { kind: "unsigned", why: "secrets_do_not_fit" };
  if (view.signature !== "signed") await crossSigning.signDevice(signal);
  log.info({}, "the account's identity was taken from its secret storage, and signs this device");
  const backupKey = await storage.read(BACKUP_SECRET, opened.key, signal);
  if (backupKey !== null) await backup.adopt(backupKey, signal);
  else if (means.mayCreate && (await backup.check(signal)).kind === "absent")
    await setUpBackup(ports, opened.key, signal);
  const after = await crossSigning.look(signal);
  return after.signature === "signed" ? { kind: "signed" } : { kind: "unsigned", why: "signature_not_shown" };
}

async function secretsIn(
  storage: SecretStorage,
  key: StorageKey,
  signal: AbortSignal,
): Promise<IdentitySecrets | null> {
  const master = await storage.read(SECRET_NAMES.master, key, signal);
  const selfSigning = await storage.read(SECRET_NAMES.selfSigning, key, signal);
  const userSigning = await storage.read(SECRET_NAMES.userSigning, key, signal);
  return master === null || selfSigning === null || userSigning === null ? null : { master, selfSigning, userSigning };
}
