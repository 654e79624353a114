/** Sign-in through an authorization server, and tokens that expire: the bot goes on, whatever becomes of them. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { BotProcess } from "../support/botProcess.ts";
import { startAuthServer, type AuthServer } from "../support/authServer.ts";
import { docket, type CommandOutcome } from "../support/docketCommand.ts";
import { converse, loginPlace, openTalk, USER, type LoginPlace } from "../support/loginPlace.ts";

async function delegated(t: TestContext): Promise<LoginPlace & { auth: AuthServer }> {
  const place = await loginPlace(t);
  return { ...place, auth: await startAuthServer(t, place.server) };
}

/** `docket login`, confirmed by somebody elsewhere. @param confirm by default the bot's account says yes */
async function signIn(
  { auth, file }: LoginPlace & { auth: AuthServer },
  confirm = (code: string): void => auth.grant(code, USER),
  ...more: string[]
): Promise<CommandOutcome> {
  const outcome = docket("login", "--config", file, ...more);
  const code = await Promise.race([auth.invitation(), outcome.then(() => null)]);
  if (code !== null) confirm(code);
  return await outcome;
}

describe("sign-in through an authorization server", () => {
  it("shows where to confirm it, and the bot works with what it brought, over expired tokens", async (t) => {
    const here = await delegated(t);
    const outcome = await signIn(here);
    assert.equal(outcome.code, 0, outcome.stderr);
    const code = /link\?code=([0-9A-F]{8})/.exec(outcome.stdout)?.[1] ?? "none";
    assert.ok(outcome.stdout.includes(`${here.auth.url}/link and type the code ${code}`));
    const stored = here.stored();
    assert.match(stored?.deviceId ?? "", /^docket-[a-z0-9]{10}$/);
    assert.equal(stored?.authorizationServer?.issuer, `${here.auth.url}/`);
    for (const secret of [stored.accessToken, stored.refreshToken ?? ""])
      assert.ok(!`${outcome.stdout}${outcome.stderr}`.includes(secret));
    assert.deepEqual(here.auth.sessions(), [
      { clientId: "client1", userId: USER, deviceId: stored.deviceId, ended: false },
    ]);

    const talk = await openTalk(t, here);
    await talk.ask();
    // As Synapse answers behind an authorization server: 401 without soft_logout.
    here.auth.expireAccessTokens();
    await talk.ask();
    here.auth.expireAccessTokens();
    await talk.ask();
    assert.equal(await talk.end(), 0, talk.bot.stderr);
    assert.notEqual(here.stored()?.refreshToken, stored.refreshToken);
    here.auth.expireAccessTokens();
    const check = await docket("check", "--online", "--config", here.file);
    assert.deepEqual([check.code, /has expired; a start exchanges it/.test(check.stdout)], [0, true]);
    await converse(t, here);
  });

  it("speaks the names of the proposals with a homeserver from before the specification", async (t) => {
    const here = await delegated(t);
    here.auth.scopes = "unstable";
    here.server.fault({
      path: /\/client\/v1\/auth_metadata$/,
      times: Infinity,
      action: { kind: "answer", status: 404, body: { errcode: "M_UNRECOGNIZED" } },
    });
    assert.equal((await signIn(here)).code, 0);
    assert.equal(here.auth.requests.filter(({ path }) => path === "/device").length, 1);
    await converse(t, here);
  });

  it("takes the other names of the scopes where the first are refused", async (t) => {
    const here = await delegated(t);
    here.auth.scopes = "unstable";
    assert.equal((await signIn(here)).code, 0);
  });

  it("ends with 77 where it is refused, or its code expires", async (t) => {
    const here = await delegated(t);
    const denied = await signIn(here, (code) => here.auth.deny(code));
    assert.deepEqual([denied.code, /was refused/.test(denied.stderr)], [77, true]);
    const expired = await signIn(here, (code) => here.auth.expireCode(code));
    assert.deepEqual([expired.code, /before its code expired/.test(expired.stderr)], [77, true]);
    assert.ok(!`${denied.stderr}${expired.stderr}`.includes("words of the server"));
    assert.equal(here.stored(), null);
  });

  it("signs out again whoever else has confirmed it", async (t) => {
    const here = await delegated(t);
    const outcome = await signIn(here, (code) => here.auth.grant(code, "@other:localhost"));
    assert.equal(outcome.code, 78);
    assert.match(outcome.stderr, /sign-in of @other:localhost, but account\.user is @docket:localhost/);
    assert.deepEqual(here.auth.sessions(), []);
    assert.deepEqual([...here.server.devices("@other:localhost").keys()], ["ADMINS"]);
    assert.equal(here.stored(), null);
  });

  it("goes on asking when the server is away for a moment", async (t) => {
    const here = await delegated(t);
    let polls = 0;
    here.auth.fault = ({ path, body }) => {
      if (path !== "/token" || !body.has("device_code")) return null;
      polls += 1;
      if (polls === 1) return "cut";
      return polls === 2 ? { status: 400, body: { error: "slow_down" } } : null;
    };
    assert.equal((await signIn(here)).code, 0);
    assert.equal(polls, 3);
  });

  it("is for a password where one is given, and needs a server with the grant where it is asked for", async (t) => {
    const here = await delegated(t);
    assert.equal((await here.login()).code, 0);
    assert.equal(here.stored()?.authorizationServer, null);
    assert.deepEqual(here.auth.requests, []);
    here.auth.hidden = ["device_authorization_endpoint"];
    const outcome = await docket("login", "--config", here.file, "--again", "--oauth");
    assert.equal(outcome.code, 69);
    assert.match(outcome.stderr, /no authorization server.*It offers: m\.login\.password/s);
  });

  it("says so where the server lets no client register itself", async (t) => {
    const here = await delegated(t);
    here.auth.fault = ({ path }) =>
      path === "/register" ? { status: 401, body: { error: "access_denied", error_description: "canary" } } : null;
    const outcome = await signIn(here);
    assert.equal(outcome.code, 69);
    assert.match(outcome.stderr, /does not let Docket register itself/);
    assert.ok(!outcome.stderr.includes("canary"));
  });

  it("is ended by logout at the server, also with tokens that have expired", async (t) => {
    const here = await delegated(t);
    assert.equal((await signIn(here)).code, 0);
    await converse(t, here);
    const deviceId = here.stored()?.deviceId ?? "";
    here.auth.expireAccessTokens();
    const outcome = await docket("logout", "--config", here.file);
    assert.equal(outcome.code, 0, outcome.stderr);
    assert.deepEqual(here.auth.sessions(), []);
    assert.ok(!here.server.devices(USER).has(deviceId));
    assert.equal(here.stored(), null);
  });

  it("is ended by logout at the server, also after a kill between new tokens and their commit", async (t) => {
    const here = await delegated(t);
    assert.equal((await signIn(here)).code, 0);
    await converse(t, here);
    here.auth.expireAccessTokens();
    const bot = new BotProcess({
      ...here.botOptions,
      preload: join(import.meta.dirname, "..", "crash", "tokenWriteChild.ts"),
      env: { DOCKET_TEST_KILL: "before" },
    });
    t.after(() => bot.kill());
    assert.equal((await bot.ended()).signal, "SIGKILL");
    // What is stored was exchanged; a server says nothing when it is to revoke that.
    const outcome = await docket("logout", "--config", here.file);
    assert.equal(outcome.code, 0, outcome.stderr);
    assert.deepEqual(here.auth.sessions(), []);
  });

  it("is not ended here while the server can't be reached", async (t) => {
    const here = await delegated(t);
    assert.equal((await signIn(here)).code, 0);
    here.auth.fault = ({ path }) => (path === "/revoke" ? "cut" : null);
    const outcome = await docket("logout", "--config", here.file);
    assert.deepEqual([outcome.code, /nothing was removed/.test(outcome.stderr)], [69, true]);
    assert.notEqual(here.stored(), null);
    assert.equal(here.auth.sessions().length, 1);
  });
});

