/** What is asked: the event that is sent, from what people give on the command line. Pure. */
import { buildCapabilityRequest } from "../protocol/capabilities.ts";
import type { Dialect } from "../protocol/dialects.ts";
import { isJsonObject, type JsonObject } from "../protocol/json.ts";
import { buildRequest, isProtocolProperty } from "../protocol/requests.ts";
import { isResponseType } from "../protocol/responses.ts";
import { isSendable } from "../protocol/sendableJson.ts";

/** What to send, before the request is put into it. */
export interface Subject {
  readonly type: string;
  readonly content: JsonObject;
  /** The types that a question about capabilities asks about; null for any other event. */
  readonly askedTypes: readonly string[] | null;
}

export type SubjectReading =
  | { readonly ok: true; readonly subject: Subject }
  /** For people: what is wrong, and what to do. Never a part of the content. */
  | { readonly ok: false; readonly problem: string };

export interface SubjectOptions {
  readonly dialect: Dialect;
  /** `--type`. */
  readonly type: string | null;
  /** The text of what `--content` names. */
  readonly content: string | null;
  /** `--text`. */
  readonly text: string | null;
  /** `--capabilities`. */
  readonly capabilities: readonly string[] | null;
}

const LONGEST_TYPE_BYTES = 255;

export function readSubject(options: SubjectOptions): SubjectReading {
  const { dialect, type, content, text, capabilities } = options;
  if (capabilities !== null) {
    if (type !== null || content !== null || text !== null)
      return wrong("--capabilities is a question of its own: leave out --type, --content and --text");
    const types = [...new Set(capabilities)];
    const question = buildCapabilityRequest(types, dialect === "stable" ? "stable" : "unstable");
    return { ok: true, subject: { ...question, askedTypes: types } };
  }
  if (content !== null && text !== null) return wrong("--content and --text are two contents: give one of them");
  if (text !== null) {
    return checked(type ?? "m.room.message", { msgtype: "m.text", body: text });
  }
  if (type === null)
    return wrong("there is nothing to send: --text TEXT, or --type TYPE with or without --content FILE");
  if (content === null) return checked(type, {});
  let parsed: unknown;
  try {
    parsed = JSON.parse(content);
  } catch {
    // The parser's own words quote the content.
    return wrong("the content is not JSON");
  }
  return isJsonObject(parsed) ? checked(type, parsed) : wrong("the content must be a JSON object");
}

function checked(type: string, content: JsonObject): SubjectReading {
  if (type === "" || Buffer.byteLength(type) > LONGEST_TYPE_BYTES) return wrong("--type must have 1 to 255 bytes");
  if (type === "m.room.encrypted")
    return wrong("--type is the type in the clear: Docket encrypts by itself where the room is");
  if (isResponseType(type)) return wrong(`${type} is an answer, and answers are never answered`);
  const own = Object.keys(content).find((name) => name !== "m.relates_to" && isProtocolProperty(name));
  if (own !== undefined) return wrong(`the content has ${own} already: Docket adds the request by itself`);
  if (!isSendable(content))
    return wrong(
      "the content can't be sent: numbers must be integers below 2^53, texts valid Unicode, and nesting below 64 levels",
    );
  return { ok: true, subject: { type, content, askedTypes: null } };
}

/** The whole content, as it is sent (or encrypted, and then sent). */
export function withRequest(
  { content }: Subject,
  dialect: Dialect,
  request: { readonly fromDevice: string; readonly toDevice: string | null; readonly lifetimeMs: number },
): JsonObject {
  return { ...content, ...buildRequest(dialect, request) };
}

function wrong(problem: string): SubjectReading {
  return { ok: false, problem };
}
