/** Which answers count, and what they make in the end: the rules alone, without a homeserver. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { RawEvent } from "../../../src/protocol/events.ts";
import type { EventId, UserId } from "../../../src/protocol/ids.ts";
import type { JsonObject } from "../../../src/protocol/json.ts";
import { Tally, type SentRequest, type Sighting } from "../../../src/requester/tally.ts";

const ASKED = "$asked" as EventId;
const BOT = "@docket:a.b" as UserId;
const OWN = "@ina:a.b" as UserId;
const SENT_AT = 1_000_000;

const request = (more: Partial<SentRequest> = {}): SentRequest => ({
  eventId: ASKED,
  encrypted: true,
  ownUser: OWN,
  ownDevice: "INA",
  toDevice: null,
  lifetimeMs: 90_000,
  sentAt: SENT_AT,
  expectation: { answers: 1, from: [] },
  askedTypes: null,
  ...more,
});

interface Said {
  readonly sender?: UserId;
  readonly device?: string | null;
  readonly status?: string;
  readonly type?: string;
  readonly content?: JsonObject;
  readonly outside?: JsonObject;
  readonly encrypted?: boolean;
  readonly encryptedBy?: string | null;
  readonly senderJoined?: boolean;
  readonly afterMs?: number;
}

let number = 0;
function answer(said: Said = {}): Sighting {
  const { sender = BOT, device = "BOTDEVICE", status = "success", encrypted = true } = said;
  const block = { ...(device === null ? {} : { from_device: device }), status };
  const content: JsonObject = said.content ?? {
    "m.relates_to": { rel_type: "m.reference", event_id: ASKED },
    "m.response.status": block,
  };
  number += 1;
  return {
    event: { event_id: `$${number}`, sender, content: said.outside ?? {} } as RawEvent,
    type: said.type ?? "m.response.status",
    content,
    encrypted,
    encryptedBy: said.encryptedBy === undefined ? (encrypted ? device : null) : said.encryptedBy,
    senderJoined: said.senderJoined ?? true,
    readAt: SENT_AT + (said.afterMs ?? 50),
  };
}

const reasonOf = (tally: Tally, said: Said): unknown => tally.see(answer(said))?.dismissed;

describe("an answer", () => {
  it("counts until the last millisecond of the lifetime, and is late after it", () => {
    assert.equal(reasonOf(new Tally(request()), { afterMs: 90_000 }), null);
    assert.equal(reasonOf(new Tally(request()), { afterMs: 90_001 }), "late");
  });

  it("may be younger than we thought: the lifetime begins when the homeserver says the event began, within what can be", () => {
    const tally = new Tally(request());
    tally.beganAt(SENT_AT + 300, SENT_AT + 400);
    assert.equal(tally.endsAt, SENT_AT + 90_300);
    tally.beganAt(SENT_AT - 5_000, SENT_AT + 400);
    assert.equal(tally.endsAt, SENT_AT + 90_000, "not before the first attempt");
    tally.beganAt(SENT_AT + 60_000, SENT_AT + 400);
    assert.equal(tally.endsAt, SENT_AT + 90_400, "not in the future");
  });

  it("must be encrypted where the request was", () => {
    assert.equal(reasonOf(new Tally(request()), { encrypted: false }), "unencrypted");
    assert.equal(reasonOf(new Tally(request({ encrypted: false })), { encrypted: false }), null);
    assert.equal(reasonOf(new Tally(request({ encrypted: false })), { encrypted: true }), null);
  });

  it("is an echo where user and device are our own, by either word, or nothing tells another device", () => {
    const own = { sender: OWN };
    assert.equal(reasonOf(new Tally(request()), { ...own, device: "INA" }), "echo");
    assert.equal(reasonOf(new Tally(request()), { ...own, device: "INA", encryptedBy: "PHONE" }), "echo");
    assert.equal(reasonOf(new Tally(request()), { ...own, device: "PHONE", encryptedBy: "INA" }), "echo");
    assert.equal(reasonOf(new Tally(request()), { ...own, device: null, encryptedBy: null }), "echo");
    assert.equal(reasonOf(new Tally(request()), { ...own, device: "PHONE" }), null);
    assert.equal(reasonOf(new Tally(request()), { device: "INA" }), null, "another user's device may have that name");
  });

  it("is none where it refers to another event, or not by m.reference, or is of another type", () => {
    const tally = new Tally(request());
    const block = { "m.response.status": { from_device: "B", status: "success" } };
    for (const relation of [
      { rel_type: "m.reference", event_id: "$other" },
      { rel_type: "m.thread", event_id: ASKED },
      null,
    ])
      assert.equal(tally.see(answer({ content: { ...block, "m.relates_to": relation } })), null);
    assert.equal(tally.see(answer({ type: "m.room.message" })), null);
  });

  it("may have its relation outside of the encryption alone; where there are both, the encrypted one counts", () => {
    const block = { "m.response.status": { from_device: "B", status: "success" } };
    const to = (eventId: string): JsonObject => ({ "m.relates_to": { rel_type: "m.reference", event_id: eventId } });
    const see = (content: JsonObject, outside: JsonObject): unknown =>
      new Tally(request()).see(answer({ content, outside, encryptedBy: "B" }))?.dismissed;
    assert.equal(see(block, to(ASKED)), null);
    assert.equal(see({ ...block, ...to("$other") }, to(ASKED)), undefined);
    assert.equal(see({ ...block, ...to(ASKED) }, to("$other")), null);
  });

  it("counts once for each device, the encrypting one where it is known; another answer of it is told", () => {
    const tally = new Tally(request({ expectation: { answers: 9, from: [] } }));
    const reasons = [
      {},
      {},
      { status: "error" },
      { device: "FEIGNED", encryptedBy: "BOTDEVICE" },
      { device: "SECOND" },
      { device: null, encryptedBy: "SECOND" },
      { sender: "@other:a.b" as UserId },
    ].map((said) => reasonOf(tally, said));
    assert.deepEqual(reasons, [null, "duplicate", "contradiction", "duplicate", null, "duplicate", null]);
    assert.equal(tally.answers.length, 3);
    assert.equal(tally.outcome, "too_few", "the contradiction changes nothing");
  });

  it("that can't be read does not stand in the way of one that can", () => {
    const tally = new Tally(request());
    assert.equal(reasonOf(tally, { status: "perhaps" }), "malformed");
    assert.equal(reasonOf(tally, {}), null);
  });

  it("counts of joined members, of the device that was asked, and of those who are expected", () => {
    assert.equal(reasonOf(new Tally(request()), { senderJoined: false }), "not_joined");
    const toDevice = new Tally(request({ toDevice: "ASKED" }));
    assert.equal(reasonOf(toDevice, {}), "other_device");
    assert.equal(reasonOf(toDevice, { device: "ASKED", encryptedBy: "ANOTHER" }), "other_device");
    assert.equal(reasonOf(toDevice, { device: "ASKED" }), null);
    const from = new Tally(request({ expectation: { answers: 1, from: ["@b:c" as UserId] } }));
    assert.equal(reasonOf(from, {}), "not_expected");
    assert.equal(reasonOf(from, { sender: "@b:c" as UserId }), null);
  });

  it("about capabilities says which of the types asked about are understood, in their order", () => {
    const said = (events: unknown): JsonObject => ({
      "m.relates_to": { rel_type: "m.reference", event_id: ASKED },
      "m.response.status": { from_device: "B", status: "success" },
      "de.gematik.msc4301.response.event_capability": { events } as JsonObject,
    });
    const see = (events: unknown): unknown =>
      new Tally(request({ askedTypes: ["a", "b", "c"] })).see(answer({ content: said(events), encryptedBy: "B" }))
        ?.understood;
    assert.deepEqual(see([{ type: "c" }, { type: "z" }, { type: "a", content: [] }]), ["a", "c"]);
    assert.deepEqual(see([{ type: "a", content: [{ key: "k", value: "v" }] }, 7]), [], "not all of its events");
    assert.equal(see("all"), null);
    assert.equal(new Tally(request()).see(answer())?.understood, null);
  });
});

describe("the outcome", () => {
  it("is an error as soon as there is one, and success only when nothing is missing", () => {
    const tally = new Tally(request({ expectation: { answers: 2, from: [] } }));
    assert.deepEqual([tally.outcome, tally.missing], ["too_few", 2]);
    tally.see(answer({ device: "A" }));
    assert.deepEqual([tally.outcome, tally.missing], ["too_few", 1]);
    tally.see(answer({ device: "B" }));
    assert.deepEqual([tally.outcome, tally.missing], ["success", 0]);
    tally.see(answer({ device: "C", status: "error" }));
    assert.equal(tally.outcome, "error");
    const alone = new Tally(request({ expectation: { answers: 2, from: [] } }));
    alone.see(answer({ status: "error" }));
    assert.deepEqual([alone.outcome, alone.missing], ["error", 1]);
  });

  it("has somebody missing while one of the expected users is silent, however often others answer", () => {
    const from = ["@a:b", "@c:d"] as UserId[];
    const tally = new Tally(request({ expectation: { answers: 2, from } }));
    for (const device of ["A", "B", "C"]) tally.see(answer({ sender: "@a:b" as UserId, device }));
    assert.deepEqual([tally.missing, tally.outcome], [1, "too_few"]);
    tally.see(answer({ sender: "@c:d" as UserId }));
    assert.equal(tally.missing, 0);
  });
});

describe("a receipt", () => {
  it("is told once for each user, and only of this event", () => {
    const tally = new Tally(request());
    assert.equal(tally.received(ASKED, BOT, SENT_AT + 31), 31);
    assert.equal(tally.received(ASKED, BOT, SENT_AT + 99), null);
    assert.equal(tally.received("$other" as EventId, OWN, SENT_AT + 5), null);
    assert.deepEqual([...tally.receivedBy], [[BOT, 31]]);
  });
});
