/** What the bot says that it understands: asked in a room (MSC4301), and ahead of time in its profile (MSC4401). */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonObject, JsonValue } from "../../src/protocol/json.ts";
import { BotProcess } from "../support/botProcess.ts";
import { startConversation } from "../support/conversation.ts";
import { startDevServer, type DevServerOptions } from "../../devserver/server.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";
import type { TestContext } from "node:test";

const HANDLERS = `
invites:
  accept: ["@*:localhost"]
  notice: false
handlers:
  - types: [org.example.report]
    steps: [archive]
  - types: [m.room.message]
    match:
      - { key: msgtype, value: m.text }
    steps: [archive]
  - types: ["org.example.family.*"]
    steps: [acknowledge]
`;

for (const [dialect, statusBlock, question, answer] of [
  ["stable", "m.request.status", "m.request.event_capability", "m.response.event_capability"],
  [
    "unstable",
    "de.gematik.msc4300.request.status",
    "de.gematik.msc4301.request.event_capability",
    "de.gematik.msc4301.response.event_capability",
  ],
] as const)
  test(`a question in the ${dialect} words is answered in them, encrypted, with the events that are understood as they stood there`, async (t) => {
    const { alice, room } = await startConversation(t, { bot: { yaml: HANDLERS } });
    const roomId = await room({ encrypted: true });
    const text = { type: "m.room.message", content: [{ key: "msgtype", value: "m.text", note: "mine" }] };
    const events: JsonValue = [
      { type: "org.example.unknown" },
      text,
      { type: "m.room.message" },
      { type: "org.example.report" },
      { type: "org.example.family.member" },
    ];
    const eventId = await alice.send(roomId, question, {
      [statusBlock]: { from_device: alice.deviceId, lifetime: 90_000 },
      [question]: { events },
    });
    const response = await alice.waitForResponse(eventId);
    assert.equal(response.status, "success");
    assert.equal(response.event.encrypted, true);
    assert.deepEqual(response.event.content[answer], {
      events: [text, { type: "org.example.report" }, { type: "org.example.family.member" }],
    });
  });

test("a malformed question is an error that names the property; one for another device gets no answer", async (t) => {
  const { alice, room, bot } = await startConversation(t, { bot: { yaml: HANDLERS } });
  const roomId = await room();
  const ask = (status: JsonObject, block: JsonValue): Promise<string> =>
    alice.send(roomId, "m.request.event_capability", {
      "m.request.status": { from_device: alice.deviceId, lifetime: 90_000, ...status },
      "m.request.event_capability": block,
    });
  const foreign = await ask({ to_device: "OTHER" }, { events: [] });
  const malformed = await alice.waitForResponse(await ask({}, { events: "all" }));
  assert.deepEqual(
    [malformed.status, malformed.code, malformed.messages[0]?.text],
    ["error", "invalid_content", "m.request.event_capability.events must be a list"],
  );
  const line = await bot.line((candidate) => candidate["eventId"] === foreign, "it was decided");
  assert.equal(line["reason"], "other_device");
  assert.deepEqual(alice.responsesTo(foreign), []);
});

/** A bot without people around it. */
async function lonelyBot(t: TestContext, deviceId: string, options: DevServerOptions = {}) {
  const server = await startDevServer(options);
  t.after(() => server.stop());
  const account = server.createAccount("docket", "not a secret", { deviceId });
  const directory = temporaryDirectory(t);
  const start = async (yaml: string): Promise<BotProcess> => {
    const bot = new BotProcess({ homeserver: server.url, ...account, directory, yaml });
    t.after(() => bot.kill());
    await bot.running();
    return bot;
  };
  const field = `de.gematik.msc4401.client_capability.${deviceId}`;
  const path = new RegExp(`/profile/.*/${field.replaceAll(".", "\\.")}$`);
  const requests = (method: string) =>
    server.requests({ path, userId: account.userId }).filter((r) => r.method === method);
  const profile = async (): Promise<JsonObject> => {
    const answer = await fetch(`${server.url}/_matrix/client/v3/profile/${encodeURIComponent(account.userId)}`, {
      headers: { Authorization: `Bearer ${account.accessToken}` },
    });
    return (await answer.json()) as JsonObject;
  };
  return { server, start, field, requests, profile };
}

const published = {
  events: [{ type: "org.example.report" }, { type: "m.room.message", content: [{ key: "msgtype", value: "m.text" }] }],
};

