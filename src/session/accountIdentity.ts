/**
 * The account's identity, from nothing to a device that others may trust. One call of `settle` looks at the homeserver and goes as far as
 * it can; it can be killed between any two requests, and the next one goes on to the same end. What is there is read each time: the
 * homeserver's copy of the identity, the private keys in the key store, and the draft in docket.db.
 *
 * 1. No identity, no draft. One is drafted: private keys and recovery key are made, and on disk before the homeserver hears of them. Not
 *    if none is wanted; nor beside a secret storage that we can't open, which a second one would hide; nor where the homeserver showed an
 *    identity before.
 * 2. A draft that the homeserver has not. It is uploaded, the same one each time. What the homeserver wants for that and is not there (a
 *    password, an approval) is returned; the draft waits.
 * 3. A draft that the homeserver has. The library takes its private keys in, the device is signed, the recovery key goes to its file,
 *    the secrets go to secret storage under it, then the key of a new backup, then the backup is made; last of all the storage becomes the
 *    account's default, and the draft goes. No step makes anything twice.
 * 4. An identity that is not the draft's, or no draft. Its private keys are here: the device is signed, and a missing secret storage is
 *    made by way of a draft (3). They are not: the recovery key fetches them from secret storage; without one the device stays as it is.
 *
 * Nothing here replaces an identity but `reset`: it drafts one that takes the place of the present one (2, 3). Until the homeserver has
 * taken it, the one before stays in use; a reset that was killed before that has not happened.
 */
import { randomBytes } from "node:crypto";
import type { Config } from "../config/config.ts";
import type { CrossSigning, IdentityView } from "../crypto/crossSigning.ts";
import { makeIdentitySecrets, masterKeyOf, publicIdentity, type IdentitySecrets } from "../crypto/identityKeys.ts";
import { readRecoveryKey, recoveryKeyOf } from "../crypto/recoveryKey.ts";
import { SecretStorage } from "../crypto/secretStorage.ts";
import type { IdentityDraft, IdentityDrafts } from "../journal/identityDrafts.ts";
import type { Logger } from "../logging.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import type { UserId } from "../protocol/ids.ts";
import { finishDraft, type AccountBackup } from "./identitySetup.ts";
import { recoverIdentity } from "./identityRecovery.ts";
import type { Standing } from "./identityStanding.ts";
import type { Session } from "./openSession.ts";
import { OwnerConfirmation } from "./ownerConfirmation.ts";

/** What the operator gives, from the configuration or at a terminal. */
export interface Means {
  /** The recovery key of the account's secret storage, or its passphrase; null: none. */
  readonly recoveryKey: string | null;
  /** Where a new recovery key is written. */
  readonly recoveryFile: string | null;
  readonly password: string | null;
  /** Whether what the account does not have is made. */
  readonly mayCreate: boolean;
}

export interface OwnIdentityPorts {
  readonly userId: UserId;
  readonly homeserver: Pick<Homeserver, "request">;
  readonly crossSigning: CrossSigning;
  readonly backup: AccountBackup;
  readonly drafts: IdentityDrafts;
  readonly log: Logger;
}

/** As the configuration gives them. */
export function meansOf(account: Config["account"]): Means {
  const { recoveryKey, password, createIdentity } = account;
  return {
    recoveryKey: recoveryKey?.value?.reveal() ?? null,
    recoveryFile: recoveryKey?.file ?? null,
    password: password?.reveal() ?? null,
    mayCreate: createIdentity,
  };
}

export function accountIdentityOf(
  { userId, homeserver, engine }: Session,
  drafts: IdentityDrafts,
  log: Logger,
): AccountIdentity {
  const { crossSigning, backup } = engine;
  return new AccountIdentity({ userId, homeserver, crossSigning, backup, drafts, log });
}

export class AccountIdentity {
  private readonly ports: OwnIdentityPorts;
  private readonly storage: SecretStorage;
  private readonly confirmation: OwnerConfirmation;

  constructor(ports: OwnIdentityPorts) {
    this.ports = ports;
    this.storage = new SecretStorage(ports.homeserver, ports.userId);
    this.confirmation = new OwnerConfirmation(ports.crossSigning);
  }

  /**
   * Goes as far as it can.
   * @throws ServerRefused | ServerUnreachable | Cancelled | StoreFailed | CryptoPanicked
   */
  settle(means: Means, signal: AbortSignal): Promise<Standing> {
    const { crossSigning } = this.ports;
    return crossSigning.exclusively(() => this.settleOnce(means, signal), signal);
  }

  /**
   * Gives the account a new identity, a new secret storage and a new backup, whatever it had.
   * @throws as `settle`
   */
  reset(means: Omit<Means, "mayCreate">, signal: AbortSignal): Promise<Standing> {
    const { crossSigning, drafts } = this.ports;
    return crossSigning.exclusively(async () => {
      const view = await crossSigning.look(signal);
      if (!view.isDeviceKnown) return { kind: "unsigned", why: "device_unknown" };
      const begun = drafts.current();
      // One that was begun before goes on: the homeserver may have taken it.
      const isBegun = begun !== null && (begun.master === view.master || begun.replaces === view.master);
      const draft = isBegun ? begun : this.begin(view.master, makeIdentitySecrets(), newStorageKey());
      return await this.carryOut(draft, view, { ...means, mayCreate: true }, signal);
    }, signal);
  }

