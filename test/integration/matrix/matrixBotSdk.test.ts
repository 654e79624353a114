/** What of matrix-bot-sdk is in use, and what must never be. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { describe, it } from "node:test";
import { ServerRefused } from "../../../src/errors.ts";
import { answer, clientFor, never, rejection, scriptedServer } from "./scriptedServer.ts";

const repository = new URL("../../..", import.meta.url);
const ROOM = "!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM";

describe("matrix-bot-sdk", () => {
  it("is imported without a word on stdout or stderr", async () => {
    const child = spawn(
      process.execPath,
      ["--input-type=module-typescript", "-e", 'await import("./src/matrix/client.ts")'],
      { cwd: repository },
    );
    const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
    assert.deepEqual([out, err], ["", ""]);
  });

  it("never starts a sync of its own", async (t) => {
    const server = await scriptedServer(
      t,
      answer(200, { joined_rooms: [], user_id: "@bot:x", filter_id: "1", next_batch: "s" }),
    );
    await assert.rejects(clientFor(t, server).start(), /own sync is not part of Docket/);
    assert.equal(server.seen.length, 0);
  });

  it("sends its own calls through the same door: token, errors, bytes", async (t) => {
    const server = await scriptedServer(
      t,
      answer(200, { joined_rooms: [ROOM] }),
      answer(403, { errcode: "M_FORBIDDEN", error: "canary" }),
      answer(200, "raw bytes", { "content-type": "text/plain" }),
    );
    const client = clientFor(t, server);
    assert.deepEqual(await client.getJoinedRooms(), [ROOM]);
    assert.equal((await rejection(ServerRefused, client.getRoomState(ROOM))).errcode, "M_FORBIDDEN");
    const { data, contentType } = await client.downloadContent("mxc://x/y");
    assert.deepEqual([data.toString(), contentType], ["raw bytes", "text/plain"]);
    assert.ok(server.seen.every(({ headers }) => headers.authorization?.startsWith("Bearer ")));
  });

  it("is kept apart for two clients in one process", async (t) => {
    const [left, right] = [
      await scriptedServer(t, answer(200, { user_id: "@l:x" })),
      await scriptedServer(t, answer(200, { user_id: "@r:x" })),
    ];
    const clients = [
      clientFor(t, left, { tokenProvider: () => "l" }),
      clientFor(t, right, { tokenProvider: () => "r" }),
    ];
    const accounts = await Promise.all([...clients, ...clients].map((client) => client.whoami(never)));
    assert.deepEqual(
      accounts.map(({ userId }) => userId),
      ["@l:x", "@r:x", "@l:x", "@r:x"],
    );
    assert.ok(left.seen.every(({ headers }) => headers.authorization === "Bearer l"));
    assert.ok(right.seen.every(({ headers }) => headers.authorization === "Bearer r"));
  });
});
