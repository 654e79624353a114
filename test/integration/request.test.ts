/** `docket request` beside a real bot: what it asks, what it shows, and what it exits with. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { dialectNames, dialects } from "../../src/protocol/dialects.ts";
import type { JsonObject } from "../../src/protocol/json.ts";
import { BotProcess, DEFAULT_YAML } from "../support/botProcess.ts";
import { startConversation, type Conversation } from "../support/conversation.ts";
import { asker, type Asker, type Ended } from "../support/requesterCommand.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";

const REPORT = "org.example.report";

interface Scene extends Conversation {
  readonly who: Asker;
  /** A room with the bot, Alice and who asks. */
  shared(encrypted?: boolean): Promise<string>;
}

async function scene(t: TestContext, options: Parameters<typeof startConversation>[1] = {}): Promise<Scene> {
  const conversation = await startConversation(t, options);
  const { server, alice, room } = conversation;
  const who = asker(t, server);
  const shared = async (encrypted = true): Promise<string> => {
    const roomId = await room({ encrypted, invite: [who.account.userId] });
    server.join(roomId, who.account.userId);
    await alice.waitForJoin(roomId, who.account.userId);
    return roomId;
  };
  return Object.assign(conversation, { who, shared });
}

const of = ({ facts }: Ended, event: string) => facts.filter((fact) => fact.event === event);

