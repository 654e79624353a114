/** The bot under Synapse's own limits for messages: ten at once, then one in five seconds; and exempted from them. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startSynapse } from "./synapse.ts";
import { SynapseConversation } from "./synapseConversation.ts";
import type { Synapse } from "./synapseServer.ts";

const SHORT_MS = 15_000;
const LONG_MS = 300_000;
/** While they live Synapse's defaults let 10 + 0.2 × 15 through, and some more if they are asked slowly: the rest must be dropped. */
const SHORT_ONES = 20;
const LONG_ONES = 4;

const yaml = (alice: string): string => `
invites:
  accept: ["${alice}"]
  notice: false
capabilities:
  advertise: false
handlers:
  - types: [org.example.report]
    steps: [archive]
`;

let server: Synapse;
before(async () => {
  server = await startSynapse({ rateLimits: "default" });
});
after(() => server.stop());

test("under the default limits answers that end soonest go first, those that can't arrive are dropped with a reason, and once exempted the bot answers all", async (t) => {
  const conversation = await SynapseConversation.start(t, server, yaml);
  const { alice, account, bot } = conversation;
  await conversation.exempt(alice.userId);
  const roomId = await conversation.room({ encrypted: true });
  const askAtOnce = (count: number, lifetime: number): Promise<string[]> =>
    Promise.all(Array.from({ length: count }, () => conversation.ask(roomId, lifetime)));

  const short = await askAtOnce(SHORT_ONES, SHORT_MS);
  const long = await askAtOnce(LONG_ONES, LONG_MS);
  const fates = await Promise.all(
    short.map(async (eventId) => {
      const line = await bot.line(
        ({ msg, ...fields }) => fields["eventId"] === eventId && /^answer (sent|dropped)$/.test(msg),
        `${eventId} was answered or dropped`,
      );
      return { eventId, line };
    }),
  );
  const sent = fates.filter(({ line }) => line.msg === "answer sent");
  const dropped = fates.filter(({ line }) => line.msg === "answer dropped");
  assert(sent.length >= 9, `at least the bucket of ten, all but full, was used: ${sent.length}`);
  assert(dropped.length >= 1, "not all of them can have been sent");
  for (const { eventId } of sent) {
    const { status, event } = await alice.waitForResponse(eventId);
    assert.equal(status, "success");
    const asked = await alice.seen(eventId);
    const tookMs = Number(event.wire["origin_server_ts"]) - Number(asked.wire["origin_server_ts"]);
    assert(tookMs <= SHORT_MS, `answered after ${tookMs} ms`);
  }
  for (const { eventId, line } of dropped) {
    assert.equal(line["reason"], "expired");
    assert.deepEqual(alice.responsesTo(eventId), []);
  }
  const firstDrop = Math.min(...dropped.map(({ line }) => bot.lines.indexOf(line)));
  const early = bot.lines
    .slice(0, firstDrop)
    .filter(({ msg, ...fields }) => msg === "answer sent" && long.includes(String(fields["eventId"])));
  assert.deepEqual(early, [], "while those that end sooner can be sent, no other is");

  await conversation.exempt(account.userId);
  for (const eventId of long) assert.equal((await alice.waitForResponse(eventId)).status, "success");
  const more = await askAtOnce(20, 4 * SHORT_MS);
  for (const eventId of more) assert.equal((await alice.waitForResponse(eventId)).status, "success");
});
