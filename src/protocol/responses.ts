/**
 * Status responses (MSC4300): emitted strictly, read liberally. What is built here always fits into an event, encrypted or not,
 * and no handler's extra properties can change what the protocol's own say.
 */
import { dialects, requestBlocks, responseBlocks, responseTypes, type Dialect } from "./dialects.ts";
import { boundText, readText, writeText } from "./extensibleText.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "./json.ts";
import { isSendable, jsonSize } from "./sendableJson.ts";
import type { EventId } from "./ids.ts";

export const messageTypes = ["info", "warning", "error"] as const;

/** For people. Names paths and expectations, never values. */
export interface Message {
  readonly type: (typeof messageTypes)[number];
  readonly text: string;
}

/** Why an answer is `error`, for programs. */
export const reasonCodes = [
  "malformed_request",
  "unknown_type",
  "invalid_content",
  "handler_failed",
  "timed_out",
  "not_encrypted",
] as const;
export type ReasonCode = (typeof reasonCodes)[number];

/** Extra content property that carries the reason code of an error. */
const codeProperty = "io.github.matrix-docket.code";

export interface ResponseDraft {
  /** That of the request. */
  readonly dialect: Dialect;
  /** The bot's own device. */
  readonly fromDevice: string;
  readonly requestEventId: EventId;
  readonly status: "success" | "error";
  /** Left out of a success. */
  readonly code?: ReasonCode;
  readonly messages: readonly Message[];
  /** Further content properties, from handlers. */
  readonly extra?: JsonObject;
}

export interface BuiltResponse {
  readonly type: string;
  readonly content: JsonObject;
  /** Names of extra properties that were left out: the protocol's own, not sendable, or too large. For the log. */
  readonly dropped: readonly string[];
}

/**
 * An event may have 65,536 bytes, as signed by the server; encryption adds a third, and both add wrapping. Content of this
 * size fits in any case.
 */
export const maxContentBytes = 32 * 1024;
/** For all messages of one block; `msc4300` carries the block twice. */
const maxMessagesBytes = 8 * 1024;
const maxTextBytes = 2 * 1024;
const maxMessages = 100;
/** Device IDs and event IDs are 255 bytes at most by the specification. */
const maxIdBytes = 1024;

/** Builds the answer exactly as the table of dialects says. Never throws; whatever is too large is cut, and says so. */
export function buildResponse(draft: ResponseDraft): BuiltResponse {
  const terms = dialects[draft.dialect];
  const block: { [key: string]: JsonValue } = {
    from_device: boundText(draft.fromDevice, maxIdBytes),
    status: draft.status,
  };
  const messages = boundMessages(draft.messages).map(({ type, text }) => ({ type, [terms.textKey]: writeText(text) }));
  if (messages.length > 0) block["messages"] = messages;

  const content: { [key: string]: JsonValue } = {};
  for (const name of terms.responseBlocks) content[name] = block;
  content["m.relates_to"] = { rel_type: "m.reference", event_id: draft.requestEventId };
  if (draft.status === "error" && draft.code !== undefined) content[codeProperty] = draft.code;

  const dropped: string[] = [];
  let size = jsonSize(content);
  for (const [name, value] of Object.entries(draft.extra ?? {})) {
    const added = isReserved(name) || !isSendable(name) || !isSendable(value) ? Infinity : jsonSize({ [name]: value });
    if (size + added > maxContentBytes) dropped.push(name);
    else {
      content[name] = value;
      size += added;
    }
  }
  return { type: terms.responseType, content, dropped };
}

/** Request blocks too: an answer must never ask for an answer. `__proto__` would change the object instead of adding to it. */
function isReserved(name: string): boolean {
  return (
    requestBlocks.has(name) ||
    responseBlocks.has(name) ||
    name === "m.relates_to" ||
    name === codeProperty ||
    name === "__proto__"
  );
}

function boundMessages(messages: readonly Message[]): readonly Message[] {
  const kept: Message[] = [];
  let left = maxMessagesBytes;
  for (const message of messages) {
    const text = boundText(message.text, maxTextBytes);
    left -= jsonSize({ type: message.type, "de.gematik.text": writeText(text) });
    if (left < 0 || kept.length === maxMessages) break;
    kept.push({ type: message.type, text });
  }
  const missing = messages.length - kept.length;
  if (missing > 0) kept.push({ type: "info", text: `${missing} more messages were left out` });
  return kept;
}

/** Whether an event type is that of a status response, in any dialect. */
export function isResponseType(type: string): boolean {
  return responseTypes.has(type);
}

export interface StatusResponse {
  /** Null where the sender left it out: required, but not needed to understand the answer. */
  readonly fromDevice: string | null;
  readonly status: "success" | "error";
  readonly messages: readonly Message[];
  /** As it stands: other programs may use codes of their own. */
  readonly code: string | null;
  /** The request that is answered (`m.reference`); null where the content names none. */
  readonly requestEventId: EventId | null;
  readonly extra: JsonObject;
}

export type ResponseReading =
  | { readonly kind: "none" }
  | { readonly kind: "response"; readonly response: StatusResponse }
  /** `problem` names a property and what is expected there, never what was found. */
  | { readonly kind: "malformed"; readonly problem: string };

/**
 * Reads a status response liberally: any of the three types, the block under any of the three names, texts under any of theirs.
 * Messages that can't be read are passed over.
 * @param type the clear event type
 * @param content the clear content
 */
export function readResponse(type: string, content: JsonObject): ResponseReading {
  if (!isResponseType(type)) return { kind: "none" };
  // The event's own name first: it is the one that its sender meant.
  const names = [type, ...responseBlocks].filter((name) => Object.hasOwn(content, name));
  const name = names.find((candidate) => isJsonObject(content[candidate]));
  if (name === undefined) return { kind: "malformed", problem: `${names[0] ?? type} must be an object` };
  const block = content[name] as JsonObject;
  const { from_device, status, messages } = block;
  if (status !== "success" && status !== "error")
    return { kind: "malformed", problem: `${name}.status must be "success" or "error"` };

  const code = Object.hasOwn(content, codeProperty) ? content[codeProperty] : undefined;
  return {
    kind: "response",
    response: {
      fromDevice: typeof from_device === "string" ? from_device : null,
      status,
      messages: Array.isArray(messages) ? messages.flatMap(readMessage) : [],
      code: typeof code === "string" ? code : null,
      requestEventId: readReference(content),
      extra: Object.fromEntries(Object.entries(content).filter(([key]) => !isReserved(key))),
    },
  };
}

function readMessage(value: JsonValue): readonly Message[] {
  if (!isJsonObject(value)) return [];
  const text = readText(value);
  if (text === null) return [];
  return [{ type: messageTypes.find((type) => type === value["type"]) ?? "info", text }];
}

/** The event that a content refers to by `m.reference`; null where there is none. In an encrypted event it may stand outside only. */
export function readReference(content: JsonObject): EventId | null {
  const relation = content["m.relates_to"];
  if (!isJsonObject(relation) || relation["rel_type"] !== "m.reference") return null;
  const eventId = relation["event_id"];
  return typeof eventId === "string" && eventId !== "" ? (eventId as EventId) : null;
}
