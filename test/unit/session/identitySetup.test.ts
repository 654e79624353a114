/** The key backup of an account, and its key in secret storage. */
import assert from "node:assert/strict";
import test from "node:test";
import { systemClock } from "../../../src/clock.ts";
import { BACKUP_SECRET } from "../../../src/crypto/identityKeys.ts";
import { KeyBackup } from "../../../src/crypto/keyBackup.ts";
import { SecretStorage } from "../../../src/crypto/secretStorage.ts";
import { ServerRefused } from "../../../src/errors.ts";
import { silentLogger } from "../../../src/logging.ts";
import type { Homeserver, RequestOptions } from "../../../src/matrix/homeserver.ts";
import type { UserId } from "../../../src/protocol/ids.ts";
import type { JsonObject } from "../../../src/protocol/json.ts";
import { setUpBackup } from "../../../src/session/identitySetup.ts";
import { LONE_USER, loneMachine } from "../../support/loneMachine.ts";
import { RoomKeyServer } from "../../support/roomKeyServer.ts";

test("what another client has left in place of the backup's key, and is none, is replaced by a new one", async (t) => {
  const { signal } = new AbortController();
  const keys = new RoomKeyServer();
  const accountData = new Map<string, JsonObject>();
  const homeserver = {
    request: async (method: "GET" | "PUT", path: string, options: RequestOptions) => {
      if (!path.includes("/account_data/")) return await keys.homeserver.request(method, path, options);
      if (method === "PUT") accountData.set(path, options.body as JsonObject);
      const found = accountData.get(path);
      if (found === undefined) throw new ServerRefused("Not found.", { status: 404, errcode: "M_NOT_FOUND" });
      return found;
    },
  } as Homeserver;
  const machine = await loneMachine(t, { deviceId: "BOT" });
  const onFatal = (error: Error): never => {
    throw error;
  };
  const backup = new KeyBackup({ machine, homeserver, clock: systemClock, log: silentLogger, signal, onFatal });
  const storage = new SecretStorage(homeserver, LONE_USER as UserId);
  const storageKey = { keyId: "key", key: Buffer.alloc(32, 7) };
  await storage.write(BACKUP_SECRET, "something else", storageKey, signal);
  await setUpBackup({ storage, backup, log: silentLogger }, storageKey, signal);
  assert.equal(keys.versions.length, 1);
  assert.equal(await backup.adopt((await storage.read(BACKUP_SECRET, storageKey, signal)) ?? "", signal), true);
});
