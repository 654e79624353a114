import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import type { JsonObject } from "../../../src/protocol/json.ts";
import { startDevServer, type DevServer } from "../../../devserver/server.ts";
import { HttpClient, list } from "../../support/httpClient.ts";

describe("sessions on the development homeserver", () => {
  let server: DevServer;

  before(async () => {
    server = await startDevServer({ unstableFeatures: { "org.example.on": true, "org.matrix.msc4089": false } });
  });
  after(() => server.stop());

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

  test("a test says how people sign in: with refresh tokens or without, with passwords or not", async (t) => {
    const own = await startDevServer();
    t.after(() => own.stop());
    const user = own.createAccount("alice", "right").userId;
    const anyone = new HttpClient(own, { userId: user, deviceId: "", accessToken: null });
    const identifier = { type: "m.id.user", user };
    const body = { type: "m.login.password", identifier, password: "right", refresh_token: true };
    assert.equal((await anyone.call("POST", "/v3/login", body))["expires_in_ms"], 300_000);
    own.setSignIn({ refreshTokens: false });
    assert.equal((await anyone.call("POST", "/v3/login", body))["refresh_token"], undefined);
    own.setSignIn({ flows: ["m.login.sso"] });
    assert.deepEqual(await anyone.verdict("POST", "/v3/login", body), [400, "M_UNKNOWN"]);
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
