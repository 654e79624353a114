/** What is said about a request while it is under way and at its end: one list of facts, as words for people and as JSON for programs. Pure. */
import type { Dialect } from "../protocol/dialects.ts";
import type { EventId, RoomId, UserId } from "../protocol/ids.ts";
import { printable } from "../protocol/printable.ts";
import type { Answer, Dismissal, Outcome } from "./tally.ts";

/** docs/request.md lists them; a test holds the list to what the command prints. */
export type Fact = Sent | Received | Answered | Unreadable | Refused | Summary;

export interface Sent {
  readonly event: "sent";
  readonly eventId: EventId;
  readonly roomId: RoomId;
  readonly type: string;
  readonly encrypted: boolean;
  readonly userId: UserId;
  readonly deviceId: string;
  readonly dialect: Dialect;
  readonly lifetimeMs: number;
  /** Devices that were given no key, and so can't read it. */
  readonly withheldFrom: number;
}

export interface Received {
  readonly event: "received";
  readonly userId: UserId;
  readonly ms: number;
}

export interface Answered extends Omit<Answer, "dismissed"> {
  readonly event: "answer";
  readonly counted: boolean;
  /** Why it does not count; null where it does. */
  readonly reason: Dismissal | null;
}

/** An answer, by its relation, whose key never came. */
export interface Unreadable {
  readonly event: "unreadable";
  readonly eventId: EventId;
  readonly userId: UserId;
}

export interface Refused {
  readonly event: "refused";
  /** HTTP status and Matrix error code; null where nothing was asked for that could be refused. */
  readonly status: number | null;
  readonly errcode: string | null;
  readonly problem: string;
}

export interface Summary {
  readonly event: "summary";
  readonly outcome: Outcome | "refused";
  readonly exitCode: 0 | 1 | 2 | 3;
  readonly eventId: EventId | null;
  /** Answers that count. */
  readonly answers: number;
  readonly errors: number;
  readonly expected: number;
  readonly missing: number;
  readonly receivedBy: readonly UserId[];
  /** Told to stop before the answers were there and the lifetime over. */
  readonly stopped: boolean;
  /** Since the request was sent; null where it was not. */
  readonly ms: number | null;
}

export const exitCodes = { success: 0, error: 1, too_few: 2, refused: 3 } as const satisfies Record<
  Summary["outcome"],
  Summary["exitCode"]
>;

const DISMISSED: Readonly<Record<Dismissal, string>> = {
  echo: "an echo of this device",
  unencrypted: "it came unencrypted, and the request was encrypted: anybody on the way may have written it",
  not_joined: "its sender is not in the room",
  late: "it came after the lifetime",
  malformed: "it can't be read",
  other_device: "another device was asked",
  not_expected: "nobody expected it of this user",
  duplicate: "this device has answered already",
  contradiction: "this device has answered something else before",
};

const COLUMN = 10;

/** A line without its end; null where there is nothing to say. */
export function inWords(fact: Fact): string | null {
  switch (fact.event) {
    case "sent": {
      const how = fact.encrypted ? "encrypted" : "unencrypted";
      const withheld =
        fact.withheldFrom === 0
          ? ""
          : `; ${fact.withheldFrom} ${fact.withheldFrom === 1 ? "device" : "devices"} can't read it`;
      return line("sent", `${fact.eventId}, ${fact.type}, ${how}, as ${fact.userId} (${fact.deviceId})${withheld}`);
    }
    case "received":
      return line("received", `${fact.userId} after ${fact.ms} ms`);
    case "answer":
      return answerInWords(fact);
    case "unreadable":
      return line("warning", `what ${fact.userId} answered can't be decrypted: its key did not come`);
    case "refused":
      return line("refused", fact.problem);
    case "summary":
      return summaryInWords(fact);
  }
}

function answerInWords(answer: Answered): string | null {
  if (answer.reason === "echo") return null;
  const device =
    answer.deviceId === null
      ? ""
      : ` (${answer.deviceId}${answer.encryptedBy === null ? "" : `, encrypted by ${answer.encryptedBy}`})`;
  const status = answer.status === null ? (answer.problem ?? "") : statusInWords(answer);
  const not = answer.reason === null ? "" : ` [not counted: ${DISMISSED[answer.reason]}]`;
  return line(
    answer.reason === null ? "answered" : "warning",
    `${answer.userId}${device} after ${answer.ms} ms: ${status}${not}`,
  );
}

function statusInWords({ status, code, messages, understood }: Answered): string {
  const reason = code === null ? "" : ` ${code}`;
  const words = messages.map(({ type, text }) => (type === "error" ? text : `${type}: ${text}`));
  if (understood !== null)
    words.unshift(understood.length === 0 ? "understands none of them" : `understands ${understood.join(", ")}`);
  return `${status ?? ""}${reason}${words.length === 0 ? "" : `: ${words.join("; ")}`}`;
}

function summaryInWords(summary: Summary): string {
  if (summary.outcome === "refused") return line("not sent", "the homeserver does not take it");
  if (summary.eventId === null) return line("not sent", "stopped before it was");
  const count = `${summary.answers} of ${summary.expected} ${summary.expected === 1 ? "answer" : "answers"}`;
  const errors = summary.errors === 0 ? "" : ` (${summary.errors} ${summary.errors === 1 ? "error" : "errors"})`;
  const when = summary.stopped
    ? "when stopped"
    : summary.missing > 0
      ? "within the lifetime"
      : `after ${summary.ms ?? 0} ms`;
  return line(
    summary.outcome === "success" ? "success" : summary.outcome === "error" ? "error" : "too few",
    `${count}${errors} ${when}`,
  );
}

/** Identifiers and messages come from strangers. */
function line(word: string, rest: string): string {
  return printable(`${word.padEnd(COLUMN)}${rest}`);
}
