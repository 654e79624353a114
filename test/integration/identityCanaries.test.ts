/**
 * No secret of the account's identity in what the bot or its commands write, at the most talkative log level: the recovery key, the
 * private keys in secret storage, the backup's key, room keys, the passphrase of a key file, the account's password.
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { decodeRecoveryKey } from "matrix-js-sdk/lib/crypto-api/recovery-key.js";
import { lookAtIdentity, secretIn } from "../identity/identityJudge.ts";
import { BotProcess, DEFAULT_YAML } from "../support/botProcess.ts";
import { startConversation } from "../support/conversation.ts";
import { docketGiven } from "../support/docketCommand.ts";
import { leaks, type Secret } from "../support/leaks.ts";
import { decryptRoomKeys } from "../support/peers/roomKeyFile.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";

/** With characters that encodings change. */
const PASSPHRASE = "kanarie-Zc7+q/9ö=vogel";
const PASSWORD = "kanarie-password+/ä=";
const SECRETS = [
  "m.cross_signing.master",
  "m.cross_signing.self_signing",
  "m.cross_signing.user_signing",
  "m.megolm_backup.v1",
];
const ACCOUNT = `  recovery_key: "\${file:./recovery_key}"\n  password: "\${env:CANARY_PASSWORD}"\n`;

test("no secret of the account's identity is in anything that the bot or its commands write, and each is there to be found", async (t) => {
  const env = { CANARY_PASSWORD: PASSWORD };
  const yaml = `${DEFAULT_YAML}log: debug\n`;
  const talk = await startConversation(t, { bot: { accountYaml: ACCOUNT, yaml, env }, password: PASSWORD });
  const { server, account, alice, bot, directory } = talk;
  const config = join(directory, "config.yaml");
  const [passphraseFile, keyFile] = [join(directory, "passphrase"), join(directory, "keys.txt")];
  writeFileSync(passphraseFile, PASSPHRASE, { mode: 0o600 });
  const written: string[] = [];
  const run = async (expected: number, ...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await docketGiven({ env }, ...args, "--config", config);
    written.push(stdout, stderr);
    assert.equal(code, expected, `${args.join(" ")}: ${stderr}`);
    return stdout;
  };

  const roomId = await talk.room({ encrypted: true });
  const status = { from_device: alice.deviceId, lifetime: 90_000 };
  await alice.waitForResponse(await alice.send(roomId, "org.example.report", { "m.request.status": status }));
  const secrets: Secret[] = [
    { what: "the password", value: PASSWORD },
    { what: "the passphrase", value: PASSPHRASE },
  ];
  /** @returns the recovery key */
  const noteIdentity = async (of: string): Promise<string> => {
    const recoveryKey = readFileSync(join(directory, "recovery_key"), "utf8").trim();
    const key = Buffer.from(decodeRecoveryKey(recoveryKey)).toString("base64").replace("=", "");
    secrets.push(
      { what: `the recovery key of ${of}`, value: recoveryKey },
      { what: `the recovery key of ${of}, without spaces`, value: recoveryKey.replaceAll(" ", "") },
      { what: `the key of secret storage of ${of}`, value: key },
    );
    const seen = await lookAtIdentity(server.url, account);
    for (const name of SECRETS) {
      const value = (await secretIn(seen, recoveryKey, name)).replace(/=+$/, "");
      secrets.push({ what: `${name} of ${of}`, value });
    }
    return recoveryKey;
  };
  const recoveryKey = await noteIdentity("the first identity");

  // Every command that has to do with them, while the bot runs.
  await run(0, "identity", "show");
  await run(0, "identity", "show", "--json");
  await run(0, "identity", "restore");
  await run(0, "keys", "export", keyFile, "--passphrase-file", passphraseFile);
  await run(0, "keys", "import", keyFile, "--passphrase-file", passphraseFile);
  await docketGiven({ env }, "doctor", "--json", "--config", config).then(({ stdout }) => written.push(stdout));
  await run(0, "health");
  for (const path of ["/metrics", "/readyz"])
    written.push(await (await fetch((await bot.operationsUrl()) + path)).text());
  const exported = JSON.parse(await decryptRoomKeys(readFileSync(keyFile, "utf8"), PASSPHRASE)) as {
    session_key: string;
  }[];
  // The middle of the ratchet: the same in an export and in an m.room_key.
  for (const [n, { session_key }] of exported.entries())
    secrets.push({ what: `room key ${n}`, value: session_key.slice(8, 120) });

  // What is wrong is told without being repeated.
  writeFileSync(passphraseFile, `${PASSPHRASE}x`);
  await run(1, "keys", "import", keyFile, "--passphrase-file", passphraseFile);
  assert.equal(await bot.stop(), 0);
  await run(0, "identity", "reset", "--i-know");
  await noteIdentity("the second identity");
  written.push(bot.stderr, ...bot.lines.map((line) => JSON.stringify(line)));
  for (const wrong of [`${recoveryKey.slice(0, -1)}1`, PASSPHRASE]) {
    const elsewhere = temporaryDirectory(t);
    writeFileSync(join(elsewhere, "recovery_key"), wrong, { mode: 0o600 });
    const device = server.signIn(account.userId);
    const other = new BotProcess({
      homeserver: server.url,
      ...device,
      directory: elsewhere,
      accountYaml: ACCOUNT,
      yaml,
      env,
    });
    t.after(() => other.kill());
    await other.line(({ msg }) => msg.includes("account.recovery_key"), "it said what is wrong with the recovery key");
    assert.equal(await other.stop(), 0);
    written.push(other.stderr, ...other.lines.map((line) => JSON.stringify(line)));
  }

  const all = written.join("\n");
  assert.ok(all.includes('"level":"debug"'), "the log is at its most talkative");
  assert.ok(exported.length >= 2);
  assert.equal(new Set(secrets.map(({ value }) => value)).size, 2 + 2 * (3 + SECRETS.length) + exported.length);
  assert.deepEqual(leaks(all, secrets), []);
  for (const secret of secrets) {
    assert.ok(secret.value.length > 15, secret.what);
    assert.deepEqual(leaks(`{"msg":"sent ${secret.value}"}`, [secret]), [secret.what]);
  }
});
