/** Whom the bot trusts, and who trusts it: requests from unsigned devices, answers to them, and keys that are withheld. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import type { Sender } from "../../demo/sender/sender.ts";
import type { JsonObject } from "../../src/protocol/json.ts";
import type { RecordEntry } from "../../src/record/record.ts";
import { DEFAULT_YAML, writeConfig } from "../support/botProcess.ts";
import { startConversation, type Conversation } from "../support/conversation.ts";
import { docket } from "../support/docketCommand.ts";
import { examine } from "../support/doctorReport.ts";

const REPORT = "org.example.report";
const request = (from: Sender, more: JsonObject = {}): JsonObject => ({
  "m.request.status": { from_device: from.deviceId, lifetime: 90_000, ...more },
});

async function recorded({ directory }: Conversation, eventId: string): Promise<RecordEntry> {
  const shown = await docket("record", "show", eventId, "--config", join(directory, "config.yaml"));
  assert.equal(shown.code, 0, shown.stderr);
  return JSON.parse(shown.stdout) as RecordEntry;
}

async function metric({ bot }: Conversation, line: string): Promise<string | undefined> {
  const text = await (await fetch(`${await bot.operationsUrl()}/metrics`)).text();
  return text.split("\n").find((candidate) => candidate.startsWith(line));
}

/** A room of this sender, in which the bot is. */
async function roomOf({ account }: Conversation, sender: Sender, others: readonly string[] = []): Promise<string> {
  const roomId = await sender.createRoom({ encrypted: true, invite: [account.userId, ...others] });
  await sender.waitForJoin(roomId, account.userId);
  await sender.waitForDevice(account.userId, account.deviceId);
  return roomId;
}

test("with decrypt_from: cross_signed a request waits until its sender's device is signed, and the record has it from the start", async (t) => {
  const yaml = `${DEFAULT_YAML}encryption:\n  decrypt_from: cross_signed\n`;
  const here = await startConversation(t, { bot: { yaml } });
  const { alice, bot } = here;
  const bob = await here.sender("bob", { identity: "none" });
  const roomId = await roomOf(here, bob, [alice.userId]);
  await alice.join(roomId);

  const early = await bob.send(roomId, REPORT, request(bob));
  const parked = await bot.line(({ eventId }) => eventId === early, "it was parked");
  assert.deepEqual([parked.msg, parked["reason"]], ["parked: its sender's device is not cross-signed", "untrusted"]);
  const before = await recorded(here, early);
  assert.ok(before.clear.kind === "clear");
  assert.deepEqual(before.clear.content, request(bob));
  assert.equal(before.clear.trust.level, "unsigned_device");
  // Hers is the first event of all that the bot sees of her: her devices are not known yet either.
  const hers = await alice.send(roomId, REPORT, request(alice));
  assert.equal((await alice.waitForResponse(hers)).status, "success");
  const { finding } = await examine(here.directory);
  assert.match(finding("untrusted").found, /^1 event of 1 sender waits, .*not cross-signed/);
  assert.deepEqual(bob.responsesTo(early), []);

  await bob.crypto.makeIdentity();
  assert.equal((await bob.waitForResponse(early)).status, "success");
  const after = await recorded(here, early);
  assert.deepEqual(
    after.findings.map(({ trust }) => trust?.level),
    ["cross_signed"],
  );
  assert.deepEqual({ ...after, findings: [] }, { ...before, findings: [] }, "the entry stays as it was");
});

test("an answer says that its request came from an unsigned device, if the operator wants so, and not to those whose device is signed", async (t) => {
  const yaml = `${DEFAULT_YAML}encryption:\n  send_to: all\nresponses:\n  warn_untrusted: true\n`;
  const here = await startConversation(t, { bot: { yaml } });
  const { alice } = here;
  const bob = await here.sender("bob", { identity: "none" });
  const roomId = await roomOf(here, bob, [alice.userId]);
  await alice.join(roomId);
  const said = async (from: Sender, type: string) => {
    const response = await from.waitForResponse(await from.send(roomId, type, request(from)));
    return [response.status, ...response.messages.map((message) => message.type)];
  };
  assert.deepEqual(await said(bob, REPORT), ["success", "warning"]);
  assert.deepEqual(await said(bob, "org.example.unknown"), ["error", "warning", "error"]);
  assert.deepEqual(await said(alice, "org.example.unknown"), ["error", "error"]);
  assert.deepEqual(await said(alice, REPORT), ["success"]);
});

test("by default only signed devices can read an answer, which the doctor says; a reload gives the next one to all", async (t) => {
  const here = await startConversation(t);
  const { alice, server, account, directory } = here;
  const bob = await here.sender("bob", { identity: "none" });
  const roomId = await roomOf(here, alice, [bob.userId]);
  await bob.join(roomId);
  const answerTo = async (from: Sender): Promise<string> =>
    (await alice.waitForResponse(await from.send(roomId, REPORT, request(from)))).event.eventId;

  const first = await answerTo(bob);
  assert.notEqual((await bob.seen(first)).undecryptable, null);
  const { finding } = await examine(directory);
  const unreadable = finding("unread_answers");
  assert.equal(unreadable.state, "warning");
  assert.match(unreadable.found, new RegExp(`can't be read by them: ${bob.userId}\\.$`));
  assert.match(unreadable.details[0]?.found ?? "", /has no cross-signed device/);
  assert.match((await metric(here, "docket_room_keys_withheld_total")) ?? "", / 1$/);

  writeConfig({ homeserver: server.url, ...account, directory, yaml: `${DEFAULT_YAML}encryption: { send_to: all }\n` });
  assert.equal((await docket("reload", "--config", join(directory, "config.yaml"))).code, 0);
  const second = await answerTo(bob);
  assert.equal((await bob.seen(second)).undecryptable, null);
  assert.equal((await examine(directory)).finding("unread_answers").state, "ok");

  writeConfig({ homeserver: server.url, ...account, directory });
  assert.equal((await docket("reload", "--config", join(directory, "config.yaml"))).code, 0);
  const third = await answerTo(bob);
  assert.notEqual((await bob.seen(third)).undecryptable, null, "the key that he has is not used any more");
});

test("keys that are withheld from an unsigned bot are told by the doctor, the metrics and the record", async (t) => {
  const here = await startConversation(t, { bot: { accountYaml: "  create_identity: false\n" } });
  const { alice, bot } = here;
  alice.crypto.onlyToSigned = true;
  const roomId = await roomOf(here, alice);
  const eventId = await alice.send(roomId, REPORT, request(alice));
  await bot.line((line) => line["eventId"] === eventId && line["reason"] === "withheld", "the notice was seen");
  const finding = (await examine(here.directory)).finding("withheld_keys");
  assert.equal(finding.state, "warning");
  assert.equal(
    finding.found,
    "Keys were withheld from this device because it is unverified (m.unverified): 1 event of 1 sender.",
  );
  assert.match((await metric(here, 'docket_room_keys_refused_total{code="m.unverified"}')) ?? "", / 1$/);
  const { clear, findings } = await recorded(here, eventId);
  const found = [clear, ...findings].at(-1) as { reason?: string; withheldCode?: string };
  assert.deepEqual([found.reason, found.withheldCode], ["withheld", "m.unverified"]);
});
