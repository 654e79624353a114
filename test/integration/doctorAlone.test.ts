/** `docket doctor` where no bot answers: it looks with its own eyes, says what is in the way of a start, and changes nothing. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import Sqlite from "better-sqlite3-multiple-ciphers";
import { startDevServer } from "../../devserver/server.ts";
import { Credentials } from "../../src/journal/credentials.ts";
import { Database } from "../../src/journal/database.ts";
import { REPORT } from "../../src/ops/doctor/finding.ts";
import type { DeviceId, UserId } from "../../src/protocol/ids.ts";
import { writeConfig } from "../support/botProcess.ts";
import { startConversation, type Conversation } from "../support/conversation.ts";
import { docket } from "../support/docketCommand.ts";
import { examine } from "../support/doctorReport.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";

/** A bot that has run, and has stopped. */
async function stopped(t: Parameters<typeof startConversation>[0]): Promise<Conversation> {
  const conversation = await startConversation(t, { deviceId: "docket1" });
  await conversation.room({ encrypted: true });
  await conversation.bot.line(({ msg }) => /^capabilities are published/.test(msg), "the profile said so");
  assert.equal(await conversation.bot.stop(), 0);
  return conversation;
}

/** What stands in each file of a directory. */
function contents(directory: string): ReadonlyMap<string, string> {
  const digest = (name: string): string =>
    createHash("sha256")
      .update(readFileSync(join(directory, name)))
      .digest("hex");
  return new Map(
    readdirSync(directory).map((name) => [name, `${statSync(join(directory, name)).mode} ${digest(name)}`]),
  );
}

test("without a bot the doctor looks itself, finds the device's keys in order, and leaves the data directory as it was", async (t) => {
  const { directory, restart } = await stopped(t);
  const data = join(directory, "data");
  const before = contents(data);
  const { code, report, checks, finding } = await examine(directory);
  assert.deepEqual([code, report.by, report.device], [0, "command", "docket1"]);
  assert.deepEqual(checks("wrong"), []);
  assert.deepEqual(checks("warning"), ["bot", "recovery_key"]);
  assert.match(finding("bot").command ?? "", /^docket start --config .*config\.yaml$/);
  assert.equal(finding("device_keys").state, "ok");
  assert.match(finding("one_time_keys").found, /has \d+ one-time keys/);
  assert.equal(finding("power_levels").state, "ok");
  const after = contents(data);
  // SQLite's own memory for readers, empty: as `docket record` leaves it.
  const changed = [...after].filter(([name, content]) => before.get(name) !== content).map(([name]) => name);
  assert.deepEqual(changed, ["docket.db-shm", "docket.db-wal"]);
  assert.equal(statSync(join(data, "docket.db-wal")).size, 0);
  const again = await restart();
  assert.equal(await again.stop(), 0);
});

test("a bot that hangs is said to hang, and the rest is looked at without it", async (t) => {
  const { bot, directory } = await startConversation(t);
  await bot.line(({ msg }) => msg === "ready", "it was ready");
  bot.child.kill("SIGSTOP");
  t.after(() => bot.child.kill("SIGCONT"));
  const { code, report, finding, checks } = await examine(directory);
  assert.deepEqual([code, report.by], [1, "command"]);
  assert.deepEqual(checks("wrong"), ["bot"]);
  assert.match(finding("bot").found, /does not answer on its control socket/);
  assert.equal(finding("homeserver").state, "ok");
  assert.equal(finding("data_directory").state, "ok");
});

test("a bot without a control socket is not taken for none", async (t) => {
  const { bot, directory } = await startConversation(t);
  await bot.line(({ msg }) => msg === "ready", "it was ready");
  rmSync(join(directory, "data", "docket.sock"));
  const { finding } = await examine(directory);
  assert.equal(finding("bot").state, "warning");
  assert.match(finding("bot").found, /^Another docket process works on .*no control socket/);
});

