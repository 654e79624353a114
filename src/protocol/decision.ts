/**
 * The decision list: what the bot owes to an event, before any handler runs. Pure: the caller brings the time and all facts,
 * and asks again whenever time has passed (when the event arrives, before its handler starts); the last check, after
 * encryption and before the response leaves, is `lastMomentToStart`.
 *
 * The order matters:
 *
 *   own event, response, replay, redacted      -> silence
 *   no request                                 -> the handler runs, nobody is answered
 *   for another device                         -> silence, even where the rest of the block is wrong: it is not ours to judge
 *   past its end, or too near to it            -> silence, even for a malformed request
 *   malformed                                  -> error, within the default lifetime
 *   no handler, and the operator wants silence -> silence
 *   not encrypted in an encrypted room, refused-> error
 *   no handler                                 -> error
 *   too late for a handler                     -> error (timed out)
 *   else                                       -> the handler runs, and its verdict is the answer
 */
import type { EpochMs } from "../clock.ts";
import type { Dialect } from "./dialects.ts";
import { boundText } from "./extensibleText.ts";
import type { DeviceId, UserId } from "./ids.ts";
import type { JsonObject } from "./json.ts";
import { readRequest } from "./requests.ts";
import { isResponseType, type Message, type ReasonCode } from "./responses.ts";

/** The operator's choices (`responses` and `encryption` in the configuration). */
export interface AnswerPolicy {
  /** Dialects that are understood, in order of preference. */
  readonly dialects: readonly Dialect[];
  readonly defaultLifetimeMs: number;
  readonly maxLifetimeMs: number;
  /** No attempt to send starts later than this before the end of the lifetime, in milliseconds. */
  readonly sendMarginMs: number;
  /** What to say about types without a handler: an error; an error only where `to_device` is ours; or nothing. */
  readonly unknownTypes: "error" | "addressed" | "ignore";
  readonly plainInEncryptedRoom: "accept" | "warn" | "refuse";
  /** Whether an answer says that its request came from a device that is not trusted. */
  readonly warnUntrusted: boolean;
}

export interface DecisionInput {
  readonly event: {
    /** Type and content after decryption. The outer ones of an encrypted event never come here. */
    readonly type: string;
    readonly sender: UserId;
    readonly content: JsonObject;
    readonly originServerTs: EpochMs;
    /** Whether it came encrypted. */
    readonly encrypted: boolean;
    /** Whether the device that encrypted it is trusted; false too for what came unencrypted. */
    readonly trusted: boolean;
  };
  /** The bot. */
  readonly own: { readonly userId: UserId; readonly deviceId: DeviceId };
  /** By the local clock. */
  readonly receivedAt: EpochMs;
  readonly now: EpochMs;
  /** Whether the room was ever seen encrypted. */
  readonly roomEncrypted: boolean;
  /** The same ciphertext (room, session, message index) came before under another event ID. */
  readonly replay: boolean;
  /** Redacted before its turn. */
  readonly redacted: boolean;
  readonly policy: AnswerPolicy;
  /** Whether a handler is registered for the type. */
  readonly hasHandler: boolean;
}

/** Why an event gets neither answer nor handler; each is counted in a metric. */
export const noAnswerReasons = [
  "own_event",
  "response",
  "replay",
  "redacted",
  "no_handler",
  "other_device",
  "expired",
  "no_time_left",
  "unknown_type_ignored",
] as const;
export type NoAnswerReason = (typeof noAnswerReasons)[number];

/** An answer that needs no handler. */
export interface AnswerDecision {
  readonly kind: "answer";
  readonly dialect: Dialect;
  readonly status: "error";
  readonly code: ReasonCode;
  readonly messages: readonly Message[];
  readonly expiresAt: EpochMs;
  /** The device that asked, by its own account; null where the request does not say. */
  readonly fromDevice: string | null;
}

/** What a handler's verdict is wanted for. */
export interface PendingRequest {
  readonly dialect: Dialect;
  readonly expiresAt: EpochMs;
  /** When the handler is cancelled so that an `error` (`timed_out`) can still arrive. */
  readonly handlerDeadline: EpochMs;
  /** The device that asked, by its own account: to be compared with the device that encrypted the event. */
  readonly fromDevice: string;
  /** To be put before the handler's own messages. */
  readonly warnings: readonly Message[];
}

export type Decision =
  | { readonly kind: "ignore"; readonly reason: NoAnswerReason }
  | AnswerDecision
  /** `request` is null where nobody asked. */
  | { readonly kind: "handle"; readonly request: PendingRequest | null };

