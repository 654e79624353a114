/** The door to the homeserver. `client.ts` implements it; nothing above this room sees the SDK. */
import type { EpochMs } from "../clock.ts";
import type { JsonObject, JsonValue } from "../protocol/json.ts";
import type { DeviceId, EventId, RoomId, SyncToken, TxnId, UserId } from "../protocol/ids.ts";

export interface SyncRequest {
  readonly since: SyncToken | null;
  /** A filter, sent inline as JSON so that no server-side filter ID has to be remembered. */
  readonly filter: JsonObject;
  /** Long-poll time-out in milliseconds; 0 answers at once. */
  readonly timeoutMs: number;
  /** MSC4222: ask for `state_after` instead of `state`, where the server offers it. */
  readonly stateAfter: boolean;
}

export interface OutgoingEvent {
  readonly roomId: RoomId;
  readonly type: string;
  readonly content: JsonObject;
}

export interface EventRef {
  readonly roomId: RoomId;
  readonly eventId: EventId;
}

export interface RequestOptions {
  readonly query?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: JsonValue;
  readonly signal: AbortSignal;
  /** For the whole attempt, in milliseconds; by default the client's. */
  readonly timeoutMs?: number;
  /** Size of the reply, after decompression; by default the client's. */
  readonly maxReplyBytes?: number;
  /** `none`: one attempt. `standard` (default): repeats 429, 5xx and lost connections, bounded, as the server asks. */
  readonly retry?: "none" | "standard";
}

/** Of one download. */
export interface MediaLimits {
  /** Longer content is not read to its end. */
  readonly maxBytes: number;
  /** For the whole download, in milliseconds. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** What a homeserver answers `/versions` with. */
export interface ServerVersions {
  readonly versions: readonly string[];
  readonly unstableFeatures: Readonly<Record<string, boolean>>;
}

/** What anybody may know of a homeserver. */
export interface Greeting {
  readonly versions: ServerVersions;
  /** The `Date` of the reply, in whole seconds; null where it has none, or comes from a cache on the way. */
  readonly date: EpochMs | null;
  /** What our clock said before and after. */
  readonly sentAt: EpochMs;
  readonly receivedAt: EpochMs;
}

/** @throws ServerRefused | ServerUnreachable | Cancelled, from every method */
export interface Homeserver {
  /** One attempt: whoever connects knows how long to be patient. */
  versions(signal: AbortSignal): Promise<ServerVersions>;
  /** One attempt, without the access token: whether the homeserver is there, and what time it is there (RFC 9110, "Date"). */
  greet(options: Pick<RequestOptions, "signal" | "timeoutMs">): Promise<Greeting>;
  /** One attempt, likewise. */
  whoami(signal: AbortSignal, timeoutMs?: number): Promise<{ userId: UserId; deviceId: DeviceId | null }>;
  /** One attempt; the caller decides about the next. Resolves with the parsed body, unchecked. */
  sync(request: SyncRequest, signal: AbortSignal): Promise<unknown>;
  /** One attempt: the outbox owns retries and the lifetime. */
  send(event: OutgoingEvent, txnId: TxnId, signal: AbortSignal): Promise<EventId>;
  /** One attempt: the invite job owns retries. `via` are server names to join through. */
  join(roomId: RoomId, via: readonly string[], signal: AbortSignal): Promise<void>;
  /** One attempt, likewise. Leaves a room, or declines an invitation to it; `reason` is for the people there. */
  leave(roomId: RoomId, reason: string, signal: AbortSignal): Promise<void>;
  joinedMembers(roomId: RoomId, signal: AbortSignal): Promise<readonly UserId[]>;
  /** All of a room's state, as the server knows it now; repeated as `standard`. Events are unchecked. */
  roomState(roomId: RoomId, signal: AbortSignal): Promise<readonly JsonValue[]>;
  /** One attempt: the outbox owns retries. A receipt of this type for one event (client-server API, "Receipts"). */
  receipt(to: EventRef, type: string, signal: AbortSignal): Promise<void>;
  /**
   * One attempt. What an `mxc` URI names, from our own homeserver's media repository.
   * @throws TypeError it is no `mxc` URI; ReplyTooLong
   */
  download(uri: string, limits: MediaLimits): Promise<Uint8Array>;
  /** Any other endpoint, such as `/_matrix/client/v3/keys/query`: resolves with the parsed JSON body. */
  request(method: "GET" | "POST" | "PUT" | "DELETE", endpoint: string, options: RequestOptions): Promise<JsonObject>;
}
