/** The device authorization grant with a server whose answers make no sense: no flood, and no wait beyond the code's end. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { startDevServer } from "../../devserver/server.ts";
import { systemClock, type Clock } from "../../src/clock.ts";
import { ServerRefused } from "../../src/errors.ts";
import { silentLogger } from "../../src/logging.ts";
import { WebFetch } from "../../src/matrix/webFetch.ts";
import type { DeviceId } from "../../src/protocol/ids.ts";
import type { JsonValue } from "../../src/protocol/json.ts";
import { AuthorizationServer } from "../../src/session/oauth/authorizationServer.ts";
import { signInByDeviceGrant } from "../../src/session/oauth/deviceGrant.ts";
import { startAuthServer } from "../support/authServer.ts";
import { directNetwork } from "../support/directNetwork.ts";

/** Signs in, with waits that pass at once, until the code has expired. @returns the waits, in milliseconds */
async function waitsFor(t: TestContext, interval: JsonValue): Promise<readonly number[]> {
  const homeserver = await startDevServer();
  t.after(() => homeserver.stop());
  const auth = await startAuthServer(t, homeserver);
  const code = { device_code: "d", user_code: "u", verification_uri: `${auth.url}/link`, expires_in: 10, interval };
  auth.fault = ({ path }) =>
    path === "/device" ? { status: 200, body: code } : { status: 400, body: { error: "authorization_pending" } };
  const metadata = {
    issuer: `${auth.url}/`,
    token_endpoint: `${auth.url}/token`,
    device_authorization_endpoint: `${auth.url}/device`,
  };
  const waits: number[] = [];
  let now = systemClock.now();
  const clock: Clock = {
    now: () => now,
    sleep: (ms) => {
      waits.push(ms);
      now += ms;
      return Promise.resolve();
    },
  };
  const web = new WebFetch({ network: directNetwork, clock: systemClock, log: silentLogger });
  t.after(() => web.close());
  const { signal } = new AbortController();
  const server = await AuthorizationServer.discover({ request: () => Promise.resolve(metadata) }, signal, {
    web,
    clock,
  });
  assert.ok(server !== null);
  const signingIn = signInByDeviceGrant(server, "client", "docket-device" as DeviceId, {
    clock,
    signal,
    onInvitation: () => undefined,
  });
  await assert.rejects(
    signingIn,
    (error) => error instanceof ServerRefused && /before its code expired/.test(error.message),
  );
  return waits;
}

describe("a sign-in by code", () => {
  it("asks at most once a second, whatever the server names", async (t) => {
    assert.deepEqual(
      await waitsFor(t, 0.0001),
      Array.from({ length: 10 }, () => 1_000),
    );
  });

  it("waits no longer than the code is good", async (t) => {
    assert.deepEqual(await waitsFor(t, 1e300), [10_000]);
  });

  it("asks in the interval of the server", async (t) => {
    assert.deepEqual(await waitsFor(t, 4), [4_000, 4_000, 2_000]);
  });
});
