/** Servers that ask for more than Synapse does before they take a cross-signing identity; and what a test sees of what is kept. */
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { startDevServer, type DevServer } from "../../../devserver/server.ts";
import { Identity, SigningDevice, uploadIdentity } from "../../contract/identity.ts";
import { HttpClient, at } from "../../support/httpClient.ts";

const UPLOAD = "/v3/keys/device_signing/upload";
const PASSWORD = "bob's password";

describe("cross-signing identities at the development homeserver", () => {
  let server: DevServer;
  let bob: HttpClient;
  let made = 0;

  before(async () => {
    server = await startDevServer();
  });
  after(() => server.stop());
  beforeEach(() => {
    made += 1;
    bob = new HttpClient(server, server.createAccount(`bob${made}`, PASSWORD));
    server.identities.setAuth("to_replace");
    server.clearFaults();
  });

  test("a server from before MSC3967 asks for the password with every upload", async () => {
    server.identities.setAuth("always");
    const { body } = new Identity(bob.userId);
    const auth = { type: "m.login.password", identifier: { type: "m.id.user", user: bob.userId }, password: PASSWORD };
    for (let time = 0; time < 2; time += 1) {
      const asked = await bob.request("POST", UPLOAD, body);
      assert.equal(asked.status, 401);
      assert.deepEqual(asked.body["flows"], [{ stages: ["m.login.password"] }]);
    }
    assert.deepEqual(await bob.verdict("POST", UPLOAD, { ...body, auth }), [200, null]);
    assert.deepEqual(server.identities.key(bob.userId, "master"), body.master_key);
  });

  test("a user without a password is asked for nothing that would do", async () => {
    const other = new HttpClient(server, server.createAccount(`other${made}`));
    await uploadIdentity(other);
    const asked = await other.request("POST", UPLOAD, new Identity(other.userId).body);
    assert.deepEqual([asked.status, asked.body["flows"]], [401, []]);
  });

  test("an authorization server must approve that an identity is replaced: each time, and no password helps", async () => {
    server.identities.setAuth({ approvalAt: "https://account.example/" });
    const first = await uploadIdentity(bob);
    const fresh = new Identity(bob.userId);
    const auth = { type: "m.login.password", identifier: { type: "m.id.user", user: bob.userId }, password: PASSWORD };
    const refused = await bob.request("POST", UPLOAD, { ...fresh.body, auth });
    assert.equal(refused.status, 401);
    assert.deepEqual(refused.body["flows"], [{ stages: ["m.oauth"] }, { stages: ["org.matrix.cross_signing_reset"] }]);
    const url = "https://account.example/?action=org.matrix.cross_signing_reset";
    for (const stage of ["m.oauth", "org.matrix.cross_signing_reset"])
      assert.equal(at(refused.body, "params", stage, "url"), url);
    server.identities.approveReset(bob.userId);
    assert.deepEqual(await bob.verdict("POST", UPLOAD, fresh.body), [200, null]);
    assert.deepEqual(server.identities.key(bob.userId, "master"), fresh.body.master_key);
    assert.deepEqual(await bob.verdict("POST", UPLOAD, new Identity(bob.userId).body), [401, null]);
    assert.deepEqual(
      server.identities.everyKey(bob.userId, "master"),
      [first, fresh].map(({ master }) => master.publicKey),
    );
  });

  test("an upload of keys or of signatures that is cut has happened or not, as the fault says", async () => {
    const device = await SigningDevice.upload(bob);
    const identity = new Identity(bob.userId);
    const signed = { [bob.userId]: { [bob.deviceId]: identity.selfSigning.sign(device.keys, bob.userId) } };
    const by = `ed25519:${identity.selfSigning.publicKey}`;
    const cut = async (path: string, body: typeof signed | Identity["body"], kind: "dropBefore" | "dropAfter") => {
      const fault = server.fault({ path, userId: bob.userId, action: { kind } });
      await assert.rejects(bob.call("POST", `/v3/keys/${path}`, body));
      assert.equal(fault.hits, 1);
    };
    await cut("device_signing/upload", identity.body, "dropBefore");
    assert.equal(server.identities.key(bob.userId, "master"), null);
    await cut("device_signing/upload", identity.body, "dropAfter");
    assert.deepEqual(server.identities.key(bob.userId, "master"), identity.masterKey);
    await cut("signatures/upload", signed, "dropBefore");
    assert.deepEqual(server.identities.deviceSignatures(bob.userId, bob.deviceId), {});
    await cut("signatures/upload", signed, "dropAfter");
    assert.deepEqual(Object.keys(server.identities.deviceSignatures(bob.userId, bob.deviceId)), [by]);
  });

  test("a test sees the backup, also after an answer that nobody got, and account data", async () => {
    assert.equal(server.identities.backup(bob.userId), null);
    const { version } = await bob.call("POST", "/v3/room_keys/version", { algorithm: "a", auth_data: { b: 1 } });
    const key = { first_message_index: 0, forwarded_count: 0, is_verified: true, session_data: {} };
    const fault = server.fault({ path: /room_keys\/keys/, userId: bob.userId, action: { kind: "dropAfter" } });
    const rooms = { "!room": { sessions: { session: key } } };
    await assert.rejects(bob.call("PUT", `/v3/room_keys/keys?version=${String(version)}`, { rooms }));
    assert.equal(fault.hits, 1);
    const { count, etag, authData, keys } = server.identities.backup(bob.userId) ?? assert.fail("no backup");
    assert.deepEqual([count, etag, authData], [1, "1", { b: 1 }]);
    assert.deepEqual(keys.get("!room")?.get("session"), key);
    assert.equal(server.identities.backup(bob.userId, "7"), null);
    await bob.call("DELETE", "/v3/room_keys/version/1");
    assert.equal(server.identities.backup(bob.userId), null);
    assert.equal(server.identities.backupsMade(bob.userId), 1);

    assert.equal(server.identities.accountData(bob.userId, "org.example.a"), null);
    await bob.call("PUT", `/v3/user/${bob.userId}/account_data/org.example.a`, { a: 1 });
    assert.deepEqual(server.identities.accountData(bob.userId, "org.example.a"), { a: 1 });
  });
});
