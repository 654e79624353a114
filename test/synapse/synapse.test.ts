/** The Synapse that the other tests here run on: that it is one, on its own, and gone when its test is. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
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

for (const paused of [false, true]) {
  const how = paused ? ", also while it stands still" : "";
  test(`a Synapse ends with the process that started it when that is killed${how}`, async (t) => {
    const child = spawn(
      process.execPath,
      [fileURLToPath(new URL("synapseChild.ts", import.meta.url)), ...(paused ? ["paused"] : [])],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    t.after(() => child.kill("SIGKILL"));
    const ended = once(child, "exit");
    const [line] = (await Promise.race([once(createInterface({ input: child.stdout }), "line"), ended])) as [string];
    const pid = Number(line);
    assert(pid > 0 && isRunning(pid));
    child.kill("SIGKILL");
    await ended;
    while (isRunning(pid)) await pause(20);
  });
}

test("settings of a test replace those of the server, and its own limits hold when they are wanted", async (t) => {
  const server = await startSynapse({ rateLimits: "default", overrides: { enable_set_displayname: false } });
  t.after(() => server.stop());
  const alice = await server.registerUser("alice", "not a secret");
  const call = (method: string, path: string, body: object): Promise<Response> =>
    fetch(`${server.baseUrl}/_matrix/client/v3/${path}`, {
      method,
      headers: { authorization: `Bearer ${alice.accessToken}` },
      body: JSON.stringify(body),
    });
  const renamed = await call("PUT", `profile/${alice.userId}/displayname`, { displayname: "Alice" });
  assert.equal(renamed.status, 400);
  const { room_id: roomId } = (await (await call("POST", "createRoom", {})).json()) as { room_id: string };
  const statuses: number[] = [];
  // Ten at once, and one more every five seconds: no machine is so slow that sixty get through.
  while (!statuses.includes(429) && statuses.length < 60) {
    const { status } = await call("PUT", `rooms/${roomId}/send/org.example.note/${statuses.length}`, {});
    statuses.push(status);
  }
  assert.equal(statuses.at(-1), 429);
});
