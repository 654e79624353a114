/** `docket request` when things go wrong on the way: lost replies, limits, gaps, kills, and a data directory that is not its own. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readMessageIndex } from "../../demo/sender/seenEvent.ts";
import { Sender } from "../../demo/sender/sender.ts";
import { startDevServer } from "../../devserver/server.ts";
import type { JsonObject } from "../../src/protocol/json.ts";
import { BotProcess, writeConfig } from "../support/botProcess.ts";
import { startConversation } from "../support/conversation.ts";
import { docket } from "../support/docketCommand.ts";
import { asker, type Asking } from "../support/requesterCommand.ts";
import { requestScene as scene, type RequestScene as Scene } from "../support/requestScene.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";

const REPORT = "org.example.report";
const MAIN = join(import.meta.dirname, "../../src/main.ts");
const RESPONSE = "m.response.status";

/** Alice answers the next request. */
async function answer({ alice, roomId }: Scene, asking: Asking): Promise<void> {
  const eventId = String((await asking.fact("sent"))["eventId"]);
  await alice.send(roomId, RESPONSE, {
    "m.relates_to": { rel_type: "m.reference", event_id: eventId },
    [RESPONSE]: { from_device: alice.deviceId, status: "success" },
  });
}

const sends = ({ server, who }: Scene) => server.requests({ path: /\/send\//, userId: who.account.userId });

test("an event that has to be sent again has the same transaction ID each time", async (t) => {
  const here = await scene(t, true);
  here.server.fault({ path: /\/send\//, times: 2, action: { kind: "dropBefore" } });
  here.server.fault({ path: /\/send\//, action: { kind: "rateLimited", retryAfterMs: 150 } });
  const asking = here.who.ask([here.roomId, "--type", REPORT]);
  await answer(here, asking);
  assert.equal((await asking.ended).code, 0);
  assert.deepEqual([sends(here).length, new Set(sends(here).map(({ path }) => path)).size], [4, 1]);
});

for (const [what, fault] of [
  ["lost", { kind: "dropAfter" }],
  ["cut before anything happened", { kind: "dropBefore" }],
  ["a limit", { kind: "rateLimited", retryAfterMs: 150 }],
  ["the failure of a homeserver that took it all the same", { kind: "answer", status: 502, afterEffect: true }],
] as const) {
  test(`when the homeserver's reply to the event is ${what}, it is sent again under the same transaction ID, and stands in the room once`, async (t) => {
    const here = await scene(t, false);
    here.server.fault({ path: /\/send\//, action: fault });
    const asking = here.who.ask([here.roomId, "--type", REPORT]);
    await answer(here, asking);
    assert.equal((await asking.ended).code, 0);
    const ids = new Set(sends(here).map(({ txnId }) => txnId));
    assert.deepEqual([ids.size, ids.has(null)], [1, false]);
    const events = here.server.eventsIn(here.roomId).filter(({ type }) => type === REPORT);
    assert.equal(events.length, 1);
  });
}

test("an alias that stands for no possible room is the homeserver's mistake, and no bug", async (t) => {
  const here = await scene(t, false);
  for (const roomId of ["!\ud800", "!a\u001b[31mb", "!", 5]) {
    const body = { room_id: roomId };
    here.server.fault({ path: /\/directory\/room\//, action: { kind: "answer", status: 200, body } });
    const { code, stderr } = await here.who.ask(["#room:localhost", "--type", REPORT]).ended;
    assert.deepEqual([code, /names no room for the alias/.test(stderr)], [69, true], stderr);
  }
});

test("content that is not text is not sent with other characters in its place", async (t) => {
  const here = await scene(t, false);
  const file = join(temporaryDirectory(t), "content.json");
  writeFileSync(file, Buffer.from('{"body":"Übung"}', "latin1"));
  const latin = await here.who.ask([here.roomId, "--type", REPORT, "--content", file]).ended;
  assert.deepEqual([latin.code, /not UTF-8/.test(latin.stderr)], [64, true], latin.stderr);
  const endless = await here.who.ask([here.roomId, "--type", REPORT, "--content", "/dev/zero"]).ended;
  assert.deepEqual([endless.code, /too long/.test(endless.stderr)], [64, true], endless.stderr);
  assert.equal(sends(here).length, 0);
});

test("when no reply to the event comes at all, it is known from the sync that it was sent", async (t) => {
  const here = await scene(t, true);
  here.server.fault({ path: /\/send\//, times: Infinity, action: { kind: "hang", after: true } });
  const asking = here.who.ask([here.roomId, "--type", REPORT]);
  const { eventId } = await asking.fact("sent");
  here.server.clearFaults();
  await answer(here, asking);
  assert.equal((await asking.ended).code, 0);
  assert(here.server.eventsIn(here.roomId).some((event) => event.eventId === eventId));
});

test("nothing is sent before the device's keys are where others can see them", async (t) => {
  const here = await scene(t, true);
  const failing = { kind: "answer", status: 500, body: { errcode: "M_UNKNOWN", error: "" } } as const;
  here.server.fault({ path: /\/keys\/upload/, userId: here.who.account.userId, times: 3, action: failing });
  const asking = here.who.ask([here.roomId, "--type", REPORT]);
  await answer(here, asking);
  assert.equal((await asking.ended).code, 0);
  const requests = here.server.requests({ userId: here.who.account.userId });
  const uploaded = requests.findIndex(({ path, status }) => path.endsWith("/keys/upload") && status === 200);
  const sent = requests.findIndex(({ path }) => path.includes("/send/"));
  assert(uploaded !== -1 && uploaded < sent);
});

test("an answer in a part of the timeline that the homeserver left out is fetched, also where a page fails first", async (t) => {
  const here = await scene(t, false);
  const { server, alice, who, roomId } = here;
  const { userId } = who.account;
  const asking = who.ask([roomId, "--type", REPORT]);
  await asking.fact("sent");
  const fault = server.fault({ path: /\/sync$/, userId, times: Infinity, action: { kind: "hang" } });
  // The poll under way ends with this; the next one hangs.
  server.append(roomId, { type: "org.example.nudge", sender: alice.userId, content: {} });
  await server.waitFor(() => fault.hits > 0, 60_000, "a sync that hangs");
  await answer(here, asking);
  for (let n = 0; n < 250; n += 1)
    server.append(roomId, { type: "org.example.noise", sender: alice.userId, content: { n } });
  server.fault({ path: /\/messages$/, userId, action: { kind: "answer", status: 502 } });
  fault.remove();
  fault.release();
  const ended = await asking.ended;
  assert.equal(ended.code, 0);
  assert(server.requests({ path: /\/messages$/, userId }).length >= 3);
});

test("killed and started again on the same data it is the same device: answers are read, and no message index is used twice", async (t) => {
  const here = await scene(t, true);
  const { server, who, roomId } = here;
  for (let run = 0; run < 3; run += 1) {
    const killed = who.ask([roomId, "--type", REPORT]);
    await killed.fact("sent");
    await killed.kill();
    const asking = who.ask([roomId, "--type", REPORT]);
    await answer(here, asking);
    assert.equal((await asking.ended).code, 0);
  }
  const sent = server
    .eventsIn(roomId)
    .filter(({ sender, type }) => sender === who.account.userId && type === "m.room.encrypted");
  const places = sent.map(
    ({ content }) => `${String(content["session_id"])} ${readMessageIndex(String(content["ciphertext"]))}`,
  );
  assert.equal(places.length, 6);
  assert.equal(new Set(places).size, 6);
});

test("a room that was once seen encrypted is never sent to in the clear, whatever the homeserver says of it later", async (t) => {
  const here = await scene(t, true);
  const first = here.who.ask([here.roomId, "--type", REPORT]);
  await answer(here, first);
  await first.ended;
  here.server.hide(here.roomId, here.who.account.userId, "m.room.encryption");
  const asking = here.who.ask([here.roomId, "--type", REPORT]);
  await answer(here, asking);
  assert.equal((await asking.ended).code, 0);
  assert(!JSON.stringify(sends(here)).includes("request.status"));
});

test("a device that came while nobody looked can read the next request, also where the homeserver does not say that it came", async (t) => {
  const here = await scene(t, true);
  const { server, alice, who, roomId } = here;
  const first = who.ask([roomId, "--type", REPORT]);
  await answer(here, first);
  await first.ended;
  const phone = server.signIn(alice.userId, "ALICESPHONE");
  const second = await Sender.withToken({ baseUrl: server.url, ...phone }, { identity: alice });
  t.after(() => second.stop());
  await second.start();
  // As a homeserver answers about another room: the devices of this one are not in it.
  const headers = { authorization: `Bearer ${who.account.accessToken}` };
  const synced: unknown = await (await fetch(`${server.url}/_matrix/client/v3/sync`, { headers })).json();
  const { next_batch } = synced as JsonObject;
  server.answerNextSync(who.account.userId, JSON.stringify({ next_batch }));
  const asking = who.ask([roomId, "--type", REPORT]);
  const { eventId } = await asking.fact("sent");
  const seen = await second.waitFor(
    () => {
      const event = second.events.get(String(eventId));
      return event?.undecryptable === null ? event : undefined;
    },
    60_000,
    "the request in the clear",
  );
  assert.equal(seen.type, REPORT);
  await asking.kill("SIGINT");
});

test("on a bot's account it refuses and says why: by the configuration, by the data directory, running or not, and by who is expected", async (t) => {
  const { server, account, directory, alice, bot } = await startConversation(t);
  const roomId = server.createRoom(alice.userId, { preset: "public_chat" });
  const own = await docket("request", roomId, "--type", REPORT, "--config", join(directory, "config.yaml"));
  assert.equal(own.code, 78);
  assert.match(own.stderr, /handlers: this is a bot's configuration, and a bot never answers its own account/);
  // Without handlers it does not look like a bot's, but the data are.
  const bare = asker(t, server, { account, dataDirectory: join(directory, "data") });
  const running = await bare.ask([roomId, "--type", REPORT]).ended;
  assert.match(running.stderr, /in use by another Docket process/);
  await bot.stop();
  const stopped = await bare.ask([roomId, "--type", REPORT]).ended;
  assert.match(stopped.stderr, /is used by a bot \(`docket start`\)/);
  assert.deepEqual([running.code, stopped.code], [73, 73]);
  const self = asker(t, server);
  const alone = await self.ask([roomId, "--type", REPORT, "--expect-from", self.account.userId]).ended;
  assert.match(alone.stderr, /a bot never answers its own account/);
  assert.equal(alone.code, 64);
  assert.equal(server.requests({ userId: self.account.userId }).length, 0);
});

test("a data directory that requests come from is no bot's any more", async (t) => {
  const here = await scene(t, false);
  const asking = here.who.ask([here.roomId, "--type", REPORT]);
  await answer(here, asking);
  await asking.ended;
  const command = [process.execPath, MAIN, "start", "--config", here.who.config];
  const bot = new BotProcess({ command, env: process.env });
  t.after(() => bot.kill());
  const runs = bot.running().then(() => "it runs");
  runs.catch(() => undefined);
  assert.deepEqual(await Promise.race([bot.ended(), runs]), { code: 73, signal: null });
  assert.match(bot.stderr, /is used by `docket request`/);
});

test("what is wrong on the command line is 64, a server that is not there 69, a refused token 77", async (t) => {
  const server = await startDevServer();
  t.after(() => server.stop());
  const who = asker(t, server);
  for (const [args, words] of [
    [["room"], /named by its ID or an alias/],
    [["!a:b"], /nothing to send/],
    [["!a:b", "--text", "a", "--content", "-"], /two contents/],
    [["!a:b", "--type", REPORT, "--content", "-"], /not JSON/],
    [["!a:b", "--type", REPORT, "--content", "/nowhere.json"], /ENOENT/],
    [["!a:b", "--type", RESPONSE], /never answered/],
    [["!a:b", "--type", REPORT, "--lifetime", "soon"], /duration/],
    [["!a:b", "--type", REPORT, "--expect", "0"], /1 or more/],
    [["!a:b", "--type", REPORT, "--expect", "1", "--expect-from", "@a:b", "--expect-from", "@c:d"], /less than the 2/],
    [["!a:b", "--type", REPORT, "--dialect", "old"], /stable/],
    [["!a:b", "--text", "a", "--capabilities", REPORT], /question of its own/],
  ] as const) {
    const { code, stdout, stderr } = await who.ask(args, "{").ended;
    assert.deepEqual([code, stdout], [64, ""], stderr);
    assert.match(stderr, words);
  }
  server.revokeToken(who.account.accessToken);
  assert.equal((await who.ask(["!a:b", "--type", REPORT]).ended).code, 77);
  await server.stop();
  const directory = temporaryDirectory(t);
  const { userId, accessToken } = who.account;
  const config = writeConfig({ homeserver: server.url, userId, accessToken, directory, yaml: "" });
  assert.equal((await docket("request", "!a:b", "--type", REPORT, "--config", config)).code, 69);
});
