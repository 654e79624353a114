/** `docket identity show`, `create` and `reset`: with a running bot and without one. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test, type TestContext } from "node:test";
import { startDevServer, type DevServer, type SignedIn } from "../../../devserver/server.ts";
import type { IdentityPage } from "../../../src/ops/device/showIdentity.ts";
import { assertWhole, lookAtIdentity } from "../../identity/identityJudge.ts";
import { BotProcess, writeConfig, type BotOptions } from "../../support/botProcess.ts";
import { docket } from "../../support/docketCommand.ts";
import { temporaryDirectory } from "../../support/temporaryDirectory.ts";

const PASSWORD = "not a secret";
const RECOVERY_FILE = `  recovery_key: "\${file:./recovery_key}"\n`;

let server: DevServer;
before(async () => {
  server = await startDevServer();
});
after(() => server.stop());

interface Place {
  readonly account: SignedIn;
  readonly options: BotOptions;
  readonly config: string;
  readonly recoveryFile: string;
  start(): Promise<BotProcess>;
  show(): Promise<IdentityPage>;
}

let made = 0;

function place(t: TestContext, accountYaml = ""): Place {
  made += 1;
  const account = server.createAccount(`docket${made}`, PASSWORD);
  const directory = temporaryDirectory(t);
  const options = { homeserver: server.url, ...account, directory, accountYaml };
  const config = writeConfig(options);
  return {
    account,
    options,
    config,
    recoveryFile: join(directory, "recovery_key"),
    async start() {
      const bot = new BotProcess(options);
      t.after(() => bot.kill());
      await bot.running();
      return bot;
    },
    async show() {
      const { code, stdout, stderr } = await docket("identity", "show", "--json", "--config", config);
      assert.equal(code, 0, stderr);
      return JSON.parse(stdout) as IdentityPage;
    },
  };
}

test("the running bot and its stopped data directory show the same device, with its fingerprint in groups of four", async (t) => {
  const { account, config, start, show } = place(t);
  const bot = await start();
  const running = await docket("identity", "show", "--config", config);
  assert.deepEqual([running.code, running.stderr], [0, ""]);
  assert.match(
    running.stdout,
    /^account +@docket\d+:localhost\ndevice +\S+\nfingerprint +([A-Za-z0-9+/]{4} ){10}[A-Za-z0-9+/]{3}$/m,
  );
  assert.match(running.stdout, /^identity +signs this device$/m);
  assert.match(running.stdout, /^recovery key +in docket\.db; /m);
  const page = await show();
  assert.deepEqual([page.userId, page.signature, page.hasPrivateKeys], [account.userId, "signed", true]);
  assert.equal(page.masterKey, (await lookAtIdentity(server.url, account)).master);
  assert.equal(await bot.stop(), 0);
  assert.deepEqual(await docket("identity", "show", "--config", config), running);
});

test("without a terminal a recovery key that nobody has is neither shown nor lost", async (t) => {
  const { config, start, show } = place(t);
  const bot = await start();
  assert.equal((await show()).recoveryKey, "kept");
  const refused = await docket("identity", "show", "--recovery-key", "--config", config);
  assert.deepEqual([refused.code, refused.stdout], [64, ""]);
  assert.match(refused.stderr, /on a terminal only/);
  assert.equal((await show()).recoveryKey, "kept");
  assert.equal(await bot.stop(), 0);
});

test("a recovery key that was kept goes to the file that the configuration names later", async (t) => {
  const { account, options, start } = place(t);
  assert.equal(await (await start()).stop(), 0);
  const bot = new BotProcess({ ...options, accountYaml: RECOVERY_FILE });
  t.after(() => bot.kill());
  await bot.running();
  const recoveryKey = readFileSync(join(options.directory, "recovery_key"), "utf8").trim();
  await assertWhole(await lookAtIdentity(server.url, account), recoveryKey);
  assert.equal(await bot.stop(), 0);
});

test("docket identity create makes what the bot was told not to make by itself, and nothing a second time", async (t) => {
  const { account, config, recoveryFile, start } = place(t, `${RECOVERY_FILE}  create_identity: false\n`);
  const bot = await start();
  assert.equal((await lookAtIdentity(server.url, account)).master, null);
  const created = await docket("identity", "create", "--config", config);
  assert.deepEqual([created.code, created.stderr], [0, ""]);
  const recoveryKey = readFileSync(recoveryFile, "utf8").trim();
  const seen = await lookAtIdentity(server.url, account);
  await assertWhole(seen, recoveryKey);
  assert.ok(!(created.stdout + JSON.stringify(bot.lines)).includes(recoveryKey));
  assert.equal((await docket("identity", "create", "--config", config)).code, 0);
  assert.equal(await bot.stop(), 0);
  assert.equal((await docket("identity", "create", "--config", config)).code, 0);
  assert.deepEqual(await lookAtIdentity(server.url, account), seen);
});

test("docket identity reset wants to be sure; then identity, storage, backup and the key in the file are new, and the bot goes on with them", async (t) => {
  const { account, config, recoveryFile, start, show } = place(t, `${RECOVERY_FILE}  password: "${PASSWORD}"\n`);
  const bot = await start();
  const before = await lookAtIdentity(server.url, account);
  const oldKey = readFileSync(recoveryFile, "utf8").trim();
  const unsure = await docket("identity", "reset", "--config", config);
  assert.equal(unsure.code, 64);
  assert.equal((await lookAtIdentity(server.url, account)).master, before.master);

  const reset = await docket("identity", "reset", "--i-know", "--config", config);
  assert.deepEqual([reset.code, reset.stderr], [0, ""]);
  const newKey = readFileSync(recoveryFile, "utf8").trim();
  assert.notEqual(newKey, oldKey);
  const after = await lookAtIdentity(server.url, account);
  assert.notEqual(after.master, before.master);
  assert.notEqual(after.defaultKey, before.defaultKey);
  assert.notEqual(after.backup?.version, before.backup?.version);
  await assertWhole(after, newKey);
  assert.equal((await show()).signature, "signed");
  assert.equal(await bot.stop(), 0);
  const again = await start();
  assert.equal(await again.stop(), 0);
  assert.deepEqual(await lookAtIdentity(server.url, account), after);
});

test("a reset for which the homeserver does not get its password changes nothing, and the bot stays signed", async (t) => {
  const { account, config, recoveryFile, start } = place(t, RECOVERY_FILE);
  const bot = await start();
  const before = await lookAtIdentity(server.url, account);
  const oldKey = readFileSync(recoveryFile, "utf8");
  const reset = await docket("identity", "reset", "--i-know", "--config", config);
  assert.equal(reset.code, 1);
  assert.match(
    reset.stderr,
    /keeps the identity that it has.*asks for the account's password.*reset --i-know` on a terminal/,
  );
  assert.equal(await bot.stop(), 0);
  const again = await start();
  assert.equal(await again.stop(), 0);
  assert.deepEqual(await lookAtIdentity(server.url, account), before);
  assert.equal(before.signature, "signed");
  assert.equal(readFileSync(recoveryFile, "utf8"), oldKey);
});

test("somebody else's reset while the bot runs is noticed and said", async (t) => {
  const { account, start } = place(t, RECOVERY_FILE);
  const bot = await start();
  const other = server.signIn(account.userId, "OTHER");
  const directory = temporaryDirectory(t);
  writeFileSync(join(directory, "password"), PASSWORD, { mode: 0o600 });
  const accountYaml = `  password: "\${file:./password}"\n`;
  const config = writeConfig({ homeserver: server.url, ...other, directory, accountYaml });
  const reset = await docket("identity", "reset", "--i-know", "--config", config);
  assert.equal(reset.code, 0, reset.stderr);
  const said = await bot.line(({ msg }) => /identity has changed while the bot was running/.test(msg), "it was said");
  assert.match(said.msg, /docket identity verify/);
  const notes = await (await fetch(`${await bot.operationsUrl()}/readyz`)).text();
  assert.match(notes, /identity has changed while the bot was running/);
  assert.equal(await bot.stop(), 0);
});

test("of two devices of an account that make an identity at once, the later one does not replace the other's, password or not", async (t) => {
  const password = `  password: "${PASSWORD}"\n`;
  const { account, options, start } = place(t, RECOVERY_FILE + password);
  const other = server.signIn(account.userId, "LATER");
  const upload = server.fault({
    path: "/keys/device_signing/upload$",
    deviceId: other.deviceId,
    action: { kind: "hang" },
  });
  const later = new BotProcess({ ...options, ...other, directory: temporaryDirectory(t), accountYaml: password });
  t.after(() => later.kill());
  await server.waitFor(() => upload.hits > 0, 60_000, "its upload");
  const bot = await start();
  const { master } = await lookAtIdentity(server.url, account);
  assert.notEqual(master, null);
  upload.release();
  await later.line(({ msg }) => /has an identity already/.test(msg), "it said that there is one");
  assert.equal((await lookAtIdentity(server.url, account)).master, master);
  assert.equal(await later.stop(), 0);
  assert.equal(await bot.stop(), 0);
});
