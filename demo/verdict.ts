/** Compares what came back with what was expected, strictly: one answer, from the bot's device, in the right words, never in the clear. */
import { isDeepStrictEqual } from "node:util";
import type { JsonValue } from "../src/protocol/json.ts";
import type { Ask } from "./scenario.ts";
import { asArray, asObject, RESPONSE_TYPES, type StatusResponse } from "./sender/seenEvent.ts";

export interface Judge {
  readonly botUserId: string;
  readonly botDevice: string;
  readonly encryptedRoom: boolean;
  readonly canary: string;
  /** Whether senders in this room get delivery receipts. */
  readonly receipts: boolean;
}

export interface Verdict {
  readonly ok: boolean;
  /** What came back, in plain words. */
  readonly answer: string;
  /** What is wrong with it; empty when nothing is. */
  readonly problems: readonly string[];
}

/** @param receivedBy whose delivery receipts came back */
export function judge(
  ask: Ask,
  responses: readonly StatusResponse[],
  receivedBy: readonly string[],
  by: Judge,
): Verdict {
  const problems = badReceipts(ask, receivedBy, by);
  const [first] = responses;
  if (ask.expected.kind === "nothing") {
    if (first !== undefined) problems.push("no answer was expected");
  } else if (first === undefined) {
    problems.push("an answer was expected");
  } else {
    if (responses.length > 1) problems.push(`it was answered ${responses.length} times`);
    problems.push(...badForm(ask, first, by), ...badContent(ask, first, by));
  }
  return { ok: problems.length === 0, answer: describe(first), problems };
}

/** What was expected, in plain words. */
export function describeExpected({ expected }: Ask): string {
  if (expected.kind === "nothing") return "no answer";
  if (expected.kind === "understands") return `success, with ${expected.events.length} events that are understood`;
  return expected.kind === "success" ? "success" : `error ${expected.code}, naming ${expected.says}`;
}

function describe(response: StatusResponse | undefined): string {
  if (response === undefined) return "no answer";
  const words = [response.status];
  if (response.code !== null) words.push(response.code);
  const understood = understoodIn(response);
  if (understood.length > 0) words.push(`for ${understood.map((event) => String(asObject(event)["type"])).join(", ")}`);
  const text = response.messages.map((message) => message.text).join("; ");
  const inDialect = response.dialect === "stable" ? "" : ` (${RESPONSE_TYPES[response.dialect]})`;
  return `${words.join(" ")}${text === "" ? "" : `: ${text}`}${inDialect}`;
}

/** A copy of a ciphertext is no event that anybody waits for. */
export function isReceiptDue(ask: Ask, { receipts }: Pick<Judge, "receipts">): boolean {
  return receipts && ask.how !== "replay";
}

function badReceipts(ask: Ask, receivedBy: readonly string[], by: Judge): string[] {
  const due = isReceiptDue(ask, by) ? [by.botUserId] : [];
  if (receivedBy.join() === due.join()) return [];
  if (due.length === 0) return ["a receipt came that nobody should get"];
  return [receivedBy.length === 0 ? "no receipt came" : `receipts came from ${receivedBy.join(", ")}`];
}

function badForm(ask: Ask, response: StatusResponse, by: Judge): string[] {
  const problems: string[] = [];
  const { event } = response;
  if (event.sender !== by.botUserId) problems.push(`it came from ${event.sender}`);
  if (response.dialect !== ask.dialect) problems.push(`its type is ${event.type}, of another dialect than the request`);
  if (event.encrypted !== by.encryptedRoom) {
    problems.push(
      by.encryptedRoom ? "it was sent in the clear in an encrypted room" : "it is encrypted in a plain room",
    );
  }
  if (event.encrypted && event.senderDevice !== by.botDevice) problems.push("another device encrypted it");
  if (response.fromDevice !== by.botDevice) problems.push(`its from_device is ${response.fromDevice}`);
  if (response.dialect === "msc4300") {
    const copy = JSON.stringify(asObject(event.content[RESPONSE_TYPES.stable]));
    const block = JSON.stringify(asObject(event.content[RESPONSE_TYPES.msc4300]));
    if (copy !== block) problems.push("older readers find another value under m.response.status");
  }
  return problems;
}

function understoodIn(response: StatusResponse): readonly JsonValue[] {
  return asArray(asObject(response.event.content["m.response.event_capability"])["events"]);
}

function badContent({ expected }: Ask, response: StatusResponse, by: Judge): string[] {
  const problems: string[] = [];
  const status = expected.kind === "understands" ? "success" : expected.kind;
  if (response.status !== status) problems.push(`its status is ${response.status}, not ${status}`);
  if (expected.kind === "understands" && !isDeepStrictEqual(understoodIn(response), expected.events))
    problems.push("it names other events as understood");
  if (expected.kind === "error") {
    if (response.code !== expected.code)
      problems.push(`its code is ${response.code ?? "missing"}, not ${expected.code}`);
    const named = response.messages.some((message) => message.text.includes(expected.says));
    if (!named) problems.push(`no message names ${expected.says}`);
  }
  if (JSON.stringify(response.event.content).includes(by.canary)) problems.push("it repeats a value from the request");
  return problems;
}
