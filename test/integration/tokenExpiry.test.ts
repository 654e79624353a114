/** Access tokens of the homeserver itself that expire under a running bot (client-server API, "Soft logout"). */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { converse, loginPlace, openTalk, USER } from "../support/loginPlace.ts";

const SOFT = { errcode: "M_UNKNOWN_TOKEN", error: "Access token has expired", soft_logout: true };

describe("a bot whose access token expires", () => {
  it("exchanges it once for all its requests, and goes on", async (t) => {
    const here = await loginPlace(t);
    assert.equal((await here.login()).code, 0);
    const talk = await openTalk(t, here);
    for (let round = 1; round <= 3; round += 1) {
      await talk.ask();
      here.server.revokeToken(here.stored()?.accessToken ?? "", "soft");
      here.server.cutConnections();
      await talk.ask();
      assert.equal(here.server.requests({ path: /\/refresh$/ }).length, round);
    }
    assert.equal(await talk.end(), 0, talk.bot.stderr);
  });

  it("sends an answer that met the refusal under the same transaction ID, once", async (t) => {
    const here = await loginPlace(t);
    assert.equal((await here.login()).code, 0);
    const talk = await openTalk(t, here);
    await talk.ask();
    const path = /\/send\/m\.room\.encrypted\//;
    for (const afterEffect of [false, true]) {
      const before = here.server.requests({ method: "PUT", path, userId: USER }).length;
      const answers = here.server.events().filter(({ sender }) => sender === USER).length;
      here.server.fault({
        method: "PUT",
        path,
        userId: USER,
        action: { kind: "answer", status: 401, body: SOFT, afterEffect },
      });
      await talk.ask();
      const sent = await here.server.waitFor(
        () => {
          const puts = here.server.requests({ method: "PUT", path, userId: USER }).slice(before);
          return puts.length === 2 && puts[1]?.outcome === "answered" ? puts : null;
        },
        60_000,
        "the second attempt",
      );
      assert.equal(new Set(sent.map(({ txnId }) => txnId)).size, 1);
      assert.equal(here.server.events().filter(({ sender }) => sender === USER).length, answers + 1);
    }
    assert.equal(await talk.end(), 0, talk.bot.stderr);
  });

  it("has what it exchanged for the next start", async (t) => {
    const here = await loginPlace(t);
    assert.equal((await here.login()).code, 0);
    for (let start = 0; start < 3; start += 1) {
      here.server.revokeToken(here.stored()?.accessToken ?? "", "soft");
      await converse(t, here);
    }
  });

  it("ends with 77 and names docket login where there is no refresh token, and where it is refused", async (t) => {
    for (const refreshTokens of [false, true]) {
      const here = await loginPlace(t);
      here.server.setSignIn({ refreshTokens });
      assert.equal((await here.login()).code, 0);
      const talk = await openTalk(t, here);
      await talk.ask();
      const { accessToken, deviceId } = here.stored() ?? { accessToken: "", deviceId: "" };
      if (refreshTokens) here.server.removeDevice(USER, deviceId);
      else here.server.revokeToken(accessToken, "soft");
      here.server.cutConnections();
      assert.equal((await talk.bot.ended()).code, 77);
      assert.match(talk.bot.stderr, /docket login/);
    }
  });
});
