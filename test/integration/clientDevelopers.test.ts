/**
 * docs/client-developers.md shows what is really exchanged: each of its JSON blocks is what a bot and a sender of its own just said to
 * each other. With DOCKET_UPDATE_DOCS=1 the document is rewritten instead of compared.
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { dialects, dialectNames } from "../../src/protocol/dialects.ts";
import type { JsonObject } from "../../src/protocol/json.ts";
import { reasonCodes, type ReasonCode } from "../../src/protocol/responses.ts";
import { startConversation } from "../support/conversation.ts";
import { Exchanges } from "../support/exchanges.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";

const FILE = join(import.meta.dirname, "../../docs/client-developers.md");
const REPORT = "org.example.report";
const QUESTION = "m.request.event_capability";
const STATUS = dialects.stable.requestBlock;

/** The pattern keeps the check busy for longer than it is given. */
const SCHEMA = {
  type: "object",
  properties: { place: { type: "string" }, note: { type: "string", pattern: "^(a+)+$" } },
  required: ["place"],
};
const report = { place: "Bridge Street 3" };

/** A margin so long that a request can be too late for a handler and still be answered, however slow the machine is. */
const yaml = (schema: string, plain: "warn" | "refuse"): string => `
invites:
  accept: ["@alice:localhost"]
  decline: Ask records@example.org.
  notice: I keep a record of this room for Example Hospital.
encryption: { plain_in_encrypted_room: ${plain} }
responses: { send_margin: 30s }
handlers:
  - types: [${REPORT}]
    steps: [validate: ${schema}, archive]
  - types: [m.room.message]
    match: [{ key: msgtype, value: m.text }]
    steps: [acknowledge: { message: Thank you. }]
`;

test("the document for those who build clients shows what is really exchanged, every kind of answer included", async (t) => {
  const schema = join(temporaryDirectory(t), "report.json");
  writeFileSync(schema, JSON.stringify(SCHEMA));
  const conversation = await startConversation(t, { deviceId: "docketbot", bot: { yaml: yaml(schema, "warn") } });
  const { server, account, alice, room, restart } = conversation;
  const shown = new Exchanges();
  shown.name(alice.deviceId, "ALICEDEVICE");
  const roomId = await room({ encrypted: true });
  shown.name(roomId, "!room:example.org");
  const block: JsonObject = { from_device: alice.deviceId, lifetime: 90_000 };

  /** Sends, waits for the answer, and keeps both. */
  async function exchange(name: string, type: string, content: JsonObject, encrypted = true) {
    const requestId = await alice.send(roomId, type, content, { encrypted });
    const { event, code } = await alice.waitForResponse(requestId, 60_000);
    shown.name(requestId, `$${name}-request`);
    shown.name(event.eventId, `$${name}-answer`);
    shown.addClear(`${name}-request`, await alice.seen(requestId));
    shown.addClear(`${name}-answer`, event);
    return { requestId, answerId: event.eventId, code };
  }

  const isNotice = (content: JsonObject): boolean => content["msgtype"] === "m.notice";
  const notice = await alice.waitFor(
    () => [...alice.events.values()].find(({ content }) => isNotice(content)),
    20_000,
    "the notice",
  );
  shown.name(notice.eventId, "$notice");
  shown.addClear("join-notice", notice);

  const stable = await exchange("stable", REPORT, { ...report, [STATUS]: block });
  for (const dialect of dialectNames.filter((name) => name !== "stable"))
    await exchange(dialect, REPORT, { ...report, [dialects[dialect].requestBlock]: block });
  const wire = server.eventsIn(roomId).find(({ eventId }) => eventId === stable.answerId);
  assert.ok(wire !== undefined);
  shown.add("encrypted-answer", { type: wire.type, sender: wire.sender, content: wire.content });
  const { type: receiptType, userId, ts } = await alice.waitForReceipt(stable.requestId);
  shown.add("receipt", { type: "m.receipt", content: { [stable.requestId]: { [receiptType]: { [userId]: { ts } } } } });

  const message = { msgtype: "m.text", body: "Are you there?" };
  await exchange("message", "m.room.message", { ...message, [STATUS]: { ...block, to_device: account.deviceId } });
  await exchange("warning", REPORT, { ...report, [STATUS]: block }, false);
  const events = [
    { type: REPORT },
    { type: "m.room.message", content: [{ key: "msgtype", value: "m.text" }] },
    { type: "m.room.message", content: [{ key: "msgtype", value: "m.image" }] },
  ];
  await exchange("capabilities", QUESTION, { [STATUS]: block, [QUESTION]: { events } });
  await conversation.bot.line(({ msg }) => /^capabilities are published/.test(msg), "capabilities were published");
  const field = `de.gematik.msc4401.client_capability.${account.deviceId}`;
  shown.add("profile-field", { [field]: await alice.profileField(account.userId, field) });

  const note = `${"a".repeat(40)}!`;
  const failing: Readonly<Record<ReasonCode, readonly [type: string, content: JsonObject]>> = {
    malformed_request: [REPORT, { ...report, [STATUS]: { lifetime: "90s" } }],
    unknown_type: ["org.example.other", { [STATUS]: block }],
    invalid_content: [REPORT, { [STATUS]: block }],
    handler_failed: [REPORT, { ...report, note, [STATUS]: block }],
    timed_out: [REPORT, { ...report, [STATUS]: { ...block, lifetime: 55_000 } }],
    not_encrypted: [REPORT, { ...report, [STATUS]: block }],
  };
  for (const expected of reasonCodes) {
    const plain = expected === "not_encrypted";
    if (plain) {
      assert.equal(await conversation.bot.stop(), 0);
      await restart({ yaml: yaml(schema, "refuse") });
    }
    const { code } = await exchange(expected, ...failing[expected], !plain);
    assert.equal(code, expected);
  }

  const open = await alice.createRoom({ preset: "public_chat", invite: [account.userId] });
  await server.waitFor(() => server.membership(open, account.userId) === "leave", 20_000, "the refusal");
  const content = server.state(open, "m.room.member", account.userId);
  shown.add("declined-invitation", { type: "m.room.member", state_key: account.userId, content });
  assert.equal(await conversation.bot.stop(), 0);

  const document = readFileSync(FILE, "utf8");
  assert.deepEqual(Exchanges.namesIn(document).toSorted(), shown.names.toSorted(), "each exchange stands there once");
  const now = shown.fill(document);
  if (process.env["DOCKET_UPDATE_DOCS"] === "1") writeFileSync(FILE, now);
  else assert.equal(document, now, "run this test with DOCKET_UPDATE_DOCS=1 to rewrite the document");
});
