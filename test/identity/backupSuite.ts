/** What the bot promises of its account's key backup, from the first start on, before any homeserver that keeps backups. */
import assert from "node:assert/strict";
import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { Sender } from "../../demo/sender/sender.ts";
import type { SignedIn } from "../../devserver/server.ts";
import { BotProcess, DEFAULT_YAML } from "../support/botProcess.ts";
import { docket, docketGiven } from "../support/docketCommand.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";
import type { IdentityHomeserver } from "./identityHomeserver.ts";

const PASSWORD = "not a secret";
const REPORT = "org.example.report";
const ACCOUNT_YAML = `  recovery_key: "\${file:./recovery_key}"\n`;
const YAML = DEFAULT_YAML.replace("@*:localhost", "@*:*");

/** @param homeserver is there when the tests run */
export function describeKeyBackup(homeserver: () => IdentityHomeserver): void {
  const run = async (t: TestContext, account: SignedIn, directory: string): Promise<BotProcess> => {
    const options = { homeserver: homeserver().url, ...account, directory, accountYaml: ACCOUNT_YAML, yaml: YAML };
    const bot = new BotProcess(options);
    t.after(() => bot.kill());
    await bot.running();
    return bot;
  };
  const decided = async (bot: BotProcess, eventId: string): Promise<void> =>
    void (await bot.line((line) => line["eventId"] === eventId && line.msg === "decided", "it had read the event"));

  test("what a bot could read, a new device of its account can on an empty data directory, and with the recovery key only", async (t) => {
    const account = await homeserver().createAccount("backed-up", PASSWORD);
    const first = temporaryDirectory(t);
    const old = await run(t, account, first);
    const alice = await Sender.withToken({
      baseUrl: homeserver().url,
      ...(await homeserver().createAccount("backer", PASSWORD)),
    });
    t.after(() => alice.stop());
    await alice.start();
    const report = async (roomId: string, place: string): Promise<string> => {
      const eventId = await alice.send(roomId, REPORT, { place });
      await decided(old, eventId);
      return eventId;
    };
    const rooms: string[] = [];
    const events: string[] = [];
    for (const place of ["Bridge Street", "Station Road"]) {
      const roomId = await alice.createRoom({ encrypted: true, invite: [account.userId] });
      await alice.waitForJoin(roomId, account.userId);
      await alice.waitForDevice(account.userId, account.deviceId);
      rooms.push(roomId);
      events.push(await report(roomId, place));
    }
    await metric(old, "docket_crypto_room_keys_backed_up", (count) => count === events.length);
    assert.equal(await old.stop(), 0);

    // With the key in its configuration the new device asks for what its events need, and for nothing else.
    const second = temporaryDirectory(t);
    copyFileSync(join(first, "recovery_key"), join(second, "recovery_key"));
    const renewed = await run(t, await homeserver().signIn(account.userId, PASSWORD), second);
    for (const [place, eventId] of events.entries()) {
      await decided(renewed, eventId);
      assert.equal(await placeOf(second, eventId), ["Bridge Street", "Station Road"][place]);
    }
    await metric(renewed, 'docket_crypto_backup_lookups_total{outcome="found"}', (count) => count === events.length);
    assert.equal(await renewed.stop(), 0);

    // Without it, events wait; `docket identity restore` takes the key where it is typed or piped in.
    const third = temporaryDirectory(t);
    const keyless = await run(t, await homeserver().signIn(account.userId, PASSWORD), third);
    const [waiting = ""] = events;
    await keyless.line((line) => line["eventId"] === waiting && /^parked/.test(line.msg), "it waited");
    const restore = (stdin: string) =>
      docketGiven({ stdin }, "identity", "restore", "--config", join(third, "config.yaml"));
    const wrong = await restore("EsTc LW2K PGiF wKEA 3As5 g5c4 BXwk qeeJ ZJV8 Q9fu gUMN UE4d\n");
    assert.equal(wrong.code, 2, wrong.stderr);
    assert.match(wrong.stderr, /this recovery key is not the one of the account's secret storage/);
    const recoveryKey = readFileSync(join(first, "recovery_key"), "utf8");
    const restored = await restore(recoveryKey);
    assert.equal(restored.code, 0, restored.stderr);
    assert.match(
      restored.stdout,
      /^2 room keys in the backup \(version \d+\): [0-2] taken in, [0-2] were here already\.$/m,
    );
    for (const eventId of events) await decided(keyless, eventId);
    assert.equal(await placeOf(third, waiting), "Bridge Street");
    assert.equal(await keyless.stop(), 0);
    const told = JSON.stringify(keyless.lines) + keyless.stderr + restored.stdout + restored.stderr;
    assert.equal(told.includes(recoveryKey.trim()), false);

    // The key is here now: again without a bot, and nothing is asked.
    const again = await docket("identity", "restore", "--json", "--config", join(third, "config.yaml"));
    assert.equal(again.code, 0, again.stderr);
    const { version: _, ...result } = JSON.parse(again.stdout) as Record<string, unknown>;
    assert.deepEqual(result, { kind: "restored", total: 2, imported: 0, corrupt: 0, named: [] });

    // Somebody deletes it: `docket identity create` makes it again, for the key that is in secret storage.
    const version = `${homeserver().url}/_matrix/client/v3/room_keys/version`;
    const headers = { authorization: `Bearer ${account.accessToken}` };
    const current = async () => (await (await fetch(version, { headers })).json()) as Backup;
    const before = await current();
    assert.equal((await fetch(`${version}/${before.version}`, { method: "DELETE", headers })).status, 200);
    const remade = await docket("identity", "create", "--config", join(second, "config.yaml"));
    assert.equal(remade.code, 0, remade.stderr);
    assert.equal((await current()).auth_data.public_key, before.auth_data.public_key);
  });
}

interface Backup {
  readonly version: string;
  readonly auth_data: { readonly public_key: string };
}

async function placeOf(directory: string, eventId: string): Promise<unknown> {
  const { stdout, stderr } = await docket("record", "show", eventId, "--config", join(directory, "config.yaml"));
  const shown = JSON.parse(stdout) as { clear?: { content?: { place?: unknown } } | null };
  assert.ok(shown.clear, stderr);
  return shown.clear.content?.place;
}

/** Resolves when the metric is as wanted. */
async function metric(bot: BotProcess, name: string, fits: (value: number) => boolean): Promise<void> {
  const url = `${await bot.operationsUrl()}/metrics`;
  const patience = AbortSignal.timeout(60_000);
  for (;;) {
    const text = await (await fetch(url, { signal: patience })).text();
    const line = text.split("\n").find((candidate) => candidate.startsWith(`${name} `));
    if (line !== undefined && fits(Number(line.slice(name.length + 1)))) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
