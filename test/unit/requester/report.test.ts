/** What is told of a request: in words, and as JSON lines that docs/request.md describes whole. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { EventId, RoomId, UserId } from "../../../src/protocol/ids.ts";
import { exitCodes, inWords, type Answered, type Fact, type Summary } from "../../../src/requester/report.ts";
import { dismissals } from "../../../src/requester/tally.ts";

const BOT = "@docket:a.b" as UserId;
const EVENT = "$e" as EventId;

const answer: Answered = {
  event: "answer",
  counted: true,
  reason: null,
  eventId: EVENT,
  userId: BOT,
  deviceId: "BOT",
  encryptedBy: null,
  status: "success",
  code: null,
  messages: [],
  problem: null,
  ms: 58,
  understood: null,
};
const summary: Summary = {
  event: "summary",
  outcome: "success",
  exitCode: 0,
  eventId: EVENT,
  answers: 1,
  errors: 0,
  expected: 1,
  missing: 0,
  receivedBy: [],
  stopped: false,
  ms: 60,
};
const facts: readonly Fact[] = [
  {
    event: "sent",
    eventId: EVENT,
    roomId: "!r" as RoomId,
    type: "a.b",
    encrypted: true,
    userId: "@ina:a.b" as UserId,
    deviceId: "INA",
    dialect: "stable",
    lifetimeMs: 90_000,
    withheldFrom: 1,
  },
  { event: "received", userId: BOT, ms: 31 },
  answer,
  { event: "unreadable", eventId: EVENT, userId: BOT },
  { event: "refused", status: 403, errcode: "M_FORBIDDEN", problem: "no" },
  summary,
];

describe("in words", () => {
  it("each fact is one line", () => {
    assert.deepEqual(facts.map(inWords), [
      "sent      $e, a.b, encrypted, as @ina:a.b (INA); 1 device can't read it",
      "received  @docket:a.b after 31 ms",
      "answered  @docket:a.b (BOT) after 58 ms: success",
      "warning   what @docket:a.b answered can't be decrypted: its key did not come",
      "refused   no",
      "success   1 of 1 answer after 60 ms",
    ]);
  });

  it("an answer has its code, its messages, what it understands, and why it does not count", () => {
    const said = (more: Partial<Answered>): string | null => inWords({ ...answer, ...more });
    const messages = [
      { type: "error", text: "place is missing" },
      { type: "warning", text: "not encrypted" },
    ] as const;
    assert.match(
      said({ status: "error", code: "invalid_content", messages }) ?? "",
      /: error invalid_content: place is missing; warning: not encrypted$/,
    );
    assert.match(said({ understood: ["a", "b"] }) ?? "", /: success: understands a, b$/);
    assert.match(said({ understood: [] }) ?? "", /understands none of them$/);
    assert.match(
      said({ reason: "late", counted: false }) ?? "",
      /^warning .*\[not counted: it came after the lifetime\]$/,
    );
    assert.match(said({ encryptedBy: "X" }) ?? "", /\(BOT, encrypted by X\)/);
    assert.match(said({ status: null, problem: "x must be y", reason: "malformed" }) ?? "", /: x must be y \[not/);
    assert.equal(said({ reason: "echo" }), null);
  });

  it("nothing of a stranger's words steers a terminal", () => {
    const text = "\u001b[2J\u202egnp\nsuccess";
    const line = inWords({ ...answer, deviceId: text, messages: [{ type: "info", text }] }) ?? "";
    assert.doesNotMatch(line, /[\p{Cc}\u202a-\u202e]/u);
  });

  it("the summary says how it ended", () => {
    const said = (more: Partial<Summary>): string | null => inWords({ ...summary, ...more });
    assert.equal(
      said({ outcome: "error", answers: 2, errors: 1, expected: 2 }),
      "error     2 of 2 answers (1 error) after 60 ms",
    );
    assert.equal(said({ outcome: "too_few", answers: 0, missing: 1 }), "too few   0 of 1 answer within the lifetime");
    assert.equal(
      said({ outcome: "too_few", answers: 0, missing: 1, stopped: true }),
      "too few   0 of 1 answer when stopped",
    );
    assert.equal(said({ outcome: "too_few", eventId: null, stopped: true }), "not sent  stopped before it was");
    assert.match(said({ outcome: "refused", eventId: null }) ?? "", /^not sent  /);
  });
});

describe("docs/request.md", () => {
  const document = readFileSync(join(import.meta.dirname, "../../../docs/request.md"), "utf8");
  const section = (heading: string): string => document.split(/^## /m).find((part) => part.startsWith(heading)) ?? "";
  const firstCells = (text: string): string[] => [...text.matchAll(/^\| `([^`]*)`/gm)].map((match) => match[1] ?? "");

  it("lists the fields of each fact, each of them and no other", () => {
    const described = section("JSON lines")
      .split(/^`(?=\w+`:)/m)
      .slice(1);
    assert.deepEqual(
      described.map((part) => [part.split("`")[0], ...firstCells(part)]),
      facts.map((fact) => [fact.event, ...Object.keys(fact)]),
    );
  });

  it("lists the reasons why an answer does not count, and the exit codes", () => {
    assert.deepEqual(firstCells(section("What counts")), dismissals);
    assert.deepEqual(firstCells(section("Exit codes")), Object.values(exitCodes).map(String));
  });
});