test("in an encrypted room the first run of an account asks, is answered, and exits 0; nothing of it is readable on the wire", async (t) => {
  const { server, account, who, shared } = await scene(t);
  const ended = await who.ask([await shared(), "--type", REPORT]).ended;
  assert.equal(ended.stderr, "");
  assert.deepEqual(ended.facts[0]?.["encrypted"], true);
  const [answer = { event: "" }, ...more] = of(ended, "answer");
  assert.deepEqual(more, []);
  assert(typeof answer["ms"] === "number" && answer["ms"] >= 0);
  assert.deepEqual(
    { ...answer, ms: 0, eventId: "" },
    {
      event: "answer",
      counted: true,
      reason: null,
      eventId: "",
      userId: account.userId,
      deviceId: "DOCKETBOT",
      encryptedBy: null,
      status: "success",
      code: null,
      messages: [],
      problem: null,
      ms: 0,
      understood: null,
    },
  );
  const summary = ended.facts.at(-1);
  assert.deepEqual([summary?.event, summary?.["outcome"], summary?.["exitCode"]], ["summary", "success", 0]);
  assert.equal(ended.code, 0);
  assert(!JSON.stringify(server.requests({ path: /\/send\// })).includes("request.status"));
});

test("an error is shown with its code and its words, and exits 1", async (t) => {
  const { who, shared } = await scene(t);
  const ended = await who.ask([await shared(), "--type", "org.example.unheard"]).ended;
  const [answer] = of(ended, "answer");
  assert.deepEqual(
    [answer?.["status"], answer?.["code"], answer?.["messages"]],
    ["error", "unknown_type", [{ type: "error", text: "Unknown event type org.example.unheard" }]],
  );
  assert.equal(ended.code, 1);
});

test("a room without encryption is found by its alias, and what is said there is in words", async (t) => {
  const { server, account, alice, who } = await scene(t);
  const roomId = server.createRoom(alice.userId, { room_alias_name: "alarms", invite: [account.userId] });
  server.invite(roomId, alice.userId, who.account.userId);
  server.join(roomId, who.account.userId);
  await alice.waitForJoin(roomId, account.userId);
  const { code, stdout, stderr } = await who.askInWords(["#alarms:localhost", "--type", REPORT]).ended;
  assert.match(
    stdout,
    /^sent {6}\$\S+, org\.example\.report, unencrypted, as @ina:localhost \(INASDEVICE\)\nanswered {2}@docket:localhost \(DOCKETBOT\) after \d+ ms: success\nsuccess {3}1 of 1 answer after \d+ ms\n$/,
  );
  assert.deepEqual([code, stderr], [0, ""]);
});

test("content comes from a file, from standard input, or is a text; the request is added to it", async (t) => {
  const { server, who, shared } = await scene(t, {
    bot: { yaml: `${DEFAULT_YAML}  - types: [m.room.message]\n    steps: [acknowledge]\n` },
  });
  const roomId = await shared(false);
  const file = join(temporaryDirectory(t), "content.json");
  writeFileSync(file, JSON.stringify({ place: "Bridge Street 3" }));
  for (const [args, input] of [
    [["--type", REPORT, "--content", file], undefined],
    [["--type", REPORT, "--content", "-"], '{"place": "Mill Lane 1"}'],
    [["--text", "Are you there?", "--to-device", "DOCKETBOT"], undefined],
  ] as const) {
    const asking = who.ask([roomId, ...args, "--lifetime", "30s"], input);
    const { code, stderr } = await asking.ended;
    assert.deepEqual([code, stderr], [0, ""]);
  }
  const request = { from_device: "INASDEVICE", lifetime: 30_000 };
  const sent = server
    .eventsIn(roomId)
    .filter(({ sender, type }) => sender === who.account.userId && type !== "m.room.member");
  assert.deepEqual(
    sent.map(({ type, content }) => [type, content]),
    [
      [REPORT, { place: "Bridge Street 3", "m.request.status": request }],
      [REPORT, { place: "Mill Lane 1", "m.request.status": request }],
      [
        "m.room.message",
        { msgtype: "m.text", body: "Are you there?", "m.request.status": { ...request, to_device: "DOCKETBOT" } },
      ],
    ],
  );
});

test("each dialect is asked in and understood, and capabilities are asked for in the words that belong to it", async (t) => {
  const { server, who, shared } = await scene(t);
  const roomId = await shared(false);
  const last = (): JsonObject | undefined =>
    server.eventsIn(roomId).findLast(({ sender }) => sender === who.account.userId)?.content;
  for (const dialect of dialectNames) {
    const asked = await who.ask([roomId, "--type", REPORT, "--dialect", dialect]).ended;
    assert.equal(asked.code, 0);
    assert.deepEqual(Object.keys(last() ?? {}), [dialects[dialect].requestBlock]);
    const types = ["org.example.unheard", REPORT];
    const question = await who.ask([roomId, "--dialect", dialect, "--capabilities", ...types]).ended;
    assert.equal(question.code, 0);
    assert.deepEqual(of(question, "answer")[0]?.["understood"], [REPORT]);
    const block = `${dialect === "stable" ? "m" : "de.gematik.msc4301"}.request.event_capability`;
    assert.deepEqual(last()?.[block], { events: types.map((type) => ({ type })) });
  }
});

test("two bots are waited for where two answers are expected; of named users nobody else's answer counts", async (t) => {
  const { server, account, alice, who, shared } = await scene(t);
  const second = server.createAccount("second", "not a secret", { deviceId: "SECONDBOT" });
  const bot = new BotProcess({
    homeserver: server.url,
    userId: second.userId,
    accessToken: second.accessToken,
    directory: temporaryDirectory(t),
  });
  t.after(() => bot.kill());
  await bot.running();
  const roomId = await shared();
  await alice.invite(roomId, second.userId);
  await alice.waitForJoin(roomId, second.userId);
  const both = await who.ask([roomId, "--type", REPORT, "--expect", "2"]).ended;
  assert.equal(both.code, 0);
  assert.deepEqual(new Set(of(both, "answer").map((fact) => fact["userId"])), new Set([account.userId, second.userId]));
  await bot.stop();
  const asking = who.ask([roomId, "--type", REPORT, "--expect-from", second.userId]);
  await asking.fact("answer");
  const one = await asking.kill("SIGINT");
  assert.equal(one.code, 2);
  assert.deepEqual(
    of(one, "answer").map((fact) => [fact["userId"], fact["reason"]]),
    [[account.userId, "not_expected"]],
  );
});

test("where nobody answers, or only another device might, it exits 2 when the lifetime is over", async (t) => {
  const { alice, server, who, shared } = await scene(t);
  const empty = server.createRoom(alice.userId, { preset: "public_chat" });
  server.join(empty, who.account.userId);
  const nobody = await who.ask([empty, "--type", REPORT, "--lifetime", "1s"]).ended;
  const summary = nobody.facts.at(-1);
  assert.deepEqual([nobody.code, summary?.["missing"], summary?.["answers"], summary?.["stopped"]], [2, 1, 0, false]);
  const other = await who.ask([await shared(), "--type", REPORT, "--to-device", "OTHER", "--lifetime", "1s"]).ended;
  assert.deepEqual([other.code, of(other, "answer")], [2, []]);
});

test("who has received the event is shown, and Ctrl-C ends the wait with the summary of what is there", async (t) => {
  const { account, who, shared } = await scene(t);
  const asking = who.ask([await shared(), "--type", REPORT, "--expect", "2"]);
  const received = await asking.fact("received");
  assert.equal(received["userId"], account.userId);
  await asking.fact("answer");
  const ended = await asking.kill("SIGINT");
  const summary = ended.facts.at(-1);
  assert.deepEqual(
    [ended.code, summary?.["stopped"], summary?.["answers"], summary?.["missing"], summary?.["receivedBy"]],
    [2, true, 1, 1, [account.userId]],
  );
});

test("told to stop before anything was sent, it says so, sends nothing, and exits 2", async (t) => {
  const { server, who, shared } = await scene(t);
  const roomId = await shared();
  const fault = server.fault({ path: /\/state$/, userId: who.account.userId, action: { kind: "hang" } });
  const asking = who.ask([roomId, "--type", REPORT]);
  await server.waitFor(() => fault.hits > 0, 60_000, "the look at the room");
  const ended = await asking.kill("SIGINT");
  const [summary, ...more] = ended.facts;
  assert.deepEqual(
    [ended.code, summary?.event, summary?.["eventId"], summary?.["stopped"], more, ended.stderr],
    [2, "summary", null, true, [], ""],
  );
  assert.deepEqual(server.requests({ path: /\/send\//, userId: who.account.userId }), []);
});

test("the homeserver's refusal is 3: not in the room, no such alias, not allowed, too large, limited for longer than the lifetime", async (t) => {
  const { alice, server, who } = await scene(t);
  const closed = server.createRoom(alice.userId);
  const quiet = server.createRoom(alice.userId, {
    preset: "public_chat",
    power_level_content_override: { events_default: 50 },
  });
  const open = server.createRoom(alice.userId, { preset: "public_chat" });
  for (const roomId of [quiet, open]) server.join(roomId, who.account.userId);
  const tooLarge = { kind: "answer", status: 413, body: { errcode: "M_TOO_LARGE", error: "" } } as const;
  for (const [room, status, words, action] of [
    [closed, 403, /join it first/, null],
    ["#nothing:localhost", null, /no such alias/, null],
    [quiet, 403, /power level/, null],
    [open, 413, /too large/, tooLarge],
    [open, 429, /too many requests/, { kind: "rateLimited", retryAfterMs: 600_000 }],
  ] as const) {
    if (action !== null) server.fault({ path: /\/send\//, action });
    const ended = await who.ask([room, "--type", REPORT]).ended;
    const [refused] = of(ended, "refused");
    assert.equal(refused?.["status"], status);
    assert.match(String(refused["problem"]), words);
    assert.deepEqual([ended.code, ended.facts.at(-1)?.["outcome"]], [3, "refused"]);
  }
});
