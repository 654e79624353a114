/**
 * Carries out a draft that the homeserver has taken (accountIdentity.ts, step 3): from the private keys in docket.db to a signed device, a
 * secret storage with all of them, and a key backup whose key is in it. Each step finds out what is there already.
 */
import type { CrossSigning, IdentityView } from "../crypto/crossSigning.ts";
import { BACKUP_SECRET, SECRET_NAMES } from "../crypto/identityKeys.ts";
import { readRecoveryKey } from "../crypto/recoveryKey.ts";
import type { SecretStorage, StorageKey } from "../crypto/secretStorage.ts";
import { ServerRefused, ServerUnreachable } from "../errors.ts";
import type { IdentityDraft, IdentityDrafts } from "../journal/identityDrafts.ts";
import type { Logger } from "../logging.ts";
import { createRecoveryFile, replaceRecoveryFile } from "./recoveryFile.ts";

/** The key backup, as the setting up of an identity needs it. */
export interface AccountBackup {
  /** A new decryption key, in base64. */
  newKey(): string;
  /** Makes a backup that this key reads; can be repeated. */
  create(decryptionKey: string, signal: AbortSignal): Promise<unknown>;
  /** @returns whether the account's current backup is this key's */
  adopt(decryptionKey: string, signal: AbortSignal): Promise<boolean>;
  /** Asks the homeserver which backup is current. */
  check(signal: AbortSignal): Promise<{ readonly kind: string }>;
}

export interface SetupPorts {
  readonly crossSigning: CrossSigning;
  readonly storage: SecretStorage;
  readonly backup: AccountBackup;
  readonly drafts: IdentityDrafts;
  readonly log: Logger;
}

/**
 * @param view of the draft's identity
 * @throws ServerRefused | ServerUnreachable | Cancelled | StoreFailed | CryptoPanicked
 */
export async function finishDraft(
  draft: IdentityDraft,
  view: IdentityView,
  ports: SetupPorts,
  means: { readonly recoveryKey: string | null; readonly recoveryFile: string | null },
  signal: AbortSignal,
): Promise<void> {
  const { crossSigning, storage, drafts, log } = ports;
  if (view.master !== draft.master || !(view.hasPrivateKeys || (await crossSigning.takeIn(draft.secrets)))) {
    throw new ServerUnreachable(
      "The homeserver took the account's new identity, and does not show it yet; it is tried again.",
      { doubtful: true },
    );
  }
  if (view.signature !== "signed") await crossSigning.signDevice(signal);
  const isHandedOver = await handOver(draft, means, log);
  const read = readRecoveryKey(draft.recoveryKey);
  if (read.kind === "none") throw new TypeError("the draft's recovery key is none");
  const key = { keyId: draft.keyId, key: read.key };
  await storage.describe(key, signal);
  for (const name of ["master", "selfSigning", "userSigning"] as const)
    await storage.write(SECRET_NAMES[name], draft.secrets[name], key, signal);
  await setUpBackup(ports, key, signal);
  await storage.setDefault(key, signal);
  drafts.finish({ isHandedOver });
}

/** The key is in secret storage before the homeserver hears of the backup. */
export async function setUpBackup(
  { storage, backup, log }: Pick<SetupPorts, "storage" | "backup" | "log">,
  key: StorageKey,
  signal: AbortSignal,
): Promise<void> {
  const stored = await storage.read(BACKUP_SECRET, key, signal);
  const decryptionKey = stored ?? backup.newKey();
  if (stored === null) await storage.write(BACKUP_SECRET, decryptionKey, key, signal);
  await whereTaken(() => backup.create(decryptionKey, signal), log);
}

/**
 * Makes a backup. A homeserver may keep none: that is no reason to be without an identity.
 * @returns whether the homeserver takes one
 */
export async function whereTaken(make: () => Promise<unknown>, log: Logger): Promise<boolean> {
  try {
    await make();
    return true;
  } catch (error) {
    if (!(error instanceof ServerRefused) || error.retryable || error.tokenRefused) throw error;
    log.warn({ code: error.code, problem: error.message }, "the homeserver does not take a key backup");
    return false;
  }
}

/** @returns whether the operator has the recovery key now, or had it before */
async function handOver(
  { recoveryKey, replaces }: IdentityDraft,
  means: { readonly recoveryKey: string | null; readonly recoveryFile: string | null },
  log: Logger,
): Promise<boolean> {
  if (isSameKey(means.recoveryKey, recoveryKey)) return true;
  if (means.recoveryFile === null) return false;
  // The key in the file of an identity that is no more opens nothing.
  const write = replaces === null ? createRecoveryFile : replaceRecoveryFile;
  const written = await write(means.recoveryFile, recoveryKey);
  if (written.kind === "written") {
    log.info(
      { file: means.recoveryFile },
      "the account's recovery key was written to its file: keep a copy of it elsewhere",
    );
    return true;
  }
  log.warn(
    { file: means.recoveryFile, problem: written.kind === "taken" ? "it holds something else" : written.code },
    "the recovery key could not be written to its file; it is kept in docket.db until `docket identity show --recovery-key` has shown it",
  );
  return false;
}

function isSameKey(text: string | null, recoveryKey: string): boolean {
  if (text === null) return false;
  const [given, ours] = [readRecoveryKey(text), readRecoveryKey(recoveryKey)];
  return given.kind === "key" && ours.kind === "key" && given.key.equals(ours.key);
}
