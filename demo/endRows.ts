/** The last rows: how the bot stopped, and what the sender found when nothing could come any more. */
import type { ChildEnd } from "./child.ts";
import type { FromSender, Row } from "./wire.ts";

export function describeEnd(end: ChildEnd): string {
  return end.signal === null ? `exit code ${end.exitCode}` : `signal ${end.signal}`;
}

export function stopRow(end: ChildEnd): Row {
  const answer = describeEnd(end);
  const ok = end.exitCode === 0;
  const asked = "to stop (SIGTERM)";
  return {
    ok,
    where: "bot",
    asked,
    answer,
    expected: "exit code 0",
    problems: [],
    tookMs: null,
    receivedBy: [],
    eventId: null,
  };
}

export function lastLookRow(look: Extract<FromSender, { kind: "last look" }>): Row {
  const counted = `${look.answers} answers${look.receipts === null ? "" : ` and ${look.receipts} receipts`}`;
  return {
    ok: look.problems.length === 0,
    where: "bot",
    asked: "after its stop: all answers once more",
    answer: `${counted}${look.problems.length === 0 ? ", none twice" : ""}`,
    expected: `one answer${look.receipts === null ? "" : " and one receipt"} where one was due, none elsewhere`,
    problems: look.problems,
    tookMs: null,
    receivedBy: [],
    eventId: null,
  };
}
