/** What the bot promises of its account's identity, from the first start on, before any homeserver that knows cross-signing. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test, type TestContext } from "node:test";
import type { SignedIn } from "../../devserver/server.ts";
import { recoveryKeyOf } from "../../src/crypto/recoveryKey.ts";
import { BotProcess } from "../support/botProcess.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";
import { describeKeyBackup } from "./backupSuite.ts";
import { setUpIdentity } from "./killedSetup.ts";
import type { IdentityHomeserver } from "./identityHomeserver.ts";
import { assertWhole, lookAtIdentity, putSecretStorage } from "./identityJudge.ts";

const PASSWORD = "not a secret";
/** Far more than there are; a run without a kill ends the loop. */
const MOST_CHANGES = 60;
const RECOVERY_FILE = `  recovery_key: "\${file:./recovery_key}"\n`;

export function describeIdentity(startHomeserver: () => Promise<IdentityHomeserver>): void {
  let homeserver: IdentityHomeserver;
  before(async () => {
    homeserver = await startHomeserver();
  });
  after(() => homeserver.stop());

  let made = 0;
  const newAccount = (): Promise<SignedIn> => {
    made += 1;
    return homeserver.createAccount(`identity${made}`, PASSWORD);
  };
  const run = async (
    t: TestContext,
    account: SignedIn,
    directory = temporaryDirectory(t),
    accountYaml = RECOVERY_FILE,
  ): Promise<{ bot: BotProcess; directory: string; file: string }> => {
    const bot = new BotProcess({ homeserver: homeserver.url, ...account, directory, accountYaml });
    t.after(() => bot.kill());
    await bot.running();
    return { bot, directory, file: join(directory, "recovery_key") };
  };
  const notesOf = async (bot: BotProcess): Promise<string> => {
    const answer = await fetch(`${await bot.operationsUrl()}/readyz`);
    return await answer.text();
  };

  test("the first start makes a bot that others may trust, and a second start changes nothing", async (t) => {
    const account = await newAccount();
    const { bot, directory, file } = await run(t, account);
    const recoveryKey = readFileSync(file, "utf8").trim();
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const seen = await lookAtIdentity(homeserver.url, account);
    await assertWhole(seen, recoveryKey);
    assert.equal(seen.storageKeys.length, 1);
    assert.equal(await bot.stop(), 0);
    const log = JSON.stringify(bot.lines) + bot.stderr;
    for (const text of [recoveryKey, recoveryKey.replaceAll(" ", "")]) assert.ok(!log.includes(text));

    const again = await run(t, account, directory);
    assert.equal(await again.bot.stop(), 0);
    assert.equal(readFileSync(file, "utf8").trim(), recoveryKey);
    assert.deepEqual(await lookAtIdentity(homeserver.url, account), seen);
  });

  test("a new device on an empty data directory is signed by the same identity, with the recovery key alone", async (t) => {
    const account = await newAccount();
    const first = await run(t, account);
    assert.equal(await first.bot.stop(), 0);
    const recoveryKey = readFileSync(first.file, "utf8").trim();
    const seen = await lookAtIdentity(homeserver.url, account);

    const second = await homeserver.signIn(account.userId, PASSWORD);
    const directory = temporaryDirectory(t);
    writeFileSync(join(directory, "recovery_key"), recoveryKey, { mode: 0o600 });
    const { bot } = await run(t, second, directory);
    assert.equal(await bot.stop(), 0);
    const seenBySecond = await lookAtIdentity(homeserver.url, second);
    assert.equal(seenBySecond.signature, "signed");
    assert.equal(seenBySecond.master, seen.master);
    assert.deepEqual(seenBySecond.accountData, seen.accountData);
    assert.deepEqual(seenBySecond.backup, seen.backup);
  });

  test("an identity whose recovery key is missing or wrong is left as it is, and the bot says that it is not signed", async (t) => {
    const account = await newAccount();
    const first = await run(t, account);
    assert.equal(await first.bot.stop(), 0);
    const seen = await lookAtIdentity(homeserver.url, account);
    const other = await run(t, await newAccount());
    assert.equal(await other.bot.stop(), 0);

    for (const [keyFile, words] of [
      [null, /recovery key is not in account\.recovery_key.*docket identity verify.*reset --i-know/],
      [readFileSync(other.file, "utf8"), /account\.recovery_key is not the key of the account's secret storage/],
      ["EsTx not a key", /account\.recovery_key is no recovery key/],
    ] as const) {
      const device = await homeserver.signIn(account.userId, PASSWORD);
      const directory = temporaryDirectory(t);
      if (keyFile !== null) writeFileSync(join(directory, "recovery_key"), keyFile, { mode: 0o600 });
      const { bot } = await run(t, device, directory);
      const line = await bot.line(({ msg }) => words.test(msg), "it said that it is not signed");
      assert.equal(line["level"], "warn");
      assert.match(await notesOf(bot), words);
      assert.equal(await bot.stop(), 0);
      const now = await lookAtIdentity(homeserver.url, device);
      assert.equal(now.signature, "unsigned");
      assert.deepEqual([now.master, now.accountData, now.backup], [seen.master, seen.accountData, seen.backup]);
    }
  });

  test("nothing is made where nothing is wanted", async (t) => {
    const account = await newAccount();
    const { bot } = await run(t, account, undefined, "  create_identity: false\n");
    assert.equal(await bot.stop(), 0);
    const seen = await lookAtIdentity(homeserver.url, account);
    assert.deepEqual([seen.master, seen.storageKeys, seen.backup], [null, [], null]);
  });

  test("beside a secret storage that it can't open the bot makes no identity, and with its key it makes one in it", async (t) => {
    const account = await newAccount();
    await putSecretStorage(homeserver.url, account);
    const { bot, directory, file } = await run(t, account);
    await bot.line(({ msg }) => /has no identity, but a secret storage/.test(msg), "it said so");
    assert.equal(await bot.stop(), 0);
    const before = await lookAtIdentity(homeserver.url, account);
    assert.deepEqual([before.master, before.defaultKey, existsSync(file)], [null, "theirs", false]);

    const recoveryKey = recoveryKeyOf(Buffer.alloc(32, 9));
    writeFileSync(file, recoveryKey, { mode: 0o600 });
    assert.equal(await (await run(t, account, directory)).bot.stop(), 0);
    const after = await lookAtIdentity(homeserver.url, account);
    await assertWhole(after, recoveryKey);
    assert.deepEqual([after.defaultKey, after.storageKeys.length], ["theirs", 1]);
  });

  test("killed after any of its requests, the first start ends with the one identity, secret storage and backup that it began", async (t) => {
    let kills = 0;
    for (let killAfter = 0; ; killAfter += homeserver.killStep ?? 1) {
      assert.ok(killAfter < MOST_CHANGES, "the loop must end with a run that is not killed");
      const account = await newAccount();
      const directory = temporaryDirectory(t);
      const recoveryFile = join(directory, "recovery_key");
      const options = { server: homeserver, account, directory, recoveryFile };
      const first = await setUpIdentity(options, killAfter);
      const half = await lookAtIdentity(homeserver.url, account);
      const fileBefore = existsSync(recoveryFile) ? readFileSync(recoveryFile, "utf8") : null;
      const second = await setUpIdentity(options, null);
      const about = `killed after change ${killAfter}`;
      assert.deepEqual(second.standing, { kind: "signed" }, about);
      const whole = await lookAtIdentity(homeserver.url, account);
      await assertWhole(whole, readFileSync(recoveryFile, "utf8").trim());
      assert.equal(whole.storageKeys.length, 1, about);
      if (half.master !== null) assert.equal(whole.master, half.master, about);
      if (half.backup !== null) assert.deepEqual(whole.backup, half.backup, about);
      if (fileBefore !== null) assert.equal(readFileSync(recoveryFile, "utf8"), fileBefore, about);
      if (first.standing !== "killed") break;
      kills += 1;
    }
    t.diagnostic(`${kills} kills`);
    assert.ok(kills >= Math.floor(9 / (homeserver.killStep ?? 1)), `only ${kills} requests to be killed after`);
  });

  describeKeyBackup(() => homeserver);
}
