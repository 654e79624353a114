/** What must hold after all the kills, told by the server's log, by Alice and by the record: never by the bot's own word. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Sender } from "../../demo/sender/sender.ts";
import { asObject, readMessageIndex } from "../../demo/sender/seenEvent.ts";
import type { DevServer, SignedIn } from "../../devserver/server.ts";
import type { JsonObject } from "../../src/protocol/json.ts";
import type { RecordEntry } from "../../src/record/record.ts";
import type { Asked } from "./crashTraffic.ts";
import { olmMessagePlace } from "./olmMessageIndex.ts";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

export interface Trial {
  readonly server: DevServer;
  readonly account: SignedIn;
  readonly alice: Sender;
  readonly asked: ReadonlyMap<string, Asked>;
  readonly rooms: readonly string[];
}

/** Every ciphertext that ever left the bot, whether it had an effect or not. @returns how many Megolm messages there were */
export function noIndexTwice({ server, account }: Trial): { messages: number; sessions: number } {
  const seen = new Map<string, string>();
  const sessions = new Set<string>();
  for (const { body } of server.requests({ path: /\/send\//, userId: account.userId })) {
    const content = asObject(body);
    assert.equal(content["algorithm"], "m.megolm.v1.aes-sha2", "nothing leaves in the clear");
    const index = readMessageIndex(String(content["ciphertext"]));
    assert.notEqual(index, null);
    sessions.add(String(content["session_id"]));
    once(seen, `${String(content["session_id"])} ${index}`, String(content["ciphertext"]));
  }
  return { messages: seen.size, sessions: sessions.size };
}

/** The same for the to-device messages that carry room keys. @returns how many there were */
export function noOlmPlaceTwice({ server, account }: Trial): number {
  const seen = new Map<string, string>();
  for (const { body } of server.requests({ path: /\/sendToDevice\//, userId: account.userId })) {
    for (const devices of Object.values(asObject(asObject(body)["messages"]))) {
      for (const content of Object.values(asObject(devices))) {
        for (const message of Object.values(asObject(asObject(content)["ciphertext"])).map(asObject)) {
          const text = String(message["body"]);
          once(seen, olmMessagePlace(Number(message["type"]), text), text);
        }
      }
    }
  }
  return seen.size;
}

function once(seen: Map<string, string>, place: string, ciphertext: string): void {
  const before = seen.get(place);
  assert.ok(before === undefined || before === ciphertext, `two messages were encrypted at ${place}`);
  seen.set(place, ciphertext);
}

/** Every identity that the bot ever uploaded, or tried to. */
export function oneIdentity({ server, account }: Trial): void {
  const uploads = server.requests({ path: /\/keys\/upload$/, userId: account.userId });
  const identities = uploads.map(({ body }) => asObject(body)["device_keys"]).filter((keys) => keys !== undefined);
  const distinct = new Set(identities.map((keys) => JSON.stringify(sorted(asObject(asObject(keys)["keys"])))));
  assert.equal(distinct.size, 1, "the bot has one device identity");
  const [identity] = distinct;
  const published = server.deviceKeys(account.userId, account.deviceId);
  assert.equal(JSON.stringify(sorted(asObject(published?.["keys"]))), identity);
}

function sorted(object: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Every request has one answer on the server, which Alice reads as a success, each room one notice, and nothing else was said. */
export function oneAnswerEach({ server, account, alice, asked, rooms }: Trial): void {
  const answers = new Map<string, string[]>();
  const notices = new Map<string, number>();
  const said = rooms.flatMap((roomId) => server.eventsIn(roomId)).filter(({ sender }) => sender === account.userId);
  for (const event of said) {
    if (event.type === "m.room.member") continue;
    assert.equal(event.type, "m.room.encrypted");
    const read = alice.events.get(String(event.eventId));
    if (read?.content["msgtype"] === "m.notice") {
      notices.set(read.roomId, (notices.get(read.roomId) ?? 0) + 1);
      continue;
    }
    // The relation stays outside of the ciphertext.
    const to = String(asObject(event.content["m.relates_to"])["event_id"]);
    answers.set(to, [...(answers.get(to) ?? []), String(event.eventId)]);
    assert.equal(read?.undecryptable, null, "Alice can read every answer");
  }
  for (const roomId of rooms) assert.equal(notices.get(roomId), 1, `notices in ${roomId}`);
  for (const { eventId, number } of asked.values()) {
    assert.equal(answers.get(eventId)?.length ?? 0, 1, `answers to request ${number} (${eventId})`);
    answers.delete(eventId);
    const [response, ...more] = alice.responsesTo(eventId);
    assert.deepEqual(more, []);
    assert.equal(response?.status, "success");
    assert.equal(response.event.sender, account.userId);
  }
  assert.deepEqual([...answers.keys()], [], "answers to what nobody asked");
  const transactions = new Map<string, Set<string | null>>();
  for (const { body, txnId } of server.requests({ path: /\/send\//, userId: account.userId })) {
    const to = String(asObject(asObject(body)["m.relates_to"])["event_id"]);
    // Notices refer to nothing, and each has its own.
    if (to === "undefined") continue;
    transactions.set(to, (transactions.get(to) ?? new Set()).add(txnId));
  }
  for (const [to, ids] of transactions) assert.equal(ids.size, 1, `transaction IDs of the answer to ${to}`);
}

/** Every request got its receipt, which went to its sender, and what the bot said itself got none. */
export function receiptForEach({ server, account, asked }: Trial): void {
  const receipts = new Map(server.receipts().map((receipt) => [receipt.eventId, receipt]));
  for (const { eventId, number } of asked.values())
    assert.equal(receipts.get(eventId)?.userId, account.userId, `the receipt for request ${number}`);
  for (const { path } of server.requests({ path: /\/receipt\//, userId: account.userId })) {
    const to = server.events().find(({ eventId }) => eventId === decodeURIComponent(path.split("/").at(-1) ?? ""));
    assert.notEqual(to?.sender, account.userId);
  }
}

/** Each request stands in the record once, in the clear, and so does each answer. @returns the number of entries */
export async function allRecordedOnce({ server, rooms, account, asked }: Trial, config: string): Promise<number> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [MAIN, "record", "list", "--json", "--config", config],
    {
      timeout: 60_000,
      maxBuffer: 256 * 1024 * 1024,
    },
  );
  const entries = stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as RecordEntry);
  const byEvent = new Map(entries.map((entry) => [String(entry.original.event_id), entry]));
  assert.equal(byEvent.size, entries.length, "an event has one entry");
  for (const { eventId, number } of asked.values()) {
    const clear = byEvent.get(eventId)?.clear;
    assert.equal(clear?.kind, "clear", `request ${number} is recorded in the clear`);
    assert.equal(clear.content["number"], number);
  }
  for (const roomId of rooms) {
    const events = server.eventsIn(roomId);
    const join = events.findIndex(({ sender, type }) => sender === account.userId && type === "m.room.member");
    for (const { eventId } of events.slice(join))
      assert.ok(byEvent.has(String(eventId)), `${String(eventId)} is recorded`);
  }
  return entries.length;
}
