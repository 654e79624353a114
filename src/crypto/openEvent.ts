/** An event as it came, opened: its clear text and what is known of who wrote it, or why it can't be read. */
import type { CryptoEngine, SenderTrust, Undecryptable } from "./cryptoEngine.ts";
import type { RawEvent } from "../protocol/events.ts";
import type { JsonObject } from "../protocol/json.ts";

export interface OpenedEvent {
  readonly kind: "clear";
  readonly type: string;
  readonly content: JsonObject;
  readonly trust: SenderTrust;
  /** Where the ciphertext stood in its session, for the replay check; null for a plain event. */
  readonly encryptedAs: { readonly sessionId: string; readonly messageIndex: number } | null;
}

/** State events are never encrypted, whatever type they claim. */
export async function openEvent(event: RawEvent, engine: CryptoEngine): Promise<OpenedEvent | Undecryptable> {
  if (event.type !== "m.room.encrypted" || event.state_key !== undefined) {
    return {
      kind: "clear",
      type: event.type,
      content: event.content,
      trust: { deviceId: null, level: "plain" },
      encryptedAs: null,
    };
  }
  const result = await engine.decrypt(event);
  if (result.kind === "undecryptable") return result;
  const { type, content, trust, sessionId, messageIndex } = result;
  return { kind: "clear", type, content, trust, encryptedAs: { sessionId, messageIndex } };
}
