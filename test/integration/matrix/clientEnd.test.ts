/** How a client ends: what stops at once, what may still leave, what is left behind. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { describe, it } from "node:test";
import { Cancelled } from "../../../src/errors.ts";
import type { RoomId, SyncToken, TxnId } from "../../../src/protocol/ids.ts";
import { answer, clientFor, never, rejection, scriptedServer, silence } from "./scriptedServer.ts";

const repository = new URL("../../..", import.meta.url);
const roomId = "!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM" as RoomId;
const poll = { since: "s1" as SyncToken, filter: {}, timeoutMs: 30_000, stateAfter: true };

describe("the end of a client", () => {
  it("stop() ends the long poll at once and lets what is queued leave", async (t) => {
    const server = await scriptedServer(t, silence, answer(200, { event_id: "$late" }));
    const client = clientFor(t, server);
    const polling = rejection(Cancelled, client.sync(poll, never));
    await server.arrived(1);
    const before = performance.now();
    client.stop();
    client.stop();
    await polling;
    await server.hungUp(1);
    assert.ok(performance.now() - before < 10_000);
    await rejection(Cancelled, client.sync(poll, never));
    assert.equal(await client.send({ roomId, type: "m.x", content: {} }, "t" as TxnId, never), "$late");
  });

  it("close() cancels everything: polls, requests under way, new ones", async (t) => {
    const server = await scriptedServer(t, silence);
    const client = clientFor(t, server);
    const request = client.request("GET", "/_matrix/client/v3/x", { signal: never, retry: "none" });
    const cancelled = [client.sync(poll, never), request].map((call) => rejection(Cancelled, call));
    await server.arrived(2);
    await Promise.all([client.close(), client.close()]);
    await Promise.all(cancelled);
    await server.hungUp(2);
    await rejection(Cancelled, client.whoami(never));
  });

  it("leaves nothing behind that would keep the process from ending", async (t) => {
    const server = await scriptedServer(t, answer(200, { user_id: "@bot:x" }), silence);
    const script = `
      import { DocketClient } from "./src/matrix/client.ts";
      import { directNetwork } from "./test/support/directNetwork.ts";
      import { systemClock } from "./src/clock.ts";
      import { silentLogger } from "./src/logging.ts";
      const client = new DocketClient({ homeserverUrl: "${server.url}", tokenProvider: () => "t", clock: systemClock, log: silentLogger, network: directNetwork });
      const signal = new AbortController().signal;
      await client.whoami(signal);
      client.sync({ since: "s", filter: {}, timeoutMs: 60000, stateAfter: false }, signal).catch((error) => console.log(error.name));
      process.stdin.once("data", async () => { await client.close(); process.stdin.destroy(); });
    `;
    const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", script], { cwd: repository });
    t.after(() => child.kill("SIGKILL"));
    const output = Promise.all([text(child.stdout), text(child.stderr)]);
    await server.arrived(2);
    const before = performance.now();
    child.stdin.write("x");
    assert.deepEqual(await once(child, "exit"), [0, null]);
    assert.ok(performance.now() - before < 10_000);
    assert.deepEqual(await output, ["Cancelled\n", ""]);
  });
});
