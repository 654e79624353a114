/** The way to the backup's key by `account.recovery_key`, with an account's data in memory. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Secret } from "../../../src/config/secret.ts";
import { BACKUP_SECRET } from "../../../src/crypto/identityKeys.ts";
import { recoveryKeyOf } from "../../../src/crypto/recoveryKey.ts";
import { SecretStorage } from "../../../src/crypto/secretStorage.ts";
import { ServerRefused } from "../../../src/errors.ts";
import type { Homeserver } from "../../../src/matrix/homeserver.ts";
import type { UserId } from "../../../src/protocol/ids.ts";
import { isJsonObject, type JsonObject } from "../../../src/protocol/json.ts";
import { storedBackupKey } from "../../../src/session/backupSecret.ts";
import { temporaryDirectory } from "../../support/temporaryDirectory.ts";

const userId = "@docket:localhost" as UserId;
const signal = AbortSignal.timeout(60_000);
const BACKUP_KEY = Buffer.alloc(32, 7).toString("base64").replace("=", "");

/** An account whose secret storage has the backup's key. @returns with the recovery key */
async function account() {
  const stored = new Map<string, JsonObject>();
  const request: Homeserver["request"] = (method, endpoint, { body }) => {
    if (method === "PUT" && isJsonObject(body)) stored.set(endpoint, body);
    const found = stored.get(endpoint);
    if (found === undefined)
      return Promise.reject(new ServerRefused("not found", { status: 404, errcode: "M_NOT_FOUND" }));
    return Promise.resolve(found);
  };
  const storage = new SecretStorage({ request }, userId);
  const storageKey = { keyId: "id", key: randomBytes(32) };
  await storage.write(BACKUP_SECRET, BACKUP_KEY, storageKey, signal);
  await storage.describe(storageKey, signal);
  await storage.setDefault(storageKey, signal);
  return { owner: { homeserver: { request }, userId }, recoveryKey: recoveryKeyOf(storageKey.key) };
}

function config(recoveryKey: { value: string | null; file: string | null } | null) {
  const value = recoveryKey?.value ?? null;
  return {
    account: {
      user: userId,
      token: null,
      recoveryKey: recoveryKey && { file: recoveryKey.file, value: value === null ? null : new Secret(value) },
      password: null,
      createIdentity: true,
    },
  };
}

test("a recovery key that was written after the configuration was read opens the storage, as does one that was replaced since", async (t) => {
  const { owner, recoveryKey } = await account();
  const file = join(temporaryDirectory(t), "key");
  const first = storedBackupKey(config({ value: null, file }), owner);
  const later = storedBackupKey(config({ value: recoveryKeyOf(randomBytes(32)), file }), owner);
  assert.equal(await first(signal), null);
  writeFileSync(file, `${recoveryKey}\n`, { mode: 0o600 });
  assert.equal(await first(signal), BACKUP_KEY);
  assert.equal(await later(signal), BACKUP_KEY);
});

test("one from elsewhere, or whose file is gone by now, is that of the configuration", async (t) => {
  const { owner, recoveryKey } = await account();
  const file = join(temporaryDirectory(t), "gone");
  assert.equal(await storedBackupKey(config({ value: recoveryKey, file }), owner)(signal), BACKUP_KEY);
  assert.equal(await storedBackupKey(config({ value: recoveryKey, file: null }), owner)(signal), BACKUP_KEY);
  assert.equal(await storedBackupKey(config(null), owner)(signal), null);
});