describe("a bot whose session ended at the authorization server", () => {
  it("ends with 77 and names docket login, which signs the same device in again", async (t) => {
    const here = await delegated(t);
    assert.equal((await signIn(here)).code, 0);
    const talk = await openTalk(t, here);
    await talk.ask();
    here.auth.endSessions();
    here.server.cutConnections();
    assert.equal((await talk.bot.ended()).code, 77);
    assert.match(talk.bot.stderr, /no longer knows this sign-in.*docket login/s);
    const { deviceId } = here.stored() ?? {};
    assert.equal((await signIn(here)).code, 0);
    assert.equal(here.stored()?.deviceId, deviceId);
    await converse(t, here);
  });

  it("goes on with new tokens whose lifetime makes no sense", async (t) => {
    const here = await delegated(t);
    assert.equal((await signIn(here)).code, 0);
    const talk = await openTalk(t, here);
    await talk.ask();
    for (const lifetimeS of [299.00005, 1e300]) {
      here.auth.lifetimeS = lifetimeS;
      here.auth.expireAccessTokens();
      await talk.ask();
    }
    assert.equal(await talk.end(), 0, talk.bot.stderr);
  });

  it("waits for an authorization server that is away, and does not take that for the end", async (t) => {
    const here = await delegated(t);
    assert.equal((await signIn(here)).code, 0);
    const talk = await openTalk(t, here);
    await talk.ask();
    let tries = 0;
    here.auth.fault = ({ path }) => {
      if (path !== "/token") return null;
      tries += 1;
      return tries % 2 === 0 ? "cut" : { status: 503, body: { error: "temporarily_unavailable" } };
    };
    here.auth.expireAccessTokens();
    here.server.cutConnections();
    await here.server.waitFor(() => tries >= 3, 60_000, "three attempts at the authorization server");
    here.auth.fault = null;
    await talk.ask();
    assert.equal(await talk.end(), 0, talk.bot.stderr);
  });

  it("waits for it at a start, too", async (t) => {
    const here = await delegated(t);
    assert.equal((await signIn(here)).code, 0);
    here.auth.expireAccessTokens();
    here.auth.fault = ({ path }) => (path === "/token" ? "cut" : null);
    const bot = new BotProcess(here.botOptions);
    t.after(() => bot.kill());
    await bot.line(({ msg }) => msg.includes("does not answer yet"), "it said that it waits");
    here.auth.fault = null;
    await bot.running();
    assert.equal(await bot.stop(), 0);
  });
});
