/**
 * The bot is killed again and again, at random times and at chosen ones, while people go on asking. Whatever the moment: it keeps
 * its identity, loses no request, answers none twice, acknowledges the receipt of each, says once in each room what it does there, and
 * never encrypts two messages at one place of a ratchet.
 *
 * DOCKET_KILLS sets how often (50 by default), DOCKET_SEED repeats a run.
 */
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { Sender } from "../../demo/sender/sender.ts";
import { startDevServer } from "../../devserver/server.ts";
import { BotProcess, DEFAULT_YAML, type BotOptions } from "../support/botProcess.ts";
import {
  allRecordedOnce,
  noIndexTwice,
  noOlmPlaceTwice,
  oneAnswerEach,
  oneIdentity,
  receiptForEach,
} from "../support/crashJudge.ts";
import { FIRST_MOMENTS, momentsToKill, UPLOAD, whileItStarts, type Moment } from "../support/crashMoments.ts";
import { CrashRandom } from "../support/crashRandom.ts";
import { CrashTraffic } from "../support/crashTraffic.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";

const KILLS = Number(process.env["DOCKET_KILLS"] ?? 50);
const SEED = Number(process.env["DOCKET_SEED"] ?? randomInt(2 ** 32));
const YAML = DEFAULT_YAML.replace("notice: false", "notice: I keep a record of this room.");
const LAST_ANSWERS_MS = 90_000;
/** Messages of one session, where it is not the default. */
const ROTATION = 5;

test(`killed at any moment ${KILLS} times, the bot answers every request once and goes on as who it was`, async (t) => {
  t.diagnostic(`seed ${SEED}`);
  const random = new CrashRandom(SEED);
  const server = await startDevServer();
  t.after(() => server.stop());
  const account = server.createAccount("docket", "not a secret", { deviceId: "DOCKETBOT" });
  const person = async (localpart: string): Promise<Sender> => {
    const sender = await Sender.withToken({ baseUrl: server.url, ...server.createAccount(localpart) });
    t.after(() => sender.stop());
    await sender.start();
    return sender;
  };
  const alice = await person("alice");
  const traffic = new CrashTraffic({ server, bot: account, alice, carol: await person("carol"), random });
  const env = { NODE_COMPILE_CACHE: temporaryDirectory(t) };
  const warmUp = { homeserver: server.url, ...server.createAccount("warmup"), directory: temporaryDirectory(t), env };
  // Node keeps what it has compiled when a process ends by itself, so that the many starts take half as long.
  const compiler = new BotProcess(warmUp);
  t.after(() => compiler.kill());
  await compiler.running();
  assert.equal(await compiler.stop(), 0);
  const lives = new Lives(t, { homeserver: server.url, ...account, directory: temporaryDirectory(t), env, yaml: YAML });
  // However quickly the first life starts, no key of its reaches the server: the moments after it wait for the first upload.
  const unheard = server.fault({ path: UPLOAD, userId: account.userId, times: Infinity, action: { kind: "hang" } });
  const kill = (moment: Moment): Promise<void> =>
    lives.untilKilled(moment.name, (bot) => {
      if (lives.kills > 0) unheard.remove();
      return moment.come({ bot, account, server, random, traffic, startMs: lives.startMs });
    });

  for (const moment of [whileItStarts, ...FIRST_MOMENTS]) await kill(moment);
  let oldRoom = "";
  let rotatingRoom = "";
  let first = "";
  await lives.untilKilled("in its first rooms", async (bot) => {
    await bot.running();
    oldRoom = await traffic.quietRoom();
    first = (await traffic.ask(oldRoom)).eventId;
    await alice.waitForResponse(first, LAST_ANSWERS_MS);
    rotatingRoom = await traffic.room(ROTATION);
    await traffic.room();
    await traffic.roomOfLateKeys();
    await traffic.askHoldingKeys();
    await bot.line((line) => /^parked/.test(line.msg), "the first event was parked");
  });
  traffic.start();
  t.after(() => traffic.stop().catch(() => undefined));
  for (const moment of momentsToKill(KILLS - lives.kills, random)) {
    await kill(moment);
    if (random.whole(2) === 0) await traffic.release(1);
  }

  const bot = lives.start();
  await bot.running();
  await traffic.stop();
  await traffic.release();
  for (const roomId of traffic.allRooms) await alice.waitForJoin(roomId, account.userId, LAST_ANSWERS_MS);
  const last = await traffic.ask(oldRoom);
  // However few requests there were by then.
  for (let count = 0; count <= ROTATION; count += 1) await traffic.ask(rotatingRoom);
  await server.waitFor(
    () => traffic.allRooms.every((roomId) => traffic.unanswered(roomId) <= 0),
    LAST_ANSWERS_MS,
    "the last answers",
  );
  const copy = server.replay(oldRoom, first);
  await bot.line(
    (line) => line.msg === "decided" && line["eventId"] === copy && line["reason"] === "replay",
    "the replay was known",
  );
  // One more in each room: whatever was to be said before it has been said by then.
  for (const roomId of traffic.allRooms) {
    const { eventId } = await traffic.ask(roomId);
    await alice.waitForResponse(eventId, LAST_ANSWERS_MS);
  }
  const received = (): ReadonlySet<string> => new Set(server.receipts().map(({ eventId }) => eventId));
  await server.waitFor(
    () => [...traffic.asked.keys()].every((eventId) => received().has(eventId)),
    LAST_ANSWERS_MS,
    "the last receipts",
  );
  const told = (roomId: string): boolean =>
    [...alice.events.values()].some((event) => event.roomId === roomId && event.content["msgtype"] === "m.notice");
  await alice.waitFor(() => traffic.allRooms.every(told) || undefined, LAST_ANSWERS_MS, "the last notices");
  // The bot records what it said last when that comes back with a sync, and Alice may have it before.
  const lastSaid = server.events().at(-1)?.eventId;
  await bot.line((line) => line.msg === "decided" && line["eventId"] === lastSaid, "what it said last was recorded");
  assert.equal(await bot.stop(), 0);
  for (const { eventId } of server.events()) if (eventId !== null) await alice.seen(eventId, LAST_ANSWERS_MS);

  const trial = { server, account, alice, asked: traffic.asked, rooms: traffic.allRooms };
  oneIdentity(trial);
  const { messages, sessions } = noIndexTwice(trial);
  const olmMessages = noOlmPlaceTwice(trial);
  assert.ok(
    messages >= traffic.asked.size && sessions > traffic.allRooms.length && olmMessages > sessions,
    "rooms rotated",
  );
  oneAnswerEach(trial);
  receiptForEach(trial);
  const entries = await allRecordedOnce(trial, join(lives.directory, "config.yaml"));
  assert.equal(
    alice.events.get(last.eventId)?.sessionId,
    alice.events.get(first)?.sessionId,
    "the last request came in the session of the first",
  );
  assert.equal(lives.kills, KILLS);
  lives.assertQuiet();
  t.diagnostic(
    `${lives.kills} kills, ${traffic.asked.size} requests in ${traffic.allRooms.length} rooms, ${messages} Megolm messages in ${sessions} sessions, ` +
      `${olmMessages} Olm messages, ${entries} entries, last start ${Math.round(lives.startMs)} ms`,
  );
});

