/** matrix-js-sdk's own identity, as an application on it would handle it: see identityWire.ts. */
import { MatrixError, Method, type MatrixClient, type UIAuthCallback } from "matrix-js-sdk";
import {
  AllDevicesIsolationMode,
  decodeRecoveryKey,
  OnlySignedDevicesIsolationMode,
  type CryptoApi,
  type CryptoCallbacks,
  type KeyBackupInfo,
} from "matrix-js-sdk/lib/crypto-api/index.js";
import { RustBackupManager } from "matrix-js-sdk/lib/rust-crypto/backup.js";
import type { IdentityOrders, IdentityStatus, Trust } from "./identityWire.ts";
import type { PeerAccount } from "./peerWire.ts";
import { decryptRoomKeys, encryptRoomKeys } from "./roomKeyFile.ts";

// It waits up to ten seconds before it backs up, out of consideration for others who got the same key; tests have no others. The SDK
// says that tests may, though its types don't.
(RustBackupManager as { maxBackupLoopStartDelayMillis: number }).maxBackupLoopStartDelayMillis = 0;

const SECRETS = [
  "m.cross_signing.master",
  "m.cross_signing.self_signing",
  "m.cross_signing.user_signing",
  "m.megolm_backup.v1",
] as const;

type Order<Name extends keyof IdentityOrders> = IdentityOrders[Name]["order"];
type Result<Name extends keyof IdentityOrders> = Promise<IdentityOrders[Name]["result"]>;

/** The key of secret storage, for the time that an order needs it. */
export class Keyring {
  #key: Uint8Array<ArrayBuffer> | null = null;

  readonly callbacks: CryptoCallbacks = {
    getSecretStorageKey: ({ keys }) => {
      const id = Object.keys(keys)[0];
      return Promise.resolve(id === undefined || this.#key === null ? null : [id, this.#key]);
    },
    cacheSecretStorageKey: (_id, _info, key) => {
      this.#key = key;
    },
  };

  async with<Result>(recoveryKey: string | null, work: () => Promise<Result>): Promise<Result> {
    this.#key = recoveryKey === null ? null : decodeRecoveryKey(recoveryKey);
    try {
      return await work();
    } finally {
      this.#key = null;
    }
  }
}

export class JsSdkIdentity {
  readonly #account: PeerAccount;
  readonly #client: MatrixClient;
  readonly #crypto: CryptoApi;
  readonly #keyring: Keyring;
  readonly #until: (probe: () => Promise<boolean>) => Promise<void>;

  constructor(parts: {
    readonly account: PeerAccount;
    readonly client: MatrixClient;
    readonly crypto: CryptoApi;
    readonly keyring: Keyring;
    /** Probes again whenever something has come. */
    readonly until: (probe: () => Promise<boolean>) => Promise<void>;
  }) {
    this.#account = parts.account;
    this.#client = parts.client;
    this.#crypto = parts.crypto;
    this.#keyring = parts.keyring;
    this.#until = parts.until;
  }

