/** The Synapse that the other tests here run on: that it is one, on its own, and gone when its test is. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { test } from "node:test";
import { isRunning } from "../support/demoProcess.ts";
import { startSynapse } from "./synapse.ts";

test("a Synapse starts, knows who has registered, keeps that over a restart, and leaves nothing behind", async () => {
  const server = await startSynapse();
  try {
    assert.match(server.version, /^\d+\.\d+/);
    const whoami = async (): Promise<unknown> => {
      const headers = { authorization: `Bearer ${alice.accessToken}` };
      return await (await fetch(`${server.baseUrl}/_matrix/client/v3/account/whoami`, { headers })).json();
    };
    const alice = await server.registerUser("alice", "not a secret", { deviceId: "alicephone" });
    assert.deepEqual(alice.userId, "@alice:localhost");
    const known = { user_id: "@alice:localhost", device_id: "alicephone", is_guest: false };
    assert.deepEqual(await whoami(), known);
    await server.restart();
    assert.deepEqual(await whoami(), known);
  } finally {
    await server.stop();
  }
  assert.equal(isRunning(server.pid), false);
  assert.equal(existsSync(dirname(server.logFile)), false);
  await server.stop();
});
