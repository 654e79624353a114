/**
 * What a test and an independent peer say to each other: one JSON object a line, orders on the peer's standard input, answers and
 * sightings on its standard output. The end of its input means that the test has gone, and ends the peer.
 */
import type { JsonObject } from "../../../src/protocol/json.ts";
import type { IdentityOrders } from "./identityWire.ts";
import type { VerificationOrders } from "./verificationWire.ts";

/** A signed-in device, and where it keeps what it must not forget. */
export interface PeerAccount {
  readonly homeserver: string;
  readonly userId: string;
  readonly deviceId: string;
  readonly accessToken: string;
  /** A directory of this device alone. What an earlier process of it left there is used on. */
  readonly store: string;
}

export interface Orders extends IdentityOrders, VerificationOrders {
  /** Signs in, uploads the device's keys, takes the first sync and follows from there. Needed before all others. */
  readonly start: { readonly order: PeerAccount; readonly result: null };
  /** A private room, encrypted; the answer comes when the peer's own sync has shown it. */
  readonly createRoom: {
    readonly order: { readonly invite: readonly string[]; readonly encryption: JsonObject };
    readonly result: string;
  };
  /**
   * Invites. Where the peer's device is cross-signed and the room's history is for those who come later, matrix-js-sdk hands its room
   * keys to the cross-signed devices of the invited user (MSC4268). matrix-js-sdk alone.
   */
  readonly invite: { readonly order: { readonly roomId: string; readonly userId: string }; readonly result: null };
  /** Accepts an invitation; the answer comes when the peer's own sync has shown the room. */
  readonly join: { readonly order: { readonly roomId: string }; readonly result: null };
  /** The answer comes when that user has joined, as the peer's own sync shows it. */
  readonly waitForMember: {
    readonly order: { readonly roomId: string; readonly userId: string };
    readonly result: null;
  };
  /** The answer comes when the peer knows the keys of that device. */
  readonly waitForDevice: {
    readonly order: { readonly roomId: string; readonly userId: string; readonly deviceId: string };
    readonly result: null;
  };
  /** Encrypts and sends, as the peer's library does it by itself. The result is the event ID. */
  readonly send: {
    readonly order: { readonly roomId: string; readonly type: string; readonly content: JsonObject };
    readonly result: string;
  };
  /** Begins a new session for the next event in the room, and gives its key to nobody until `releaseKeys`. */
  readonly holdKeys: { readonly order: { readonly roomId: string }; readonly result: null };
  readonly releaseKeys: { readonly order: { readonly roomId: string }; readonly result: null };
  /** Stops in good order, its store written. The process ends after the answer. */
  readonly stop: { readonly order: Readonly<Record<string, never>>; readonly result: null };
}

/** A line to the peer. */
export type OrderLine = {
  [Name in keyof Orders]: { readonly id: number; readonly do: Name } & Orders[Name]["order"];
}[keyof Orders];

/** An event in a timeline, as the peer reads it. Told again when its key has come late. */
export interface PeerEvent {
  readonly roomId: string;
  readonly eventId: string;
  readonly sender: string;
  /** In the clear; `m.room.encrypted` while it can't be decrypted. */
  readonly type: string;
  readonly content: JsonObject;
  /** Whether it was encrypted when it came. */
  readonly encrypted: boolean;
  /** Why it can't be decrypted; null when it is clear. */
  readonly undecryptable: string | null;
  /** The device whose key encrypted it, by the peer's own list of the sender's devices; null where that knows none. */
  readonly senderDevice: string | null;
  /** Why the peer's user is warned of the event, as the SDK calls it; null where it would not be, and from matrix-nio. */
  readonly shield: string | null;
  /** The Megolm session; null where it was not encrypted. */
  readonly sessionId: string | null;
}

/** A line from the peer. */
export type PeerLine =
  | { readonly answer: number; readonly result: unknown }
  | { readonly answer: number; readonly error: string }
  | { readonly seen: PeerEvent };