/** The bot's lives on one data directory, one after the other. */
class Lives {
  kills = 0;
  /** Of the last whole start, in milliseconds. */
  startMs = 1_000;
  readonly directory: string;
  private readonly options: BotOptions;
  private readonly bots: BotProcess[] = [];

  constructor(t: TestContext, options: BotOptions) {
    this.options = options;
    this.directory = options.directory;
    t.after(() => Promise.all(this.bots.map((bot) => bot.kill())));
  }

  start(): BotProcess {
    const startedAt = performance.now();
    const bot = new BotProcess(this.options);
    this.bots.push(bot);
    void bot.running().then(
      () => (this.startMs = performance.now() - startedAt),
      () => undefined,
    );
    return bot;
  }

  /** @throws Error when the bot ends by itself */
  async untilKilled(when: string, come: (bot: BotProcess) => Promise<void>): Promise<void> {
    const bot = this.start();
    const alone = bot.ended().then(({ code, signal }) => {
      throw new Error(`the bot ended by itself (${String(code ?? signal)}) ${when}\n${bot.stderr}`);
    });
    try {
      await Promise.race([come(bot), alone]);
    } catch (error) {
      throw new Error(`life ${this.bots.length}, to be killed ${when}`, { cause: error });
    }
    await bot.kill();
    assert.equal((await bot.ended()).signal, "SIGKILL", `the bot ended by itself ${when}: ${bot.stderr}`);
    this.kills += 1;
  }

  /** No life had an error to tell, and none had a gap in a timeline. */
  assertQuiet(): void {
    for (const bot of this.bots) {
      assert.equal(bot.stderr, "");
      for (const line of bot.lines) {
        assert.match(String(line["level"]), /^(debug|info|warn)$/, JSON.stringify(line));
        assert.doesNotMatch(line.msg, /gap is recorded/);
      }
    }
  }
}