test("the profile says what is understood; it is written when that has changed, and only then", async (t) => {
  const { start, field, requests, profile } = await lonelyBot(t, "docketbot");
  const first = await start(HANDLERS);
  await first.line((line) => /^capabilities are published/.test(line.msg), "capabilities were published");
  assert.deepEqual((await profile())[field], published);
  assert.equal(await first.stop(), 0);
  assert.equal(requests("PUT").length, 1);

  const second = await start(HANDLERS);
  await second.line((line) => /up to date|are published/.test(line.msg), "the profile was looked at");
  assert.equal(await second.stop(), 0);
  assert.equal(requests("PUT").length, 1, "nothing has changed");

  const third = await start(`${HANDLERS}  - types: [org.example.more]\n    steps: [archive]\n`);
  await third.line((line) => /^capabilities are published/.test(line.msg), "capabilities were published again");
  assert.deepEqual((await profile())[field], { events: [...published.events, { type: "org.example.more" }] });
  assert.equal(await third.stop(), 0);

  const fourth = await start(`${HANDLERS}capabilities: { advertise: false }\n`);
  await fourth.line((line) => /taken back/.test(line.msg), "they were taken back");
  assert.equal(field in (await profile()), false);
  assert.equal(await fourth.stop(), 0);
});

test("a device whose ID does not fit into a profile key is not advertised, which is said, and nothing is written", async (t) => {
  const { server, start, requests } = await lonelyBot(t, "DOCKETBOT");
  const bot = await start(HANDLERS);
  const line = await bot.line((candidate) => /not advertised/.test(candidate.msg), "it was said");
  assert.match(line.msg, /device ID DOCKETBOT does not fit into a profile key/);
  assert.equal(line["level"], "info");
  assert.equal(await bot.stop(), 0);
  assert.deepEqual([requests("GET"), requests("PUT")], [[], []]);
  assert.deepEqual(server.requests({ path: /\/profile\// }), []);
});

for (const [what, options, says] of [
  [
    "has no profile fields",
    { unstableFeatures: { "uk.tcpip.msc4133": false, "uk.tcpip.msc4133.stable": false } },
    /the homeserver has no profile fields/,
  ],
  [
    "does not let the account set them",
    { profileFieldsEnabled: false },
    /does not let this account set profile fields/,
  ],
] as const)
  test(`a homeserver that ${what} is no trouble: it is said once, and the bot goes on`, async (t) => {
    const { start, requests } = await lonelyBot(t, "docketbot", options);
    const bot = await start(HANDLERS);
    const line = await bot.line((candidate) => /not advertised/.test(candidate.msg), "it was said");
    assert.match(line.msg, says);
    assert.equal(await bot.stop(), 0);
    assert.deepEqual(requests("PUT"), []);
    assert.equal(bot.lines.filter(({ msg }) => /not advertised/.test(msg)).length, 1);
  });

test("that the capabilities can't be taken back is said: the profile goes on showing them", async (t) => {
  const { server, start, field, profile } = await lonelyBot(t, "docketbot");
  const first = await start(HANDLERS);
  await first.line((line) => /^capabilities are published/.test(line.msg), "capabilities were published");
  assert.equal(await first.stop(), 0);
  server.fault({
    method: "DELETE",
    path: /\/profile\//,
    action: { kind: "answer", status: 403, body: { errcode: "M_FORBIDDEN" } },
  });
  const second = await start(`${HANDLERS}capabilities: { advertise: false }\n`);
  await second.line(
    (line) =>
      line.msg === "capabilities in the profile could not be taken back: the homeserver refuses with M_FORBIDDEN",
    "it was said",
  );
  assert.equal(await second.stop(), 0);
  assert.ok(field in (await profile()));
});

test("a homeserver that fails at it for a while is asked again, and the start does not wait for it", async (t) => {
  const { server, start, field, profile } = await lonelyBot(t, "docketbot");
  server.fault({
    path: /\/profile\//,
    times: 2,
    action: { kind: "answer", status: 503, body: { errcode: "M_UNKNOWN" } },
  });
  const bot = await start(HANDLERS);
  await bot.line((line) => /not advertised: the homeserver could not be asked yet/.test(line.msg), "it was said");
  await bot.line((line) => /^capabilities are published/.test(line.msg), "capabilities were published");
  assert.deepEqual((await profile())[field], published);
  assert.equal(await bot.stop(), 0);
});
