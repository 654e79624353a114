/**
 * Killed between the answer with new tokens and their commit, and between the commit and their first use: the sign-in survives both.
 * Servers refuse a refresh token once what it was exchanged for has been used, so a bot that used tokens before they are on disk, or
 * stored them late, would be signed out for ever.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { startAuthServer } from "../support/authServer.ts";
import { BotProcess } from "../support/botProcess.ts";
import { docket } from "../support/docketCommand.ts";
import { converse, loginPlace, USER, type LoginPlace } from "../support/loginPlace.ts";

const PRELOAD = join(import.meta.dirname, "tokenWriteChild.ts");

/** Ways to sign in, and what ends the access token that came of it. */
const signIns: Readonly<Record<string, (place: LoginPlace, t: Parameters<typeof converse>[0]) => Promise<() => void>>> =
  {
    "the homeserver": async (place) => {
      assert.equal((await place.login()).code, 0);
      return () => place.server.revokeToken(place.stored()?.accessToken ?? "", "soft");
    },
    "an authorization server": async (place, t) => {
      const auth = await startAuthServer(t, place.server);
      const login = docket("login", "--config", place.file);
      auth.grant(await auth.invitation(), USER);
      assert.equal((await login).code, 0);
      return () => auth.expireAccessTokens();
    },
  };

for (const [issuer, signIn] of Object.entries(signIns)) {
  describe(`a bot with tokens of ${issuer}`, () => {
    for (const when of ["before", "after"] as const) {
      it(`stays signed in when it is killed ${when} the commit of new ones, twice`, async (t) => {
        const place = await loginPlace(t);
        const expire = await signIn(place, t);
        await converse(t, place);
        const { deviceId } = place.stored() ?? {};
        for (let kill = 0; kill < 2; kill += 1) {
          expire();
          const before = place.stored();
          const bot = new BotProcess({ ...place.botOptions, preload: PRELOAD, env: { DOCKET_TEST_KILL: when } });
          t.after(() => bot.kill());
          assert.equal((await bot.ended()).signal, "SIGKILL", bot.stderr);
          const changed = place.stored()?.refreshToken !== before?.refreshToken;
          assert.equal(changed, when === "after");
        }
        await converse(t, place);
        assert.equal(place.stored()?.deviceId, deviceId);
      });
    }
  });
}
