/**
 * The account's secret storage (client-server API, "Secrets", "Storage"): secrets in the account's data, encrypted under a key that only
 * people keep. Owns the account data types. Guarantees: what is stored already is not stored again; a secret is written under one key, and
 * which key is the account's own is said last, by whoever calls `setDefault`; what a server tells is checked before it is used.
 */
import { ServerRefused } from "../errors.ts";
import { endpointPath } from "../matrix/endpoint.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import type { UserId } from "../protocol/ids.ts";
import { isJsonObject, type JsonObject } from "../protocol/json.ts";
import { readRecoveryKey } from "./recoveryKey.ts";
import { checkKey, decryptSecret, describeKey, encryptSecret, keyOfPassphrase } from "./secretEncryption.ts";

export interface StorageKey {
  /** Its name in the account's data. */
  readonly keyId: string;
  /** 32 bytes. */
  readonly key: Uint8Array;
}

export type OpenedStorage =
  | { readonly kind: "open"; readonly key: StorageKey }
  /** The account has none, or it can't be told which key is its own. */
  | { readonly kind: "absent" }
  | { readonly kind: "unsupported" }
  /** It is a recovery key, of something else. */
  | { readonly kind: "wrong_key" }
  /** It is no recovery key, and no passphrase that fits; `problem` says why, without quoting. */
  | { readonly kind: "unreadable_key"; readonly problem: string };

const DEFAULT_KEY = "m.secret_storage.default_key";
const KEY = "m.secret_storage.key.";
const LONGEST_KEY_ID = 255;
/** 32 bytes in base64: clients pad it, or don't. */
const SECRET_KEY = /^[A-Za-z0-9+/]{43}=?$/;

export class SecretStorage {
  private readonly homeserver: Pick<Homeserver, "request">;
  private readonly userId: UserId;

  constructor(homeserver: Pick<Homeserver, "request">, userId: UserId) {
    this.homeserver = homeserver;
    this.userId = userId;
  }

  /** @returns null where the account names none. @throws ServerRefused | ServerUnreachable | Cancelled */
  async defaultKeyId(signal: AbortSignal): Promise<string | null> {
    const { key } = (await this.accountData(DEFAULT_KEY, signal)) ?? {};
    return typeof key === "string" && key !== "" && key.length <= LONGEST_KEY_ID && key.isWellFormed() ? key : null;
  }

  /**
   * Holds a recovery key, or the passphrase in its place, to the account's default key.
   * @throws ServerRefused | ServerUnreachable | Cancelled
   */
  async open(text: string, signal: AbortSignal): Promise<OpenedStorage> {
    const keyId = await this.defaultKeyId(signal);
    const description = keyId === null ? null : await this.accountData(KEY + keyId, signal);
    if (keyId === null || description === null) return { kind: "absent" };
    const read = readRecoveryKey(text);
    const derived = read.kind === "key" ? null : await keyOfPassphrase(text, description);
    const key = read.kind === "key" ? read.key : derived;
    if (key === null) {
      const problem = read.kind === "none" ? read.problem : "";
      return { kind: "unreadable_key", problem };
    }
    switch (checkKey(key, description)) {
      case "fits":
        return { kind: "open", key: { keyId, key } };
      case "other":
        return { kind: "wrong_key" };
      case "unknown":
        return { kind: "unsupported" };
    }
  }

  /**
   * A secret that is a key of 32 bytes, as all of them are that concern the bot.
   * @returns it in unpadded base64; null where it is not there, not under this key, or something else
   * @throws ServerRefused | ServerUnreachable | Cancelled
   */
  async read(name: string, storageKey: StorageKey, signal: AbortSignal): Promise<string | null> {
    const secret = (await this.decrypted(name, storageKey, signal))?.trim() ?? "";
    return SECRET_KEY.test(secret) ? Buffer.from(secret, "base64").toString("base64").replace("=", "") : null;
  }

  /** Can be repeated. @throws ServerRefused | ServerUnreachable | Cancelled */
  async write(name: string, secret: string, storageKey: StorageKey, signal: AbortSignal): Promise<void> {
    if ((await this.decrypted(name, storageKey, signal)) === secret) return;
    const { keyId, key } = storageKey;
    await this.setAccountData(name, { encrypted: { [keyId]: encryptSecret(key, name, secret) } }, signal);
  }

  /** Says how the key is recognised, where nothing is said of it yet. @throws ServerRefused | ServerUnreachable | Cancelled */
  async describe({ keyId, key }: StorageKey, signal: AbortSignal): Promise<void> {
    const said = await this.accountData(KEY + keyId, signal);
    if (said !== null && checkKey(key, said) === "fits") return;
    await this.setAccountData(KEY + keyId, describeKey(key), signal);
  }

  /** From now on other clients ask for this key. @throws ServerRefused | ServerUnreachable | Cancelled */
  async setDefault({ keyId }: StorageKey, signal: AbortSignal): Promise<void> {
    if ((await this.defaultKeyId(signal)) === keyId) return;
    await this.setAccountData(DEFAULT_KEY, { key: keyId }, signal);
  }

  /** Which of these secrets are in the storage, under whatever key. @throws ServerRefused | ServerUnreachable | Cancelled */
  async stored(names: readonly string[], signal: AbortSignal): Promise<ReadonlySet<string>> {
    const found = await Promise.all(
      names.map(async (name) => {
        const encrypted = (await this.accountData(name, signal))?.["encrypted"];
        return isJsonObject(encrypted) && Object.keys(encrypted).length > 0 ? [name] : [];
      }),
    );
    return new Set(found.flat());
  }

  private async decrypted(name: string, { keyId, key }: StorageKey, signal: AbortSignal): Promise<string | null> {
    const encrypted = (await this.accountData(name, signal))?.["encrypted"];
    if (!isJsonObject(encrypted) || !Object.hasOwn(encrypted, keyId)) return null;
    return decryptSecret(key, name, encrypted[keyId]);
  }

  private async accountData(type: string, signal: AbortSignal): Promise<JsonObject | null> {
    try {
      return await this.homeserver.request("GET", this.endpoint(type), { signal });
    } catch (error) {
      if (error instanceof ServerRefused && error.status === 404 && error.errcode === "M_NOT_FOUND") return null;
      throw error;
    }
  }

  private async setAccountData(type: string, content: JsonObject, signal: AbortSignal): Promise<void> {
    await this.homeserver.request("PUT", this.endpoint(type), { body: content, signal });
  }

  private endpoint(type: string): string {
    return endpointPath("/_matrix/client/v3/user", this.userId, "account_data", type);
  }
}