test("a token that is refused, and a device whose keys are elsewhere, are told with what to do", async (t) => {
  const { directory, server, account } = await stopped(t);
  const keys = server.deviceKeys(account.userId, "docket1");
  const other = { ...keys, keys: { "ed25519:docket1": "x".repeat(43), "curve25519:docket1": "y".repeat(43) } };
  const fault = server.fault({
    path: /\/keys\/query$/,
    action: { kind: "answer", status: 200, body: { device_keys: { [account.userId]: { docket1: other } } } },
  });
  const elsewhere = await examine(directory);
  assert.equal(fault.hits, 1);
  assert.deepEqual([elsewhere.code, elsewhere.checks("wrong")], [1, ["device_keys"]]);
  assert.match(elsewhere.finding("device_keys").found, /other keys of the bot's device than the data directory/);

  server.revokeToken(account.accessToken);
  const refused = await examine(directory);
  assert.deepEqual([refused.code, refused.checks("wrong")], [1, ["token"]]);
  assert.equal(refused.finding("homeserver").state, "ok", "it answers all the same");
  assert.equal(refused.finding("clock").state, "ok");
  assert.match(refused.finding("token").command ?? "", /^docket login --config /);
  assert.match(refused.finding("device").found, /does not accept the access token/);
});

test("the token that was left by a sign-in is used, and one that the bot would exchange is not taken for a refused one", async (t) => {
  const { directory, server, account } = await stopped(t);
  const config = join(directory, "config.yaml");
  writeFileSync(config, readFileSync(config, "utf8").replace(/^ {2}token: .*$/m, ""));
  const signIn = (refreshToken: string | null): void => {
    const database = Database.open(join(directory, "data"));
    const { userId, deviceId, accessToken } = account as { userId: UserId; deviceId: DeviceId; accessToken: string };
    const tokens = { accessToken, refreshToken, expiresAt: null, authorizationServer: null };
    new Credentials(database).write({ homeserver: server.url, userId, deviceId, ...tokens });
    database.close();
  };
  signIn("refresh me");
  assert.equal((await examine(directory)).finding("token").state, "ok");
  server.revokeToken(account.accessToken, "soft");
  const over = await examine(directory);
  assert.deepEqual([over.code, over.finding("token").state], [0, "unknown"]);
  signIn(null);
  const refused = await examine(directory);
  assert.deepEqual([refused.code, refused.finding("token").state], [1, "wrong"]);
});

test("the data directory of another device, and one of another version, are told", async (t) => {
  const { directory, server, account } = await stopped(t);
  const { accessToken } = server.signIn(account.userId, "other1");
  writeFileSync(join(directory, "token"), accessToken);
  const foreign = await examine(directory);
  assert.equal(foreign.code, 1);
  assert.match(
    foreign.finding("data_directory").found,
    /belongs to @docket:localhost, device docket1, and not to other1/,
  );
  writeFileSync(join(directory, "token"), account.accessToken);

  const version = (change: number): void => {
    const sqlite = new Sqlite(join(directory, "data", "docket.db"));
    const known = sqlite.pragma("user_version", { simple: true }) as number;
    sqlite.pragma(`user_version = ${known + change}`);
    sqlite.close();
  };
  version(1);
  const newer = await examine(directory);
  assert.equal(newer.finding("data_directory").state, "wrong");
  assert.match(newer.finding("data_directory").found, /written by a newer version of Docket/);
  assert.match(newer.finding("gaps").found, /no database that could be read/);
  version(-2);
  const older = await examine(directory);
  assert.equal(older.finding("data_directory").state, "warning");
  assert.match(older.finding("data_directory").found, /older version/);
});

test("a new installation is told its next step, whether it has a token or not, and nothing is made", async (t) => {
  const server = await startDevServer();
  t.after(() => server.stop());
  const account = server.createAccount("docket", undefined, { deviceId: "docket1" });
  const directory = temporaryDirectory(t);
  writeConfig({ homeserver: server.url, ...account, directory });
  const fresh = await examine(directory);
  assert.deepEqual([fresh.code, fresh.checks("wrong")], [0, []]);
  assert.match(fresh.finding("data_directory").found, /new installation/);
  assert.match(fresh.finding("data_directory").command ?? "", /^docket start --config /);
  assert.equal(fresh.finding("token").state, "ok");
  assert.equal(fresh.finding("device_keys").state, "warning", "it has never uploaded any");
  assert.deepEqual(readdirSync(directory).toSorted(), ["config.yaml", "token"]);

  writeFileSync(join(directory, "config.yaml"), `homeserver: ${server.url}\naccount:\n  user: "${account.userId}"\n`);
  const signedOut = await examine(directory);
  assert.deepEqual([signedOut.code, signedOut.checks("wrong")], [1, ["token"]]);
  assert.equal(signedOut.finding("homeserver").state, "ok");
  assert.match(signedOut.finding("token").found, /nobody has signed in yet/);
});

test("a disk with less room than limits.free_disk, and a database that is none, are told", async (t) => {
  const { directory } = await stopped(t);
  const config = join(directory, "config.yaml");
  const text = readFileSync(config, "utf8");
  writeFileSync(config, `${text}limits:\n  free_disk: 1000000GiB\n`);
  const full = await examine(directory);
  assert.deepEqual([full.code, full.checks("wrong")], [1, ["disk"]]);
  assert.match(full.finding("disk").found, /^Only \d+ MiB are free .*limits\.free_disk is 1024000000 MiB/);
  writeFileSync(config, text);
  writeFileSync(
    join(directory, "data", "docket.db"),
    "this is no database, and longer than its head would be".repeat(20),
  );
  const damaged = await examine(directory);
  assert.equal(damaged.code, 1);
  assert.match(damaged.finding("data_directory").found, /damaged or not a Docket database/);
});

test("a data directory that no start could make is wrong, and not called a new installation", async (t) => {
  const server = await startDevServer();
  t.after(() => server.stop());
  const account = server.createAccount("docket", undefined, { deviceId: "docket1" });
  const directory = temporaryDirectory(t);
  writeConfig({ homeserver: server.url, ...account, directory });
  const inTheWay = join(directory, "data");
  writeFileSync(inTheWay, "a file in its place");
  const file = await examine(directory);
  assert.deepEqual([file.code, file.checks("wrong")], [1, ["data_directory"]]);
  assert.ok(file.finding("data_directory").found.includes(`${inTheWay} is no directory`));
  const config = join(directory, "config.yaml");
  writeFileSync(config, readFileSync(config, "utf8").replace(inTheWay, join(inTheWay, "deeper", "data")));
  const deeper = await examine(directory);
  assert.deepEqual([deeper.code, deeper.checks("wrong")], [1, ["data_directory"]]);
});

test("a configuration with mistakes is the first finding, with each mistake at its place, and exit code 1", async (t) => {
  const directory = temporaryDirectory(t);
  mkdirSync(join(directory, "data"), { mode: 0o700 });
  writeFileSync(join(directory, "config.yaml"), "homeserver: nonsense\nacount: {}\ndata: [\n");
  const { code, report, finding } = await examine(directory);
  assert.deepEqual([code, report.findings[0]?.check, report.findings[0]?.state], [1, "configuration", "wrong"]);
  assert(finding("configuration").details.length > 0);
  assert.equal(finding("homeserver").state, "unknown");
  const page = await docket("doctor", "--config", join(directory, "config.yaml"));
  assert.match(
    page.stdout,
    /^1 thing is wrong.*\n[^]*\nWRONG\n {2}configuration {2,}The configuration has \d+ mistake/,
  );
  const none = await docket("doctor", "--config", join(directory, "none.yaml"));
  assert.equal(none.code, 1);
  assert.match(none.stdout, /there is no such file/);
});

test("as JSON too, no word of somebody else's steers the terminal, and all of them read back", async (t) => {
  const name = "no\u202ene.yaml";
  const { stdout } = await docket("doctor", "--json", "--config", join(temporaryDirectory(t), name));
  assert(!stdout.includes("\u202e"));
  const { findings } = REPORT.parse(JSON.parse(stdout));
  assert(findings.some((finding) => JSON.stringify(finding).includes(name)));
});

test("an administrator's token that can't be read is a mistake of the command line, and its own exit code", async (t) => {
  const directory = temporaryDirectory(t);
  const file = join(directory, "none");
  const { code, stdout, stderr } = await docket("doctor", "--admin-token-file", file);
  assert.deepEqual([code, stdout], [78, ""]);
  assert.match(stderr, /the administrator's token can't be read: there is no such file/);
});
