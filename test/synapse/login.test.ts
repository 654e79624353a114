/** Signing in and out on a real homeserver, whose access tokens expire within seconds. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test, type TestContext } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { MatrixHttp, segment } from "../../demo/sender/matrixHttp.ts";
import { Sender } from "../../demo/sender/sender.ts";
import { Credentials, type SignedInDevice } from "../../src/journal/credentials.ts";
import { Database } from "../../src/journal/database.ts";
import { BotProcess, writeConfig, type BotOptions } from "../support/botProcess.ts";
import { docket, docketGiven, type CommandOutcome } from "../support/docketCommand.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";
import { startSynapse } from "./synapse.ts";
import type { Synapse } from "./synapseServer.ts";

const PASSWORD = "a long päss word";
const KILLED_AT_WRITE = join(import.meta.dirname, "..", "crash", "tokenWriteChild.ts");

let server: Synapse;
let accounts = 0;
before(async () => {
  server = await startSynapse({ overrides: { refreshable_access_token_lifetime: "8s" } });
});
after(() => server.stop());

interface Place {
  readonly userId: string;
  readonly file: string;
  readonly botOptions: BotOptions;
  readonly stored: () => SignedInDevice | null;
  readonly login: (...more: string[]) => Promise<CommandOutcome>;
}

async function place(t: TestContext): Promise<Place> {
  const { userId } = await server.registerUser(`signedin${(accounts += 1)}`, PASSWORD);
  const directory = temporaryDirectory(t);
  const botOptions = { homeserver: server.baseUrl, userId, accessToken: null, directory };
  const file = writeConfig(botOptions);
  return {
    userId,
    file,
    botOptions,
    stored: () => {
      const database = Database.openReadOnly(join(directory, "data"));
      try {
        return new Credentials(database).read();
      } finally {
        database.close();
      }
    },
    login: (...more) => docketGiven({ stdin: PASSWORD }, "login", "--password-stdin", "--config", file, ...more),
  };
}

/** What the homeserver knows of the account's devices: names by ID. */
async function devices(userId: string): Promise<ReadonlyMap<string, string>> {
  const admin = new MatrixHttp(server.baseUrl, server.adminToken);
  const answer = await admin.call("GET", `/_synapse/admin/v2/users/${segment(userId)}/devices`);
  const list = answer["devices"] as { device_id: string; display_name: string | null }[];
  return new Map(list.map(({ device_id: id, display_name: name }) => [id, name ?? ""]));
}

/** Asks the homeserver until it says that the token has expired. */
async function expired({ stored }: Place): Promise<void> {
  const accessToken = stored()?.accessToken ?? "";
  for (;;) {
    const reply = await fetch(`${server.baseUrl}/_matrix/client/v3/account/whoami`, {
      headers: { authorization: `Bearer ${accessToken}` },
    });
    const body = (await reply.json()) as Record<string, unknown>;
    if (reply.status === 401) return assert.equal(body["soft_logout"], true);
    await pause(200);
  }
}

/** Starts the bot, has it answer, again each time its access token has expired, and stops it. */
async function converse(t: TestContext, here: Place, expiries = 0): Promise<void> {
  const bot = new BotProcess(here.botOptions);
  t.after(() => bot.kill());
  const { deviceId } = await bot.running();
  const account = await server.registerUser(`asking${(accounts += 1)}`, PASSWORD);
  const alice = await Sender.withToken({ baseUrl: server.baseUrl, ...account });
  t.after(() => alice.stop());
  await alice.start();
  const roomId = await alice.createRoom({ encrypted: true, invite: [here.userId] });
  await alice.waitForJoin(roomId, here.userId);
  await alice.waitForDevice(here.userId, String(deviceId));
  for (let round = 0; round <= expiries; round += 1) {
    if (round > 0) await expired(here);
    const request = { "m.request.status": { from_device: alice.deviceId, lifetime: 90_000 } };
    const eventId = await alice.send(roomId, "org.example.report", request);
    assert.equal((await alice.waitForResponse(eventId)).status, "success");
  }
  await alice.stop();
  assert.equal(await bot.stop(), 0, bot.stderr);
}

test("docket login makes a device, the bot goes on over tokens that expire, and docket logout deletes the device", async (t) => {
  const here = await place(t);
  const before = await devices(here.userId);
  const outcome = await here.login("--device-name", "Archive");
  assert.equal(outcome.code, 0, outcome.stderr);
  const deviceId = here.stored()?.deviceId ?? "";
  assert.equal((await devices(here.userId)).get(deviceId), "Archive");
  assert.notEqual(here.stored()?.refreshToken, null);

  // More than once: each time with the refresh token of the time before.
  await converse(t, here, 3);
  await expired(here);
  await converse(t, here);

  assert.equal((await docket("logout", "--config", here.file)).code, 0);
  assert.deepEqual(await devices(here.userId), before);
  assert.equal((await here.login()).code, 73);
});

test("killed between new tokens and their commit, or right after it, the bot stays signed in", async (t) => {
  for (const when of ["before", "after"]) {
    const here = await place(t);
    assert.equal((await here.login()).code, 0);
    await expired(here);
    const bot = new BotProcess({
      ...here.botOptions,
      preload: KILLED_AT_WRITE,
      env: { DOCKET_TEST_KILL: when },
    });
    t.after(() => bot.kill());
    assert.equal((await bot.ended()).signal, "SIGKILL", bot.stderr);
    await converse(t, here);
  }
});

test("a wrong password is told, a device that was deleted stays deleted, and another is not made in its place", async (t) => {
  const here = await place(t);
  const wrong = await docketGiven({ stdin: "wrong" }, "login", "--password-stdin", "--config", here.file);
  assert.deepEqual([wrong.code, /password is wrong/.test(wrong.stderr)], [77, true]);
  assert.equal((await here.login()).code, 0);
  await converse(t, here);
  const { deviceId } = here.stored() ?? { deviceId: "" };
  const admin = new MatrixHttp(server.baseUrl, server.adminToken);
  await admin.call("DELETE", `/_synapse/admin/v2/users/${segment(here.userId)}/devices/${segment(deviceId)}`);
  const bot = new BotProcess(here.botOptions);
  t.after(() => bot.kill());
  assert.equal((await bot.ended()).code, 77);
  assert.match(bot.stderr, /docket login/);
  const again = await here.login();
  assert.equal(again.code, 73);
  assert.match(again.stderr, /was deleted there/);
});
