/** `docket doctor` against a real Synapse: what it finds of a bot that runs there, and the limit that an administrator knows of. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Sender } from "../../demo/sender/sender.ts";
import { BotProcess } from "../support/botProcess.ts";
import { examine } from "../support/doctorReport.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";
import { startSynapse } from "./synapse.ts";

test("a bot on Synapse is examined whole: device, keys, rooms, receipts, and whether it is exempt from the limit", async (t) => {
  const server = await startSynapse();
  t.after(() => server.stop());
  const account = await server.registerUser("docket", "not a secret", { deviceId: "docket1" });
  const directory = temporaryDirectory(t);
  const bot = new BotProcess({ homeserver: server.baseUrl, ...account, directory });
  t.after(() => bot.kill());
  await bot.running();
  await bot.line(({ msg }) => /^capabilities are published/.test(msg), "the profile said so");
  const { baseUrl } = server;
  const alice = await Sender.withToken({ baseUrl, ...(await server.registerUser("alice", "not a secret")) });
  t.after(() => alice.stop());
  await alice.start();
  const roomId = await alice.createRoom({ encrypted: true, invite: [account.userId] });
  await alice.waitForJoin(roomId, account.userId);
  await bot.line(({ msg }) => msg === "ready", "it was ready");

  const well = await examine(directory);
  assert.deepEqual(well.checks("wrong"), []);
  assert.deepEqual(well.checks("warning"), ["recovery_key"]);
  assert.deepEqual(well.checks("unknown"), ["send_limit"]);
  assert.deepEqual(well.checks("off"), ["receipts"]);
  for (const check of ["clock", "token", "device", "device_keys", "one_time_keys", "capabilities", "power_levels"])
    assert.equal(well.finding(check).state, "ok", well.finding(check).found);
  assert.match(well.finding("power_levels").found, /the room that it is in/);

  const asAdmin = { env: { DOCKET_ADMIN_TOKEN: server.adminToken } };
  const limited = (await examine(directory, asAdmin)).finding("send_limit");
  assert.deepEqual([limited.state, /is not exempt/.test(limited.found)], ["warning", true]);
  // What the doctor prints, with the token in its place, is what exempts the bot.
  const command = limited.command ?? "";
  const body = / -d '([^']+)'/.exec(command)?.[1] ?? "";
  const url = / '(http[^']+)'$/.exec(command)?.[1] ?? "";
  const headers = { authorization: `Bearer ${server.adminToken}`, "content-type": "application/json" };
  assert.equal((await fetch(url, { method: "POST", headers, body })).status, 200);
  assert.equal((await examine(directory, asAdmin)).finding("send_limit").state, "ok");
  const asNobody = { env: { DOCKET_ADMIN_TOKEN: account.accessToken } };
  const refused = (await examine(directory, asNobody)).finding("send_limit");
  assert.deepEqual([refused.state, /did not help: .*403 M_FORBIDDEN/.test(refused.found)], ["unknown", true]);

  const levels = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/state/m.room.power_levels`;
  await alice.http.call("PUT", levels, {
    body: { users: { [alice.userId]: 100 }, events: { "m.room.encrypted": 50 } },
  });
  const silenced = await examine(directory);
  assert.deepEqual([silenced.code, silenced.checks("wrong")], [1, ["power_levels"]]);
  assert.deepEqual(silenced.finding("power_levels").details, [
    { about: roomId, found: "The bot's power level is 0; m.room.encrypted needs 50." },
  ]);

  assert.equal(await bot.stop(), 0);
  const alone = await examine(directory);
  assert.deepEqual(alone.checks("warning"), ["bot", "recovery_key"]);
  for (const check of ["device_keys", "one_time_keys", "clock"])
    assert.equal(alone.finding(check).state, "ok", alone.finding(check).found);
  await fetch(`${baseUrl}/_matrix/client/v3/logout`, {
    method: "POST",
    headers: { authorization: `Bearer ${account.accessToken}` },
  });
  const signedOut = await examine(directory);
  assert.deepEqual([signedOut.code, signedOut.finding("token").state], [1, "wrong"]);
  assert.equal(signedOut.finding("homeserver").state, "ok");
});
