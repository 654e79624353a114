/** How the device comes to be signed: on the real library, with the homeserver's endpoints in memory. */
import assert from "node:assert/strict";
import test from "node:test";
import { makeIdentitySecrets, publicIdentity } from "../../../src/crypto/identityKeys.ts";
import { Database } from "../../../src/journal/database.ts";
import { IdentityDrafts } from "../../../src/journal/identityDrafts.ts";
import { silentLogger } from "../../../src/logging.ts";
import type { DeviceId, UserId } from "../../../src/protocol/ids.ts";
import { AccountIdentity } from "../../../src/session/accountIdentity.ts";
import { KeyDirectory } from "../../support/keyDirectory.ts";
import { keyServer, loneEngine } from "../../support/loneEngine.ts";

const userId = "@bot:example.org" as UserId;
const deviceId = "BOT" as DeviceId;
const { signal } = new AbortController();

test("a signature that the homeserver took and does not show yet is no sign of another identity's keys", async (t) => {
  const directory = new KeyDirectory();
  let isLate = true;
  const homeserver = keyServer(async (method, endpoint, body) =>
    isLate && endpoint.endsWith("/keys/signatures/upload")
      ? { failures: {} }
      : await directory.answer({ userId, deviceId }, method, endpoint, body),
  );
  const { engine } = await loneEngine(t, { homeserver });
  await engine.start();
  const { crossSigning, backup } = engine;
  const secrets = makeIdentitySecrets();
  await crossSigning.upload(publicIdentity(userId, secrets), null, signal);
  await crossSigning.look(signal);
  await crossSigning.takeIn(secrets);
  const database = Database.inMemory();
  t.after(() => database.close());
  const drafts = new IdentityDrafts(database);
  const own = new AccountIdentity({ userId, homeserver, crossSigning, backup, drafts, log: silentLogger });
  const means = { recoveryKey: null, recoveryFile: null, password: null, mayCreate: false };
  assert.deepEqual(await own.settle(means, signal), { kind: "unsigned", why: "signature_not_shown" });
  isLate = false;
  assert.deepEqual(await own.settle(means, signal), { kind: "signed" });
});
