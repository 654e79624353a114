/** `docket logout`, against the development homeserver. */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { describe, it } from "node:test";
import { writeConfig } from "../../support/botProcess.ts";
import { docket } from "../../support/docketCommand.ts";
import { converse, loginPlace, USER } from "../../support/loginPlace.ts";

describe("docket logout", () => {
  it("deletes the device on the homeserver, forgets the tokens, and keeps the record", async (t) => {
    const here = await loginPlace(t);
    assert.equal((await here.login()).code, 0);
    await converse(t, here);
    const deviceId = here.stored()?.deviceId ?? "";
    const outcome = await docket("logout", "--config", here.file);
    assert.equal(outcome.code, 0, outcome.stderr);
    assert.match(outcome.stdout, /Signed out: .*The record stays.*new, empty data\.directory/s);
    assert.ok(!here.server.devices(USER).has(deviceId));
    assert.equal(here.stored(), null);
    const record = await docket("record", "list", "--config", here.file);
    assert.match(record.stdout, /org\.example\.report/);

    const again = await docket("logout", "--config", here.file);
    assert.deepEqual([again.code, /Nobody is signed in/.test(again.stdout)], [0, true]);
    const login = await here.login();
    assert.equal(login.code, 73);
    assert.match(login.stderr, /was signed out.*new, empty data\.directory/s);
  });

  it("leaves a directory without keys free for another device", async (t) => {
    const here = await loginPlace(t);
    assert.equal((await here.login()).code, 0);
    const first = here.stored()?.deviceId ?? "";
    assert.match((await docket("logout", "--config", here.file)).stdout, /`docket login` makes a new device/);
    assert.equal((await here.login()).code, 0);
    assert.notEqual(here.stored()?.deviceId, first);
    await converse(t, here);
  });

  it("removes nothing while the homeserver can't be reached, but for --local", async (t) => {
    const here = await loginPlace(t);
    here.server.setSignIn({ refreshTokens: false });
    assert.equal((await here.login()).code, 0);
    const before = here.stored();
    here.server.fault({ path: /\/logout$/, times: Infinity, action: { kind: "dropBefore" } });
    const refused = await docket("logout", "--config", here.file);
    assert.equal(refused.code, 69);
    assert.match(refused.stderr, /nothing was removed/);
    assert.deepEqual(here.stored(), before);
    const local = await docket("logout", "--local", "--config", here.file);
    assert.equal(local.code, 0);
    assert.match(local.stdout, /homeserver still has the device/);
    assert.equal(here.stored(), null);
    assert.ok(here.server.devices(USER).has(before?.deviceId ?? ""));
    assert.equal((await here.login()).code, 0);
    assert.equal(here.stored()?.deviceId, before?.deviceId, "the device is signed in again");
  });

  it("leaves the configuration's token alone unless it is asked", async (t) => {
    const here = await loginPlace(t);
    writeConfig({ ...here.botOptions, accessToken: here.server.signIn(USER, "ADMINS").accessToken });
    mkdirSync(here.dataDirectory);
    const outcome = await docket("logout", "--config", here.file);
    assert.equal(outcome.code, 0);
    assert.match(outcome.stdout, /Nobody is signed in.*--configured-token/s);
    assert.ok(here.server.devices(USER).has("ADMINS"));
    const both = await docket("logout", "--configured-token", "--local", "--config", here.file);
    assert.deepEqual([both.code, here.server.devices(USER).has("ADMINS")], [64, true]);
    here.server.fault({ path: /\/whoami$/, action: { kind: "dropBefore" } });
    const failed = await docket("logout", "--configured-token", "--config", here.file);
    assert.equal(failed.code, 69);
    assert.doesNotMatch(failed.stderr, /--local/, "there is nothing here to be removed");
    const asked = await docket("logout", "--configured-token", "--config", here.file);
    assert.equal(asked.code, 0, asked.stderr);
    assert.ok(!here.server.devices(USER).has("ADMINS"));
  });
});
