import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import type { JsonObject } from "../../../src/protocol/json.ts";
import { startDevServer, type DevServer } from "../../../devserver/server.ts";
import { HttpClient, list } from "./httpClient.ts";

describe("sessions on the development homeserver", () => {
  let server: DevServer;

  before(async () => {
    server = await startDevServer({ unstableFeatures: { "org.example.on": true, "org.matrix.msc4089": false } });
    server.createAccount("alice", "right");
  });
  after(() => server.stop());

  async function post(path: string, body: JsonObject | string): Promise<{ status: number; body: JsonObject }> {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const response = await fetch(`${server.url}/_matrix/client${path}`, { method: "POST", body: text });
    return { status: response.status, body: (await response.json()) as JsonObject };
  }
  const login = (password: string, more: JsonObject = {}): ReturnType<typeof post> =>
    post("/v3/login", {
      type: "m.login.password",
      identifier: { type: "m.id.user", user: "alice" },
      password,
      ...more,
    });

  test("a password signs in a device, and whoami tells which", async () => {
    const reply = await login("right", { device_id: "phone" });
    assert.equal(reply.status, 200);
    assert.equal(reply.body["user_id"], "@alice:localhost");
    const client = new HttpClient(server, {
      userId: "@alice:localhost",
      deviceId: "phone",
      accessToken: String(reply.body["access_token"]),
    });
    assert.deepEqual(await client.call("GET", "/v3/account/whoami"), {
      user_id: "@alice:localhost",
      is_guest: false,
      device_id: "phone",
    });
    assert.deepEqual((await login("wrong")).body["errcode"], "M_FORBIDDEN");
  });

  test("/versions shows the features that the server has by itself, and those that the test switched on or off", async () => {
    const reply = (await (await fetch(`${server.url}/_matrix/client/versions`)).json()) as JsonObject;
    assert.deepEqual(reply["unstable_features"], {
      "org.example.on": true,
      "org.matrix.msc4089": false,
      "uk.tcpip.msc4133": true,
      "uk.tcpip.msc4133.stable": true,
    });
    assert.ok((reply["versions"] as string[]).includes("v1.11"));
  });

  test("a revoked token is refused with 401, softly if asked, and a new token of the device works", async () => {
    for (const how of ["hard", "soft"] as const) {
      const account = server.createAccount(`revoked-${how}`);
      server.revokeToken(account.accessToken, how);
      const refused = await new HttpClient(server, account).request("GET", "/v3/account/whoami");
      assert.equal(refused.status, 401);
      assert.equal(refused.body["errcode"], "M_UNKNOWN_TOKEN");
      assert.equal(refused.body["soft_logout"], how === "soft");
      const next = new HttpClient(server, server.signIn(account.userId, account.deviceId));
      assert.equal((await next.call("GET", "/v3/account/whoami"))["device_id"], account.deviceId);
    }
  });

  test("the standard refusals have the standard codes", async () => {
    const alice = new HttpClient(server, server.signIn("@alice:localhost"));
    assert.deepEqual([(await post("/v3/createRoom", {})).body["errcode"]], ["M_MISSING_TOKEN"]);
    assert.equal((await post("/v3/login", "{")).body["errcode"], "M_NOT_JSON");
    assert.equal((await post("/v3/login", "[]")).body["errcode"], "M_BAD_JSON");
    for (const [method, path, status] of [
      ["GET", "/v3/nothing/here", 404],
      ["POST", "/v3/keys/signatures/upload", 404],
      ["DELETE", "/v3/login", 405],
    ] as const) {
      const reply = await alice.request(method, path);
      assert.deepEqual([reply.status, reply.body["errcode"]], [status, "M_UNRECOGNIZED"]);
    }
    assert.equal((await alice.request("PUT", "/v3/user/@bob:localhost/account_data/a", {})).status, 403);
  });

  test("a display name is set, shown and used in later joins", async () => {
    const account = server.createAccount("named");
    const client = new HttpClient(server, account);
    await client.call("PUT", `/v3/profile/${account.userId}/displayname`, { displayname: "Name" });
    assert.deepEqual(await client.call("GET", `/v3/profile/${account.userId}`), { displayname: "Name" });
    const roomId = server.createRoom("@alice:localhost", { preset: "public_chat" });
    await client.call("POST", `/v3/join/${roomId}`);
    const members = list(await client.call("GET", `/v3/rooms/${roomId}/members?membership=join`), "chunk");
    assert.deepEqual(members.at(-1)?.["content"], { membership: "join", displayname: "Name" });
  });

  test("as a process it prints its address and accounts, and ends with its parent", async () => {
    const script = new URL("../../../devserver/main.ts", import.meta.url).pathname;
    const child = spawn(
      process.execPath,
      [script, "--server-name", "here", "--account", "bot:pw:BOT", "--account", "user:pw", "--stop-with-parent"],
      { stdio: ["pipe", "pipe", "inherit"] },
    );
    try {
      const [line] = (await once(createInterface(child.stdout), "line")) as [string];
      const printed = JSON.parse(line) as JsonObject;
      const accounts = list(printed, "accounts");
      assert.deepEqual(
        accounts.map((account) => account["userId"]),
        ["@bot:here", "@user:here"],
      );
      const response = await fetch(`${String(printed["url"])}/_matrix/client/v3/account/whoami`, {
        headers: { Authorization: `Bearer ${String(accounts[0]?.["accessToken"])}` },
      });
      assert.equal(((await response.json()) as JsonObject)["device_id"], "BOT");
      child.stdin.end();
      const [code] = (await once(child, "exit")) as [number | null];
      assert.equal(code, 0);
    } finally {
      child.kill("SIGKILL");
    }
  });

  test("as a process it ends on SIGTERM", async () => {
    const script = new URL("../../../devserver/main.ts", import.meta.url).pathname;
    const child = spawn(process.execPath, [script], { stdio: ["pipe", "pipe", "inherit"] });
    await once(createInterface(child.stdout), "line");
    child.kill("SIGTERM");
    assert.deepEqual(await once(child, "exit"), [0, null]);
  });
});
