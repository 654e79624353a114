/** The time of day, and who may ask for what, on the development homeserver: as a real one has them. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { startDevServer, type DevServer } from "../../../devserver/server.ts";
import { HttpClient } from "../../support/httpClient.ts";

async function server(t: TestContext): Promise<DevServer> {
  const started = await startDevServer();
  t.after(() => started.stop());
  return started;
}

test("there is no key backup", async (t) => {
  const homeserver = await server(t);
  const client = new HttpClient(homeserver, homeserver.createAccount("alice"));
  const { status, body } = await client.request("GET", "/v3/room_keys/version");
  assert.deepEqual([status, body["errcode"]], [404, "M_NOT_FOUND"]);
});

test("versions are told to everybody but to whom has a token that is not good, as on Synapse", async (t) => {
  const homeserver = await server(t);
  const account = homeserver.createAccount("alice");
  const client = new HttpClient(homeserver, account);
  assert.equal((await fetch(`${homeserver.url}/_matrix/client/versions`)).status, 200);
  assert.equal((await client.request("GET", "/versions")).status, 200);
  homeserver.revokeToken(account.accessToken);
  assert.equal((await client.request("GET", "/versions")).status, 401);
});

test("the date of each answer is the server's clock, off by what a test asks for", async (t) => {
  const homeserver = await server(t);
  const client = new HttpClient(homeserver, homeserver.createAccount("alice"));
  const off = async (): Promise<number> => {
    const { headers } = await client.request("GET", "/v3/account/whoami");
    return Date.parse(headers.get("date") ?? "") - Date.now();
  };
  assert(Math.abs(await off()) < 60_000);
  homeserver.shiftDate(-3_600_000);
  assert(Math.abs((await off()) + 3_600_000) < 60_000);
});