  async setUpIdentity({ password, anew = false, backup = true }: Order<"setUpIdentity">): Result<"setUpIdentity"> {
    return await this.#keyring.with(null, async () => {
      const recovery = await this.#crypto.createRecoveryKeyFromPassphrase();
      if (recovery.encodedPrivateKey === undefined) throw new Error("the SDK made a recovery key without its text");
      await this.#crypto.bootstrapSecretStorage({
        setupNewSecretStorage: true,
        createSecretStorageKey: () => Promise.resolve(recovery),
      });
      await this.#crypto.bootstrapCrossSigning({
        setupNewCrossSigning: anew,
        authUploadDeviceSigningKeys: this.#authenticate(password),
      });
      await this.#signed();
      if (backup) {
        await this.#crypto.resetKeyBackup();
        await this.#crypto.checkKeyBackupAndEnable();
      }
      return { recoveryKey: recovery.encodedPrivateKey, ...(await this.identity()) };
    });
  }

  async identity(): Promise<IdentityStatus> {
    const status = await this.#crypto.getCrossSigningStatus();
    const { masterKey, device } = await this.trustOf(this.#account);
    const info = await this.#backup();
    const trust = info === null ? null : await this.#crypto.isKeyBackupTrusted(info);
    return {
      masterKey,
      deviceSigned: device?.signedByOwner ?? false,
      hasPrivateKeys: Object.values(status.privateKeysCachedLocally).every(Boolean),
      inSecretStorage: status.privateKeysInSecretStorage,
      backupVersion: await this.#crypto.getActiveSessionBackupVersion(),
      backup:
        info === null || trust === null
          ? null
          : { version: info.version, signed: trust.trusted, matchesKey: trust.matchesDecryptionKey },
    };
  }

  async recover({ recoveryKey }: Order<"recover">): Promise<IdentityStatus> {
    return await this.#keyring.with(recoveryKey, async () => {
      // Where secret storage has no keys, the SDK would make others.
      if (!(await this.#crypto.getCrossSigningStatus()).privateKeysInSecretStorage)
        throw new Error("secret storage has no cross-signing keys");
      // It can't take the private keys before it has the public ones.
      await this.#crypto.userHasCrossSigningKeys();
      await this.#crypto.bootstrapCrossSigning({});
      await this.#signed();
      if ((await this.#client.secretStorage.isStored("m.megolm_backup.v1")) !== null) {
        await this.#crypto.loadSessionBackupPrivateKeyFromSecretStorage();
        await this.#crypto.checkKeyBackupAndEnable();
      }
      return await this.identity();
    });
  }

  async readSecrets({ recoveryKey }: Order<"readSecrets">): Result<"readSecrets"> {
    return await this.#keyring.with(recoveryKey, async () => {
      const secrets: [string, string][] = [];
      for (const name of SECRETS) {
        const secret = await this.#client.secretStorage.get(name);
        if (secret !== undefined) secrets.push([name, secret]);
      }
      return Object.fromEntries(secrets);
    });
  }

  async restoreBackup({ recoveryKey }: Order<"restoreBackup">): Result<"restoreBackup"> {
    return await this.#keyring.with(recoveryKey, async () => {
      await this.#crypto.loadSessionBackupPrivateKeyFromSecretStorage();
      const { total, imported } = await this.#crypto.restoreKeyBackup();
      return { total, imported };
    });
  }

  async waitForBackup({ keys }: Order<"waitForBackup">): Promise<number> {
    for (;;) {
      const { count } = (await this.#backup()) ?? { count: -1 };
      if (count >= (keys ?? (await this.#crypto.exportRoomKeys()).length)) return count;
      // Nobody tells of what another device has backed up.
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  async exportKeys({ passphrase }: Order<"exportKeys">): Promise<string> {
    return await encryptRoomKeys(await this.#crypto.exportRoomKeysAsJson(), passphrase);
  }

  async importKeys({ text, passphrase }: Order<"importKeys">): Promise<number> {
    const json = await decryptRoomKeys(text, passphrase);
    await this.#crypto.importRoomKeysAsJson(json);
    return (JSON.parse(json) as readonly unknown[]).length;
  }

  isolate({ signedOnly }: Order<"isolate">): Promise<null> {
    this.#crypto.setDeviceIsolationMode(
      signedOnly ? new OnlySignedDevicesIsolationMode() : new AllDevicesIsolationMode(false),
    );
    return Promise.resolve(null);
  }

  async trustOf({ userId, deviceId }: Order<"trustOf">): Promise<Trust> {
    const keys = await this.#crypto.getUserCrossSigningKeys(userId);
    const user = await this.#crypto.getUserVerificationStatus(userId);
    const device = deviceId === null ? null : await this.#crypto.getDeviceVerificationStatus(userId, deviceId);
    return {
      masterKey: Object.values(keys?.master_key?.keys ?? {})[0] ?? null,
      verified: user.isCrossSigningVerified(),
      wasVerified: user.wasCrossSigningVerified(),
      changed: user.needsUserApproval,
      device: device === null ? null : { signedByOwner: device.signedByOwner, verified: device.isVerified() },
    };
  }

  async waitForSigned({ userId, deviceId }: Order<"waitForSigned">): Promise<null> {
    await this.#until(async () => {
      // Asks the server where nothing is known of the user.
      await this.#crypto.getUserDeviceInfo([userId], true);
      return (await this.trustOf({ userId, deviceId })).device?.signedByOwner === true;
    });
    return null;
  }

  async waitForVerified({ userId }: Order<"waitForVerified">): Promise<null> {
    await this.#until(async () => (await this.trustOf({ userId, deviceId: null })).verified);
    return null;
  }

  /** The backup as the server has it now; the SDK's own answer may be older. */
  async #backup(): Promise<KeyBackupInfo | null> {
    try {
      return await this.#client.http.authedRequest<KeyBackupInfo>(Method.Get, "/room_keys/version");
    } catch (error) {
      if (error instanceof MatrixError && error.errcode === "M_NOT_FOUND") return null;
      throw error;
    }
  }

  async #signed(): Promise<void> {
    await this.waitForSigned(this.#account);
  }

  /** Without authentication where the server asks for none, or else with the password. */
  #authenticate(password: string): UIAuthCallback<void> {
    return async (makeRequest) => {
      try {
        await makeRequest(null);
      } catch (error) {
        if (!(error instanceof MatrixError) || error.httpStatus !== 401) throw error;
        const identifier = { type: "m.id.user", user: this.#account.userId };
        const session = String(error.data["session"]);
        await makeRequest({ type: "m.login.password", session, identifier, password });
      }
    };
  }
}
