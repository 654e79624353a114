/** The door to encryption. `engine.ts` implements it on the wasm library; a native binding could stand here too. */
import type { HeldWrites } from "../journal/heldWrites.ts";
import type { JsonObject, JsonValue } from "../protocol/json.ts";
import type { RawEvent } from "../protocol/events.ts";
import type { DeviceId, RoomId, UserId } from "../protocol/ids.ts";
import type { CrossSigning } from "./crossSigning.ts";
import type { EncryptionTarget } from "./encryptionTarget.ts";
import type { KeyBackup } from "./keyBackup.ts";
import type { OwnIdentity } from "./ownIdentity.ts";
import type { SessionRef } from "./sessionRef.ts";
import type { Verifications } from "./verification.ts";

/** The encryption part of a sync response, as the server sent it. */
export interface CryptoChanges {
  readonly toDevice: readonly JsonObject[];
  readonly changedUsers: readonly string[];
  readonly leftUsers: readonly string[];
  /** Counts by algorithm. A missing count means zero to the library, so the whole map is passed as it came. */
  readonly oneTimeKeyCounts: Readonly<Record<string, number>>;
  /** Undefined where the response had none: an empty list means "no fallback key left". */
  readonly unusedFallbackKeyTypes: readonly string[] | undefined;
}

/** What the engine could tell about a sender's device when it decrypted an event. */
export interface SenderTrust {
  /** The device that encrypted the event; null for plain events and for unknown devices. */
  readonly deviceId: DeviceId | null;
  readonly level: "plain" | "unknown_device" | "unsigned_device" | "cross_signed" | "verified";
  /** There where the owner of the device had been verified, and has another identity now. */
  readonly violation?: true;
  /** There where the key came with an invitation (MSC4268): who shared it, and whose word it is that the sender has made it. */
  readonly keySharedBy?: UserId;
}

/** Whom room keys of ours are given to: every device, or those that their owner has cross-signed (MSC4153). */
export type SendTo = "all" | "cross_signed";

/** Why a sender's client gives no key (`m.room_key.withheld`, and MSC4268); `other` for a code that no specification names. */
export const withheldCodes = [
  "m.blacklisted",
  "m.unverified",
  "m.unauthorised",
  "m.unavailable",
  "m.no_olm",
  "m.history_not_shared",
  "other",
] as const;
export type WithheldCode = (typeof withheldCodes)[number];

export interface Decrypted {
  readonly kind: "decrypted";
  readonly type: string;
  readonly content: JsonObject;
  readonly sessionId: string;
  /** Megolm message index, read from the ciphertext: the key of the replay check. */
  readonly messageIndex: number;
  readonly trust: SenderTrust;
}

export type UndecryptableReason =
  "no_session" | "unknown_index" | "withheld" | "malformed" | "unsupported_algorithm" | "untrusted" | "failed";

export interface Undecryptable {
  readonly kind: "undecryptable";
  readonly reason: UndecryptableReason;
  /** For `withheld`. */
  readonly withheldCode?: WithheldCode;
  /** The session that would help; null where the event names none. */
  readonly sessionId: string | null;
}

/**
 * `unsigned`: its owner has not cross-signed it. `no_session`: no Olm session could be had. `unanswered`: the user's devices could not
 * be queried in time. `identity_changed`: we had verified the user, whose identity is another one now.
 */
export type WithheldReason = "unsigned" | "no_session" | "unanswered" | "identity_changed";

export interface WithheldDevice {
  readonly userId: UserId;
  /** Null for all devices of the user. */
  readonly deviceId: DeviceId | null;
  readonly reason: WithheldReason;
}

export interface EncryptedContent {
  /** Content for an `m.room.encrypted` event. */
  readonly content: JsonObject;
  /** Devices that can't read it, as far as was seen since the start: a thousand of a room at most. */
  readonly withheldFrom: readonly WithheldDevice[];
  /** How many these are in all. */
  readonly withheldCount: number;
  /** Those whom it is for, and who can't read it on any device, for the policy's sake. */
  readonly unreadableFor: readonly { readonly userId: UserId; readonly reason: "unsigned" | "identity_changed" }[];
}

