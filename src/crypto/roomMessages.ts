/**
 * Sends into rooms what the crypto library wants to say there. Guarantees: where the room was ever seen encrypted it goes out
 * encrypted, for the room's members of that moment, whatever fails; each message keeps its own transaction ID.
 */
import type { Homeserver } from "../matrix/homeserver.ts";
import type { EventId, RoomId } from "../protocol/ids.ts";
import type { JsonObject } from "../protocol/json.ts";
import type { EncryptionTarget } from "./encryptionTarget.ts";
import type { RoomMessage } from "./keyRequest.ts";

export interface RoomAudience {
  readonly encrypted: boolean;
  readonly target: EncryptionTarget;
}

/** Null where the bot is not in the room, as far as it knows. Must be current each time. */
export type FindAudience = (roomId: RoomId) => RoomAudience | null;

export interface RoomMessagesOptions {
  readonly homeserver: Homeserver;
  readonly audience: FindAudience;
  readonly encrypt: (
    target: EncryptionTarget,
    type: string,
    content: JsonObject,
    signal: AbortSignal,
  ) => Promise<JsonObject>;
}

export class RoomMessages {
  private readonly options: RoomMessagesOptions;

  constructor(options: RoomMessagesOptions) {
    this.options = options;
  }

  /**
   * One attempt.
   * @returns null where the bot is not in the room: nothing was sent
   * @throws ServerRefused | ServerUnreachable | Cancelled
   */
  async send({ roomId, type, txnId, content }: RoomMessage, signal: AbortSignal): Promise<EventId | null> {
    const { homeserver, audience, encrypt } = this.options;
    const found = audience(roomId);
    if (found === null) return null;
    if (!found.encrypted) return await homeserver.send({ roomId, type, content }, txnId, signal);
    const encrypted = await encrypt(found.target, type, content, signal);
    return await homeserver.send({ roomId, type: "m.room.encrypted", content: encrypted }, txnId, signal);
  }
}
