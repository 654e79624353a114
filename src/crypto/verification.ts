/**
 * What the other rooms see of interactive verification (client-server API, "Device verification", by short authentication strings):
 * plain data, and the few things that a person can do with it. `verifications.ts` implements it.
 */
import type { EpochMs } from "../clock.ts";
import type { RawEvent } from "../protocol/events.ts";
import type { DeviceId, RoomId, UserId } from "../protocol/ids.ts";
import type { JsonObject } from "../protocol/json.ts";

export type VerificationPhase =
  /** The other side asks; nobody here has taken it up. */
  | "requested"
  /** We ask; the other side has not answered. */
  | "asked"
  /** Both want it; keys are exchanged. */
  | "exchanging"
  /** What to compare is there, and waits for a person here. */
  | "comparing"
  /** A person here said that it is the same; the other side has not finished. */
  | "confirmed"
  | "verified"
  | "cancelled";

export interface Emoji {
  readonly symbol: string;
  /** In English, as the specification names it. */
  readonly name: string;
}

/** One verification, as it stood when it was asked for. */
export interface Verification {
  /** Ours, for the methods of `Verifications`. */
  readonly id: string;
  /** `own_session`: another session of the bot's account; `operator`: one of `encryption.verifiers`. */
  readonly kind: "own_session" | "operator";
  /** The other side. */
  readonly userId: UserId;
  /** Null while it is not known which of their devices takes part. Chosen by them: to be made printable. */
  readonly deviceId: DeviceId | null;
  /** Where its messages go; null: from device to device. */
  readonly roomId: RoomId | null;
  readonly phase: VerificationPhase;
  /** Seven of them; null where there is nothing to compare, or the other side can't show any. */
  readonly emoji: readonly Emoji[] | null;
  /** Three numbers of four digits; null where there is nothing to compare. */
  readonly decimals: readonly number[] | null;
  readonly since: EpochMs;
  /** Without an end by then it is cancelled. */
  readonly expiresAt: EpochMs;
  /** Of a cancelled one. The code is the specification's (`m.user`, `m.timeout`, ...); the reason may be the other side's words. */
  readonly cancelled: { readonly code: string; readonly reason: string; readonly by: "us" | "them" } | null;
}

/** What became of asking our own other sessions. */
export type Asked =
  | { readonly kind: "asked"; readonly verification: Verification }
  /** The account has no cross-signing identity: there is nothing to verify. */
  | { readonly kind: "no_identity" }
  | { readonly kind: "no_other_session" };

export interface Verifications {
  /** Open ones, and for a while those that have ended; oldest first. */
  list(): readonly Verification[];
  /** Those that still wait for somebody, oldest first. */
  pending(): readonly Verification[];
  /** Grows with each change. */
  readonly version: number;
  /** Resolves when `version` is another one than `since`, or the signal aborts. */
  changed(since: number, signal: AbortSignal): Promise<void>;
  /** A person is there for it: the other side is told, and keys are exchanged. @throws Cancelled */
  take(id: string): Promise<void>;
  /** Asks the account's other sessions, for whoever sits there. @throws ServerRefused | ServerUnreachable | Cancelled */
  ask(): Promise<Asked>;
  /** A person has compared: it is the same on both sides. @throws Cancelled */
  confirm(id: string): Promise<void>;
  /** A person has compared, and it differs: somebody is between the two. @throws Cancelled */
  mismatch(id: string): Promise<void>;
  /** Without effect on one that has ended. @throws Cancelled */
  cancel(id: string): Promise<void>;
  /** An event of a room, decrypted where it was encrypted. What has nothing to do with verification is passed over. Cheap; never throws. */
  receive(event: RawEvent, type: string, content: JsonObject): void;
}