/** What a sync brought, while its writes are held. */
export interface Received {
  /** Room keys that came. */
  readonly newSessions: readonly SessionRef[];
  /** Those of which somebody said that we don't get them. */
  readonly withheldSessions: readonly SessionRef[];
  readonly held: HeldWrites;
}

/** What is known of others may change after their event was decrypted: `SenderTrust` is of its moment. */
export interface TrustNews {
  /** Counts news of devices and identities. While it stays the same, so does what `decrypt` says about a sender. */
  readonly epoch: number;
  /**
   * Waits, for a few seconds at most, until this user's devices and identity are known as the homeserver has them now. Before the
   * first query every device looks unsigned. Not waited for: a server that has not answered lately.
   * @throws Cancelled | CryptoPanicked
   */
  learn(userId: UserId, signal: AbortSignal): Promise<void>;
}

/** History that was shared with invitations (MSC4268), as whoever accepts them sees it. */
export interface SharedHistory {
  /** To be called before an invitation is accepted; on disk when it resolves. @throws CryptoPanicked | Cancelled */
  expect(roomId: RoomId, inviter: UserId): Promise<void>;
  /** We are in the room: what was shared is taken, when it comes within a day. */
  joined(roomId: RoomId): void;
  /** We don't come into the room. @throws CryptoPanicked | Cancelled */
  forget(roomId: RoomId): Promise<void>;
}

/** Room keys that another client has exported. */
export interface RoomKeyIntake {
  /** @param keys one batch, as they stand in the file. @throws CryptoPanicked | Cancelled */
  take(keys: readonly JsonValue[]): Promise<ImportedBatch>;
}

export interface ImportedBatch {
  /** Keys that are new, or better than those that were there. */
  readonly imported: number;
  /** Keys that were there already, and those for another algorithm than Megolm's. */
  readonly known: number;
  /** What is no room key. */
  readonly refused: number;
  /** All that were readable, new or not: events parked for them can be woken. */
  readonly sessions: readonly SessionRef[];
}

/** See `OutboundSessions` (outboundSessions.ts). */
export interface RoomKeyDoubts {
  doubtAll(): void;
  trustAllBut(rooms: Iterable<RoomId>): void;
}

/** Sends its own key requests through the homeserver it was built with. */
export interface CryptoEngine {
  readonly identity: OwnIdentity;
  /** The account's cross-signing identity, which signs this device or does not. */
  readonly crossSigning: CrossSigning;
  /** The account's key backup. */
  readonly backup: KeyBackup;
  readonly bundles: SharedHistory;
  readonly roomKeyImport: RoomKeyIntake;
  readonly trust: TrustNews;
  /** Which of the room keys on disk may still be sent with. */
  readonly outbound: RoomKeyDoubts;
  /** Interactive verification with our own sessions and with operators. */
  readonly verifications: Verifications;
  /**
   * Applies a sync's encryption part. Its store writes stay held, and every other use of the engine waits, until `commit`
   * has put them on disk together with the sync that brought them (`held.apply()` inside the journal's transaction).
   * After it, key requests that the sync made necessary go out in the background.
   * @param commit if it throws, the process must end: memory is ahead of disk
   */
  receive<T>(changes: CryptoChanges, commit: (received: Received) => Promise<T>): Promise<T>;
  /** Never throws for a bad event. @throws CryptoPanicked */
  decrypt(event: RawEvent): Promise<Decrypted | Undecryptable>;
  /**
   * Shares the room key where needed, then encrypts. The ratchet is durable before it resolves.
   * @throws ServerRefused | ServerUnreachable | Cancelled while keys are shared; nothing was encrypted then
   */
  encrypt(target: EncryptionTarget, type: string, content: JsonObject, signal: AbortSignal): Promise<EncryptedContent>;
  /** Uploads keys and starts the background requests. */
  start(): Promise<void>;
  /** Idempotent; resolves when no request is in flight. */
  stop(): Promise<void>;
}
