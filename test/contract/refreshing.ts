/** Access tokens that expire, and the refresh tokens that they are renewed with (client-server API, "Refreshing access tokens"). */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import type { JsonObject } from "../../src/protocol/json.ts";
import type { HttpClient } from "../support/httpClient.ts";
import { PASSWORD, type Scene } from "./scene.ts";

/** Far more than the short life of an access token on a homeserver under test. */
const PATIENCE_MS = 60_000;

export function refreshingContract(scene: Scene): void {
  let alice: HttpClient;

  before(async () => {
    alice = await scene.user("alice");
  });

  const signIn = (): Promise<JsonObject> =>
    scene.anyone().call("POST", "/v3/login", {
      type: "m.login.password",
      identifier: { type: "m.id.user", user: alice.userId },
      password: PASSWORD,
      device_id: "refreshed",
      refresh_token: true,
    });
  const tokenOf = (tokens: JsonObject): JsonObject => ({ refresh_token: tokens["refresh_token"] ?? null });
  const refresh = (tokens: JsonObject): Promise<JsonObject> =>
    scene.anyone().call("POST", "/v3/refresh", tokenOf(tokens));
  const refused = (body: JsonObject): Promise<unknown> => scene.anyone().verdict("POST", "/v3/refresh", body);

  /** Asks who it is until the answer has the status. */
  async function whoamiUntil(status: number, accessToken: () => Promise<JsonObject>): Promise<JsonObject> {
    const endsAt = performance.now() + PATIENCE_MS;
    for (;;) {
      const token = String((await accessToken())["access_token"]);
      const reply = await scene.anyone(token).request("GET", "/v3/account/whoami");
      if (reply.status === status) return reply.body;
      if (performance.now() > endsAt) throw new Error(`No answer with status ${status} in ${PATIENCE_MS} ms.`);
      await pause(50);
    }
  }

  test("a sign-in that asks for it gets a refresh token, and an access token with an end", async () => {
    const tokens = await signIn();
    assert.equal(typeof tokens["refresh_token"], "string");
    assert.ok(Number.isInteger(tokens["expires_in_ms"]) && Number(tokens["expires_in_ms"]) > 0);
    const next = await refresh(tokens);
    assert.deepEqual(Object.keys(next).toSorted(), ["access_token", "expires_in_ms", "refresh_token"]);
    assert.notEqual(next["access_token"], tokens["access_token"]);
  });

  test("a refresh token may be used again until what it was exchanged for has been used", async () => {
    const first = await signIn();
    const lost = await refresh(first);
    const second = await refresh(first);
    assert.deepEqual(await refused(tokenOf(lost)), [401, "M_UNKNOWN_TOKEN"], "what was lost on the way is void");
    const gone = await scene.anyone(String(lost["access_token"])).request("GET", "/v3/account/whoami");
    assert.deepEqual([gone.status, gone.body["soft_logout"]], [401, false], "for good");
    await refresh(second);
    assert.deepEqual(await refused(tokenOf(first)), [401, "M_UNKNOWN_TOKEN"], "its successor was exchanged");

    const other = await signIn();
    const whoami = await whoamiUntil(200, () => refresh(other));
    assert.deepEqual([whoami["user_id"], whoami["device_id"]], [alice.userId, "refreshed"]);
    assert.deepEqual(await refused(tokenOf(other)), [403, "M_FORBIDDEN"], "the new access token was used");
  });

  test("an unknown refresh token, and none, are refused", async () => {
    assert.deepEqual(await refused({ refresh_token: "syr_unknown" }), [401, "M_UNKNOWN_TOKEN"]);
    assert.deepEqual(await refused({}), [400, "M_MISSING_PARAM"]);
    assert.deepEqual(await refused({ refresh_token: 7 }), [400, "M_INVALID_PARAM"]);
  });

  test("an access token at its end is a soft logout, and the refresh token gets another one", async () => {
    const tokens = await signIn();
    const over = await whoamiUntil(401, () => Promise.resolve(tokens));
    assert.deepEqual([over["errcode"], over["soft_logout"]], ["M_UNKNOWN_TOKEN", true]);
    const whoami = await whoamiUntil(200, () => refresh(tokens));
    assert.equal(whoami["device_id"], "refreshed");
  });

  test("a device that signs out takes its refresh token along", async () => {
    const tokens = await signIn();
    await alice.call("POST", "/v3/logout/all", {});
    assert.deepEqual(await refused(tokenOf(tokens)), [401, "M_UNKNOWN_TOKEN"]);
  });
}
