/**
 * A room event as the independent sender saw it: on the wire and in the clear. It reads status responses (MSC4300) of any
 * dialect by itself, from the proposal and not from the bot's code.
 */
import type { JsonObject, JsonValue } from "../../src/protocol/json.ts";

export interface SeenEvent {
  readonly roomId: string;
  readonly eventId: string;
  readonly sender: string;
  /** The type in the clear; `m.room.encrypted` while it can't be decrypted. */
  readonly type: string;
  /** The content in the clear; the ciphertext while it can't be decrypted. */
  readonly content: JsonObject;
  /** Whether it was encrypted on the wire. */
  readonly encrypted: boolean;
  /** Why it can't be decrypted (yet); null when it is clear. */
  readonly undecryptable: string | null;
  /** The device whose key encrypted it; null when unknown or in the clear. */
  readonly senderDevice: string | null;
  /** The Megolm session; null when not encrypted. */
  readonly sessionId: string | null;
  /** The index in that session, read from the ciphertext; null when not encrypted. */
  readonly messageIndex: number | null;
  /** Local time when the sync with it arrived, in milliseconds since the epoch. */
  readonly receivedAtMs: number;
  /** The event as the server sent it. */
  readonly wire: JsonObject;
}

export const RESPONSE_TYPES = {
  stable: "m.response.status",
  msc4300: "de.gematik.msc4300.response.status",
  gematik: "de.gematik.response.status",
} as const;
export type Dialect = keyof typeof RESPONSE_TYPES;

export interface StatusResponse<Event = SeenEvent> {
  readonly dialect: Dialect;
  readonly status: string;
  readonly fromDevice: string;
  readonly messages: readonly { readonly type: string; readonly text: string }[];
  /** The reason code of an error (`io.github.matrix-docket.code`); null where there is none. */
  readonly code: string | null;
  readonly event: Event;
}

/**
 * Reads a status response.
 * @returns null when the event is none, or does not relate to `requestId` by `m.reference`
 */
export function readResponse<Event extends Pick<SeenEvent, "type" | "content">>(
  event: Event,
  requestId: string,
): StatusResponse<Event> | null {
  const dialect = (Object.keys(RESPONSE_TYPES) as Dialect[]).find((name) => RESPONSE_TYPES[name] === event.type);
  const relation = asObject(event.content["m.relates_to"]);
  if (dialect === undefined || relation["event_id"] !== requestId || relation["rel_type"] !== "m.reference") {
    return null;
  }
  const block = asObject(event.content[RESPONSE_TYPES[dialect]]);
  const textKey = dialect === "gematik" ? "de.gematik.text" : "m.text";
  const code = event.content["io.github.matrix-docket.code"];
  return {
    dialect,
    status: String(block["status"]),
    fromDevice: String(block["from_device"]),
    messages: asArray(block["messages"]).map((message) => {
      const texts = asArray(asObject(message)[textKey]).map((text) => String(asObject(text)["body"]));
      return { type: String(asObject(message)["type"]), text: texts.join(" ") };
    }),
    code: typeof code === "string" ? code : null,
    event,
  };
}

/**
 * The message index of a Megolm message: byte 0 is the version, byte 1 the tag 0x08, then a varint (Olm library,
 * "megolm.md", message format).
 * @param ciphertext unpadded base64
 * @returns null when it has another form
 */
export function readMessageIndex(ciphertext: string): number | null {
  const bytes = Buffer.from(ciphertext, "base64");
  if (bytes[0] !== 3 || bytes[1] !== 0x08) return null;
  let index = 0;
  for (let place = 0; place < 5; place += 1) {
    const byte = bytes[2 + place];
    if (byte === undefined) return null;
    index += (byte & 0x7f) * 2 ** (7 * place);
    if ((byte & 0x80) === 0) return index;
  }
  return null;
}

export function asObject(value: JsonValue | undefined): JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : {};
}

export function asArray(value: JsonValue | undefined): readonly JsonValue[] {
  return Array.isArray(value) ? (value as readonly JsonValue[]) : [];
}
