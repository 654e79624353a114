/**
 * What a homeserver holds of an account's identity, read with the account's own token and opened with matrix-js-sdk's own code: an
 * independent judge of what the bot has put there.
 */
import assert from "node:assert/strict";
import { BackupDecryptionKey } from "@matrix-org/matrix-sdk-crypto-wasm";
import { decodeRecoveryKey } from "matrix-js-sdk/lib/crypto-api/recovery-key.js";
import decryptAESSecretStorageItem from "matrix-js-sdk/lib/utils/decryptAESSecretStorageItem.js";
import type { SignedIn } from "../../devserver/server.ts";
import { deviceSignature, type DeviceSignature } from "../../src/crypto/deviceSignature.ts";
import { describeKey } from "../../src/crypto/secretEncryption.ts";
import { masterKeyOf } from "../../src/crypto/identityKeys.ts";
import type { JsonObject } from "../../src/protocol/json.ts";

type Json = Record<string, unknown>;

export interface SeenIdentity {
  /** The public master key; null: none. */
  readonly master: string | null;
  readonly signature: DeviceSignature;
  /** Names of the keys that are described in the account's data. */
  readonly storageKeys: readonly string[];
  readonly defaultKey: string | null;
  /** Account data by type, without the mark of a data directory that moves with every start. */
  readonly accountData: ReadonlyMap<string, Json>;
  readonly backup: { readonly version: string; readonly publicKey: string } | null;
}

async function call(url: string, token: string, method: string, path: string, body?: Json): Promise<Json> {
  const response = await fetch(`${url}/_matrix/client/v3${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const answer = (await response.json()) as Json;
  return response.ok ? answer : { ...answer, status: response.status };
}

/** Another device of the account. */
export async function signInByPassword(url: string, userId: string, password: string): Promise<SignedIn> {
  const body = { type: "m.login.password", identifier: { type: "m.id.user", user: userId }, password };
  const answer = await call(url, "", "POST", "/login", body);
  const { user_id: user, device_id: device, access_token: token } = answer;
  return { userId: String(user), deviceId: String(device), accessToken: String(token) };
}

export async function lookAtIdentity(url: string, account: SignedIn): Promise<SeenIdentity> {
  const { userId, deviceId, accessToken } = account;
  const keys = await call(url, accessToken, "POST", "/keys/query", { device_keys: { [userId]: [] } });
  const master = ((keys["master_keys"] as Json | undefined)?.[userId] as Json | undefined)?.["keys"] as
    Json | undefined;
  const filter = JSON.stringify({ room: { rooms: [] }, presence: { types: [] } });
  const sync = await call(url, accessToken, "GET", `/sync?filter=${encodeURIComponent(filter)}`);
  const events = ((sync["account_data"] as Json | undefined)?.["events"] ?? []) as { type: string; content: Json }[];
  const lasting = events.filter(({ type }) => !type.startsWith("io.github.matrix-docket.device."));
  const accountData = new Map(lasting.map(({ type, content }) => [type, content]));
  const backup = await call(url, accessToken, "GET", "/room_keys/version");
  const [named] = Object.values(master ?? {});
  return {
    master: typeof named === "string" ? named : null,
    signature: deviceSignature(keys as JsonObject, userId, deviceId),
    storageKeys: [...accountData.keys()].filter((type) => type.startsWith("m.secret_storage.key.")),
    defaultKey: (accountData.get("m.secret_storage.default_key")?.["key"] as string | undefined) ?? null,
    accountData,
    backup:
      backup["version"] === undefined
        ? null
        : {
            version: String(backup["version"]),
            publicKey: String((backup["auth_data"] as Json | undefined)?.["public_key"]),
          },
  };
}

/** The secret as any client reads it. @throws Error where the key does not open it */
export async function secretIn(seen: SeenIdentity, recoveryKey: string, name: string): Promise<string> {
  const encrypted = seen.accountData.get(name)?.["encrypted"] as Json | undefined;
  const payload = encrypted?.[seen.defaultKey ?? ""];
  assert.ok(payload !== undefined, `${name} is under the default key`);
  return await decryptAESSecretStorageItem(
    payload as Parameters<typeof decryptAESSecretStorageItem>[0],
    decodeRecoveryKey(recoveryKey),
    name,
  );
}

/** A secret storage of somebody who has no identity. */
export async function putSecretStorage(url: string, account: SignedIn): Promise<void> {
  const user = `/user/${encodeURIComponent(account.userId)}/account_data`;
  const description = { ...describeKey(Buffer.alloc(32, 9)) };
  await call(url, account.accessToken, "PUT", `${user}/m.secret_storage.key.theirs`, description);
  await call(url, account.accessToken, "PUT", `${user}/m.secret_storage.default_key`, { key: "theirs" });
}

/** Signed by one identity, whose private keys are in the account's secret storage, which this recovery key opens. */
export async function assertWhole(seen: SeenIdentity, recoveryKey: string): Promise<void> {
  assert.equal(seen.signature, "signed");
  assert.ok(seen.storageKeys.includes(`m.secret_storage.key.${seen.defaultKey}`), "the default key is described");
  const read = (name: string): Promise<string> => secretIn(seen, recoveryKey, `m.cross_signing.${name}`);
  const secrets = {
    master: await read("master"),
    selfSigning: await read("self_signing"),
    userSigning: await read("user_signing"),
  };
  assert.equal(masterKeyOf(secrets), seen.master, "the private keys in secret storage are the identity's");
  const backupKey = BackupDecryptionKey.fromBase64(await secretIn(seen, recoveryKey, "m.megolm_backup.v1"));
  assert.equal(
    backupKey.megolmV1PublicKey.publicKeyBase64,
    seen.backup?.publicKey,
    "the backup is the one of that key",
  );
}
