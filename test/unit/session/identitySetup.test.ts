/** The key backup of an account, and its key in secret storage: on the real library, with the homeserver's endpoints in memory. */
import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
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
import { makeMissingBackup } from "../../../src/session/missingBackup.ts";
import { LONE_USER, loneMachine } from "../../support/loneMachine.ts";
import { RoomKeyServer } from "../../support/roomKeyServer.ts";

const { signal } = new AbortController();
const userId = LONE_USER as UserId;
const storageKey = { keyId: "key", key: Buffer.alloc(32, 7) };
const log = silentLogger;

interface Account {
  readonly keys: RoomKeyServer;
  readonly homeserver: Homeserver;
  readonly backup: KeyBackup;
  readonly storage: SecretStorage;
}

async function account(t: TestContext): Promise<Account> {
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
  const backup = new KeyBackup({ machine, homeserver, clock: systemClock, log, signal, onFatal });
  return { keys, homeserver, backup, storage: new SecretStorage(homeserver, userId) };
}

test("what another client has left in place of the backup's key, and is none, is replaced by a new one", async (t) => {
  const { keys, backup, storage } = await account(t);
  await storage.write(BACKUP_SECRET, "something else", storageKey, signal);
  await setUpBackup({ storage, backup, log }, storageKey, signal);
  assert.equal(keys.versions.length, 1);
  assert.equal(await backup.adopt((await storage.read(BACKUP_SECRET, storageKey, signal)) ?? "", signal), true);
});

test("a backup that is gone is made again, unless the homeserver keeps none any more", async (t) => {
  const { keys, homeserver, backup } = await account(t);
  await backup.create(backup.newKey(), signal);
  const session = { homeserver, engine: { backup }, userId };
  keys.versions.length = 0;
  keys.before = (asked) => {
    if (asked === "POST version") throw new ServerRefused("No.", { status: 404, errcode: "M_UNRECOGNIZED" });
  };
  await makeMissingBackup(session, null, log, signal);
  assert.equal(keys.versions.length, 0);
  keys.before = () => undefined;
  await makeMissingBackup(session, null, log, signal);
  assert.equal(keys.versions.length, 1);
});
