/** `docket login` with a password or a token, as operators use it, against the development homeserver. */
import assert from "node:assert/strict";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { BotProcess, writeConfig } from "../../support/botProcess.ts";
import { docket, docketGiven } from "../../support/docketCommand.ts";
import { converse, loginPlace, PASSWORD, USER } from "../../support/loginPlace.ts";

describe("docket login", () => {
  it("signs in with the password from a pipe, and the bot works with what it stored", async (t) => {
    const here = await loginPlace(t);
    const { server, file, dataDirectory } = here;
    const outcome = await here.login();
    assert.equal(outcome.code, 0, outcome.stderr);
    const stored = here.stored();
    assert.equal(stored?.userId, USER);
    assert.match(stored.deviceId, /^[a-z][a-z0-9_.-]{9,}$/, "it fits into a profile field's name");
    assert.ok(outcome.stdout.includes(stored.deviceId));
    assert.equal(server.devices(USER).get(stored.deviceId), "Docket");
    assert.ok(stored.refreshToken !== null && stored.expiresAt !== null, "a refresh token was asked for");
    for (const secret of [PASSWORD, stored.accessToken, stored.refreshToken])
      assert.ok(!`${outcome.stdout}${outcome.stderr}`.includes(secret));
    for (const name of ["docket.db", "docket.db-wal"].filter((each) => existsSync(join(dataDirectory, each))))
      assert.equal(statSync(join(dataDirectory, name)).mode & 0o077, 0, name);

    const check = await docket("check", "--online", "--config", file);
    assert.equal(check.code, 0, check.stderr);
    assert.ok(check.stdout.includes(stored.deviceId));
    await converse(t, here);
  });

  it("makes a new device each time there is no other, and calls it as asked", async (t) => {
    const first = await loginPlace(t);
    const second = await loginPlace(t, { server: first.server });
    assert.equal((await first.login()).code, 0);
    assert.equal((await second.login("--device-name", "Archive")).code, 0);
    const [one, two] = [first.stored()?.deviceId ?? "", second.stored()?.deviceId ?? ""];
    assert.notEqual(one, two);
    assert.equal(first.server.devices(USER).get(two), "Archive");
  });

  it("takes the password from a file or the environment too, and refuses two places at once", async (t) => {
    const here = await loginPlace(t);
    const { file } = here;
    const secret = join(here.dataDirectory, "..", "password");
    writeFileSync(secret, `${PASSWORD}\n`);
    const login = ["login", "--config", file];
    assert.equal((await docket(...login, "--password-file", secret)).code, 0);
    const env = { DOCKET_PASSWORD: PASSWORD };
    assert.equal((await docketGiven({ env }, ...login, "--again")).code, 0);
    assert.equal((await docket(...login, "--password-file", secret, "--password-stdin")).code, 64);
    assert.equal((await docket(...login, "--again", "--password-file", `${secret}.missing`)).code, 64);
    assert.equal((await docketGiven({ stdin: "" }, ...login, "--again", "--password-stdin")).code, 64);
    const none = await docket(...login, "--again");
    assert.equal(none.code, 64);
    assert.match(none.stderr, /--password-stdin/);
    // There is no way to give it as an argument, where everybody on the machine could read it.
    assert.equal((await docket(...login, "--password", PASSWORD)).code, 64);
  });

  it("leaves a device that is signed in as it is, and takes the same one with --again", async (t) => {
    const here = await loginPlace(t);
    assert.equal((await here.login()).code, 0);
    const first = here.stored();
    const again = await here.login();
    assert.deepEqual([again.code, here.stored()], [0, first]);
    assert.match(again.stdout, /signed in already/);
    await converse(t, here);
    assert.equal((await here.login("--again")).code, 0);
    const second = here.stored();
    assert.deepEqual([second?.deviceId, second?.accessToken === first?.accessToken], [first?.deviceId, false]);
    await converse(t, here);
  });

  it("signs the same device in again when its token is no longer good, and keeps its keys", async (t) => {
    const here = await loginPlace(t);
    here.server.setSignIn({ refreshTokens: false });
    assert.equal((await here.login()).code, 0);
    await converse(t, here);
    const first = here.stored();
    here.server.revokeToken(first?.accessToken ?? "");
    const bot = new BotProcess(here.botOptions);
    t.after(() => bot.kill());
    assert.equal((await bot.ended()).code, 77);
    assert.match(bot.stderr, /docket login/);
    assert.equal((await here.login()).code, 0);
    assert.equal(here.stored()?.deviceId, first?.deviceId);
    await converse(t, here);
  });

  it("says that a directory's device was deleted, and does not make another one by its name", async (t) => {
    const here = await loginPlace(t);
    assert.equal((await here.login()).code, 0);
    await converse(t, here);
    const deviceId = here.stored()?.deviceId ?? "";
    here.server.removeDevice(USER, deviceId);
    const outcome = await here.login();
    assert.equal(outcome.code, 73);
    assert.match(outcome.stderr, /was deleted there.*new, empty data.directory/s);
  });

  it("says that the password is wrong, and stores nothing", async (t) => {
    const here = await loginPlace(t);
    const stdin = "wrong canary";
    const outcome = await docketGiven({ stdin }, "login", "--config", here.file, "--password-stdin");
    assert.equal(outcome.code, 77);
    assert.match(outcome.stderr, /the password is wrong, or there is no such account/);
    assert.ok(!outcome.stderr.includes("canary"));
    assert.equal(here.stored(), null);
    assert.deepEqual([...here.server.devices(USER).keys()], ["ADMINS"]);
  });

  it("says what a homeserver offers that takes no passwords", async (t) => {
    const here = await loginPlace(t);
    here.server.setSignIn({ flows: ["m.login.sso", "m.login.token"] });
    const outcome = await here.login();
    assert.equal(outcome.code, 69);
    assert.match(outcome.stderr, /takes no passwords.*m\.login\.sso, m\.login\.token.*docket login --token/s);
    assert.equal(here.server.requests({ method: "POST", path: /\/login$/ }).length, 0);
  });

  it("lets no word of the homeserver steer the terminal", async (t) => {
    const here = await loginPlace(t);
    const steering = "\u001b]0;title\u0007\u202e\u009b31m";
    here.server.setSignIn({ flows: [`m.login.${steering}`] });
    const offer = await here.login();
    assert.deepEqual([offer.code, /takes no passwords.*m\.login\./.test(offer.stderr)], [69, true]);
    here.server.setSignIn({ flows: ["m.login.password"] });
    const outcomes = [offer];
    const answer = { user_id: USER, device_id: "DEVICE", access_token: "canary" };
    for (const wrong of [{ user_id: `@other${steering}:localhost` }, { device_id: `D${steering}` }]) {
      const body = { ...answer, ...wrong };
      here.server.fault({ method: "POST", path: /\/login$/, times: 10, action: { kind: "answer", status: 200, body } });
      const outcome = await here.login();
      assert.deepEqual([outcome.code, /can't be used/.test(outcome.stderr)], [69, true], outcome.stderr);
      outcomes.push(outcome);
      here.server.clearFaults();
    }
    for (const { stdout, stderr } of outcomes) assert.doesNotMatch(`${stdout}${stderr}`, /[^\P{Cc}\n]|\u202e|canary/u);
    assert.equal(here.stored(), null);
  });

  it("takes tokens whose lifetime makes no sense, and does not name the disk for it", async (t) => {
    for (const lifetime of [1234.5, 1e300, -5]) {
      const here = await loginPlace(t);
      const { accessToken } = here.server.signIn(USER, "ADMINS");
      const body = { user_id: USER, device_id: "ADMINS", access_token: accessToken, refresh_token: "r" };
      const action = { kind: "answer", status: 200, body: { ...body, expires_in_ms: lifetime } } as const;
      here.server.fault({ method: "POST", path: /\/login$/, action });
      const outcome = await here.login();
      assert.equal(outcome.code, 0, outcome.stderr);
      assert.equal(here.stored()?.refreshToken, "r");
    }
  });

  it("asks for the password where the metadata of the authorization server name no list of grants", async (t) => {
    for (const grants of [5, null, {}]) {
      const here = await loginPlace(t);
      const issuer = "http://127.0.0.1:1/";
      const endpoints = { token_endpoint: `${issuer}token`, device_authorization_endpoint: `${issuer}device` };
      const body = { issuer, ...endpoints, grant_types_supported: grants };
      here.server.fault({ path: /\/auth_metadata$/, action: { kind: "answer", status: 200, body } });
      const outcome = await here.login();
      assert.equal(outcome.code, 0, outcome.stderr);
    }
  });

  it("reads no password that is not text from a file, and no file without an end", async (t) => {
    const here = await loginPlace(t);
    const secret = join(here.dataDirectory, "..", "password");
    writeFileSync(secret, Buffer.from(PASSWORD, "latin1"));
    const latin = await docket("login", "--config", here.file, "--password-file", secret);
    assert.deepEqual([latin.code, /not UTF-8/.test(latin.stderr)], [64, true], latin.stderr);
    const endless = await docket("login", "--config", here.file, "--password-file", "/dev/zero");
    assert.deepEqual([endless.code, /too long/.test(endless.stderr)], [64, true], endless.stderr);
  });

  it("refuses another account's directory before it signs in", async (t) => {
    const here = await loginPlace(t);
    assert.equal((await here.login()).code, 0);
    writeConfig({ ...here.botOptions, userId: "@other:localhost" });
    const before = here.stored();
    const outcome = await here.login();
    assert.equal(outcome.code, 73);
    assert.match(outcome.stderr, /belongs to the account @docket:localhost/);
    assert.deepEqual(here.stored(), before);
    assert.deepEqual([...here.server.devices("@other:localhost").keys()], ["ADMINS"]);
  });

  it("refuses while a bot runs on the directory, and so does logout", async (t) => {
    const here = await loginPlace(t);
    assert.equal((await here.login()).code, 0);
    const bot = new BotProcess(here.botOptions);
    t.after(() => bot.kill());
    await bot.running();
    const before = here.stored();
    for (const outcome of [await here.login("--again"), await docket("logout", "--config", here.file)]) {
      assert.equal(outcome.code, 73);
      assert.match(outcome.stderr, /in use by another Docket process. Stop that one first/);
    }
    assert.deepEqual(here.stored(), before);
    const check = await docket("check", "--online", "--config", here.file);
    assert.equal(check.code, 0, "asking works beside the bot");
    assert.equal(await bot.stop(), 0);
  });

  it("refuses where the configuration has a token, which would count instead", async (t) => {
    const here = await loginPlace(t);
    writeConfig({ ...here.botOptions, accessToken: here.server.signIn(USER, "ADMINS").accessToken });
    const outcome = await here.login();
    assert.equal(outcome.code, 78);
    assert.match(outcome.stderr, /account\.token.*Remove account\.token/s);
  });

  it("takes over the device of a token from the environment", async (t) => {
    const here = await loginPlace(t);
    const { accessToken, deviceId } = here.server.signIn(USER, "elsewhere");
    const login = ["login", "--config", here.file, "--token"];
    const wrong = await docketGiven({ env: { DOCKET_TOKEN: "canary" } }, ...login);
    assert.equal(wrong.code, 77);
    assert.ok(!wrong.stderr.includes("canary"));
    assert.equal((await docketGiven({ env: { OTHER: accessToken } }, ...login)).code, 64);
    const outcome = await docketGiven({ env: { OTHER: accessToken } }, ...login, "--token-env", "OTHER");
    assert.equal(outcome.code, 0, outcome.stderr);
    assert.deepEqual([here.stored()?.deviceId, here.stored()?.accessToken], [deviceId, accessToken]);
    await converse(t, here);
  });

  it("refuses a token of another account, and one whose device has keys elsewhere, and leaves both signed in", async (t) => {
    const here = await loginPlace(t);
    const login = (accessToken: string): ReturnType<typeof docket> =>
      docketGiven({ env: { DOCKET_TOKEN: accessToken } }, "login", "--config", here.file, "--token");
    const other = here.server.signIn("@other:localhost", "ADMINS");
    const wrongAccount = await login(other.accessToken);
    assert.equal(wrongAccount.code, 78);
    assert.match(wrongAccount.stderr, /@other:localhost, but account.user is @docket:localhost/);
    const used = await loginPlace(t, { server: here.server });
    assert.equal((await used.login()).code, 0);
    await converse(t, used);
    const elsewhere = await login(used.stored()?.accessToken ?? "");
    assert.equal(elsewhere.code, 73);
    assert.match(elsewhere.stderr, /has keys already/);
    assert.equal(here.stored(), null);
    await converse(t, used);
    assert.ok(here.server.devices("@other:localhost").has("ADMINS"));
  });

  it("takes the same device after an attempt whose answer was lost", async (t) => {
    const here = await loginPlace(t);
    const fault = here.server.fault({ method: "POST", path: /\/login$/, times: 5, action: { kind: "dropAfter" } });
    const outcome = await here.login();
    assert.equal(outcome.code, 69);
    assert.equal(here.stored(), null);
    fault.remove();
    assert.equal((await here.login()).code, 0);
    const { deviceId } = here.stored() ?? { deviceId: "" };
    assert.deepEqual([...here.server.devices(USER).keys()], ["ADMINS", deviceId], "no device is left over");
  });

  it("names itself where nobody has signed in", async (t) => {
    const here = await loginPlace(t);
    const bot = new BotProcess(here.botOptions);
    t.after(() => bot.kill());
    assert.equal((await bot.ended()).code, 78);
    assert.match(bot.stderr, /nobody has signed in.*docket login --config/s);
    const fresh = await loginPlace(t, { server: here.server });
    const check = await docket("check", "--online", "--config", fresh.file);
    assert.equal(check.code, 78);
    assert.match(check.stderr, /docket login --config/);
    assert.ok(!existsSync(fresh.dataDirectory), "asking makes no data directory");
  });
});