  private async settleOnce(means: Means, signal: AbortSignal): Promise<Standing> {
    const { crossSigning, drafts } = this.ports;
    const view = await crossSigning.look(signal);
    if (!view.isDeviceKnown) return { kind: "unsigned", why: "device_unknown" };
    const draft = drafts.current();
    if (draft !== null && draft.master === view.master) return await this.carryOut(draft, view, means, signal);
    if (view.master !== null) return await this.useExisting(view, means, signal);
    if (view.lastSeenMaster !== null) return { kind: "unsigned", why: "identity_vanished" };
    if (!means.mayCreate) return { kind: "not_wanted" };
    if (draft !== null && draft.replaces === null) return await this.carryOut(draft, view, means, signal);
    const place = await this.placeForSecrets(means.recoveryKey, signal);
    if ("kind" in place) return place;
    return await this.carryOut(this.begin(null, makeIdentitySecrets(), place), view, means, signal);
  }

  private async useExisting(view: IdentityView, means: Means, signal: AbortSignal): Promise<Standing> {
    const { crossSigning, drafts } = this.ports;
    if (!view.hasPrivateKeys) {
      if (view.signature === "signed" && means.recoveryKey === null) return { kind: "signed" };
      const recoveryKey = means.recoveryKey ?? drafts.kept()?.recoveryKey ?? null;
      if (recoveryKey === null) return { kind: "unsigned", why: "no_recovery_key" };
      const ports = { ...this.ports, storage: this.storage };
      const recovered = await recoverIdentity(recoveryKey, view, ports, means, signal);
      // Somebody has verified the device: it does not need the private keys.
      return view.signature === "signed" ? { kind: "signed" } : recovered;
    }
    if (view.signature !== "signed") await crossSigning.signDevice(signal);
    if (means.mayCreate && (await this.storage.defaultKeyId(signal)) === null) {
      const secrets = await crossSigning.secrets();
      const place = await this.placeForSecrets(means.recoveryKey, signal);
      if (secrets !== null && !("kind" in place)) {
        // Nothing is uploaded for this one: the homeserver has the identity.
        const draft = this.begin(null, secrets, place);
        return await this.carryOut(draft, await crossSigning.look(signal), means, signal);
      }
    }
    return await this.isSigned(signal);
  }

  private async carryOut(
    draft: IdentityDraft,
    view: IdentityView,
    means: Means,
    signal: AbortSignal,
  ): Promise<Standing> {
    const { userId, crossSigning } = this.ports;
    let now = view;
    if (view.master !== draft.master) {
      const confirmation = { userId, password: means.password };
      const shown = publicIdentity(userId, draft.secrets);
      const wanted = await this.confirmation.upload(shown, draft, confirmation, signal);
      if (wanted !== null && wanted !== "overtaken")
        return { kind: "waiting", for: wanted, isReset: draft.replaces !== null };
      now = await crossSigning.look(signal);
      // The draft of another device, or of another client, was faster: what the account has now is not ours to replace.
      if (wanted === "overtaken") return await this.useExisting(now, means, signal);
    }
    await finishDraft(draft, now, { ...this.ports, storage: this.storage }, means, signal);
    return await this.isSigned(signal);
  }

  private begin(replaces: string | null, secrets: IdentitySecrets, place: NewStorage): IdentityDraft {
    const draft = { replaces, master: masterKeyOf(secrets), secrets, ...place };
    this.ports.drafts.begin(draft);
    return draft;
  }

  /** Where the private keys of an identity would go that is not there yet. */
  private async placeForSecrets(recoveryKey: string | null, signal: AbortSignal): Promise<NewStorage | Standing> {
    const keyId = await this.storage.defaultKeyId(signal);
    if (keyId !== null) {
      if (recoveryKey === null) return { kind: "unsigned", why: "storage_of_others" };
      const opened = await this.storage.open(recoveryKey, signal);
      if (opened.kind === "open") return { keyId, recoveryKey: recoveryKeyOf(opened.key.key) };
      if (opened.kind === "unreadable_key") return opened;
      return { kind: "unsigned", why: opened.kind === "wrong_key" ? "wrong_recovery_key" : "storage_of_others" };
    }
    if (recoveryKey === null) return newStorageKey();
    const read = readRecoveryKey(recoveryKey);
    if (read.kind === "none") return { kind: "unreadable_key", problem: read.problem };
    return { ...newStorageKey(), recoveryKey: recoveryKeyOf(read.key) };
  }

  private async isSigned(signal: AbortSignal): Promise<Standing> {
    const { signature } = await this.ports.crossSigning.look(signal);
    return signature === "signed" ? { kind: "signed" } : { kind: "unsigned", why: "signature_not_shown" };
  }
}

type NewStorage = Pick<IdentityDraft, "keyId" | "recoveryKey">;

/** 32 letters and digits, as other clients make them. */
function newStorageKey(): NewStorage {
  const keyId = randomBytes(64)
    .toString("base64")
    .replace(/[^A-Za-z0-9]/g, "")
    .slice(0, 32);
  return { keyId, recoveryKey: recoveryKeyOf(randomBytes(32)) };
}