/** Decides. Never throws, whatever the content is. */
export function decide(input: DecisionInput): Decision {
  const { event, own, policy, now } = input;

  // Before anything is read from the content: an own event or a response that contains a request block would otherwise let two
  // bots answer each other for ever. This holds for all dialects, also those that are switched off.
  if (event.sender === own.userId) return ignore("own_event");
  if (isResponseType(event.type)) return ignore("response");
  if (input.replay) return ignore("replay");
  if (input.redacted) return ignore("redacted");

  const reading = readRequest(event.content, policy.dialects);
  if (reading.kind === "none") return input.hasHandler ? { kind: "handle", request: null } : ignore("no_handler");

  const { dialect } = reading;
  const asked = reading.kind === "request" ? reading.request : reading;
  if (asked.toDevice !== null && asked.toDevice !== own.deviceId) return ignore("other_device");

  const lifetimeMs = reading.kind === "request" ? asked.lifetimeMs : malformedLifetime(asked.lifetimeMs, policy);
  const end = expiresAt({ originServerTs: event.originServerTs, receivedAt: input.receivedAt, lifetimeMs, policy });
  if (now > end) return ignore("expired");
  // Not past its end, but no attempt to answer may start any more, so that nobody would learn what a handler did.
  if (now > lastMomentToStart(end, policy.sendMarginMs)) return ignore("no_time_left");

  const plain = !event.encrypted && input.roomEncrypted;
  const warnings = warningsFor(input);
  const error = (code: ReasonCode, ...texts: readonly string[]): AnswerDecision => ({
    kind: "answer",
    dialect,
    status: "error",
    code,
    messages: [...warnings, ...texts.map((text): Message => ({ type: "error", text }))],
    expiresAt: end,
    fromDevice: asked.fromDevice,
  });

  if (reading.kind === "malformed") return error("malformed_request", ...reading.problems);

  // Silence about types that are not ours comes before the refusal of plain requests: an operator who wants several bots in a
  // room to leave each other's types alone wants no refusal for them either. The refusal comes before the error about the type:
  // it is what the sender has to change first.
  const silent = policy.unknownTypes === "ignore" || (policy.unknownTypes === "addressed" && asked.toDevice === null);
  if (!input.hasHandler && silent) return ignore("unknown_type_ignored");
  // State events can't be encrypted and are judged like others: in an encrypted room a server could forge either.
  if (plain && policy.plainInEncryptedRoom === "refuse") return error("not_encrypted", plainRefusal);
  if (!input.hasHandler) return error("unknown_type", `Unknown event type ${boundText(event.type, longestTypeBytes)}`);

  const handlerDeadline = end - 2 * policy.sendMarginMs;
  if (now >= handlerDeadline) return error("timed_out", timedOutText);
  return {
    kind: "handle",
    request: { dialect, expiresAt: end, handlerDeadline, fromDevice: reading.request.fromDevice, warnings },
  };
}

/** What is said before all else about the way in which a request came; of the moment, as `decide` is. */
export function warningsFor({
  event,
  policy,
  roomEncrypted,
}: Pick<DecisionInput, "event" | "policy" | "roomEncrypted">): readonly Message[] {
  if (!event.encrypted) return roomEncrypted && policy.plainInEncryptedRoom === "warn" ? [plainWarning] : [];
  return !event.trusted && policy.warnUntrusted ? [untrustedWarning] : [];
}

/**
 * When a request ends, by the local clock: a time from the future gains nothing.
 * @param timing `lifetimeMs` as the request says, null where it leaves it open
 * @returns milliseconds since the Unix epoch; the last millisecond in which an answer may still be under way
 */
export function expiresAt(timing: {
  readonly originServerTs: EpochMs;
  readonly receivedAt: EpochMs;
  readonly lifetimeMs: number | null;
  readonly policy: Pick<AnswerPolicy, "defaultLifetimeMs" | "maxLifetimeMs">;
}): EpochMs {
  const { originServerTs, receivedAt, lifetimeMs, policy } = timing;
  return Math.min(originServerTs, receivedAt) + Math.min(lifetimeMs ?? policy.defaultLifetimeMs, policy.maxLifetimeMs);
}

/** The last moment at which an attempt to send a response may start; a doubtful attempt is not repeated after it. */
export function lastMomentToStart(end: EpochMs, sendMarginMs: number): EpochMs {
  return end - sendMarginMs;
}

/** What is said when the handler has not finished in time. Not "not recorded": nobody knows that. */
export const timedOutText = "Not confirmed in time";

/** Within the default lifetime; but a readable lifetime that is shorter is kept: the sender listens no longer than that. */
function malformedLifetime(lifetimeMs: number | null, policy: AnswerPolicy): number {
  return Math.min(lifetimeMs ?? policy.defaultLifetimeMs, policy.defaultLifetimeMs);
}

const ignore = (reason: NoAnswerReason): Decision => ({ kind: "ignore", reason });

/** Event types are 255 bytes at most by the specification; inside an encrypted event nobody has checked that. */
const longestTypeBytes = 255;

const plainWarning: Message = {
  type: "warning",
  text: "The request was not encrypted, although this room is encrypted",
};
const untrustedWarning: Message = {
  type: "warning",
  text: "The request came from a device that is not known to be its sender's: it is not cross-signed",
};
const plainRefusal = "The request was not encrypted, although this room is encrypted: send it encrypted";
