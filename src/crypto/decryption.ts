/**
 * Turns an `m.room.encrypted` event into its clear content, or into the reason why that is not possible (yet).
 * Guarantees: no event, however broken, makes it throw; only a panic of the library does, or a stopped engine. The clear
 * content comes from the ciphertext alone. A replay decrypts like the original: the caller compares session and index.
 */
import {
  DecryptionErrorCode,
  MegolmDecryptionError,
  RoomId as LibraryRoomId,
  ShieldColor,
  ShieldStateCode,
  type DecryptedRoomEvent,
  type ShieldState,
} from "@matrix-org/matrix-sdk-crypto-wasm";
import { DocketError } from "../errors.ts";
import type { RawEvent } from "../protocol/events.ts";
import type { DeviceId, UserId } from "../protocol/ids.ts";
import { isJsonObject, type JsonValue } from "../protocol/json.ts";
import {
  withheldCodes,
  type Decrypted,
  type SenderTrust,
  type Undecryptable,
  type UndecryptableReason,
  type WithheldCode,
} from "./cryptoEngine.ts";
import { decryptFromAnyDevice, type Machine } from "./machine.ts";
import { messageIndexOf } from "./messageIndex.ts";

const MEGOLM = "m.megolm.v1.aes-sha2";

/** @throws CryptoPanicked | Cancelled */
export async function decryptEvent(machine: Machine, event: RawEvent): Promise<Decrypted | Undecryptable> {
  const { algorithm, ciphertext, session_id: sessionId } = event.content;
  const named = typeof sessionId === "string" ? sessionId : null;
  if (event.type !== "m.room.encrypted") return undecryptable("malformed", named);
  if (algorithm !== MEGOLM)
    return undecryptable(typeof algorithm === "string" ? "unsupported_algorithm" : "malformed", named);
  const messageIndex = typeof ciphertext === "string" ? messageIndexOf(ciphertext) : null;
  if (named === null || messageIndex === null) return undecryptable("malformed", named);
  try {
    // The library reads nothing else, and `unsigned` may be large or odd.
    const { event_id, type, sender, origin_server_ts, content } = event;
    const wire = JSON.stringify({ event_id, type, sender, origin_server_ts, content, room_id: event.room_id });
    const settings = decryptFromAnyDevice();
    const decrypted = await machine.use("decryptRoomEvent", (olm) =>
      olm.decryptRoomEvent(wire, new LibraryRoomId(event.room_id), settings),
    );
    settings.free();
    return readDecrypted(decrypted, named, messageIndex);
  } catch (error) {
    if (error instanceof MegolmDecryptionError) return readFailure(error, named);
    if (error instanceof DocketError) throw error;
    return undecryptable("failed", named);
  }
}

function readDecrypted(
  decrypted: DecryptedRoomEvent,
  sessionId: string,
  messageIndex: number,
): Decrypted | Undecryptable {
  const clear = JSON.parse(decrypted.event) as JsonValue;
  const trust = readTrust(decrypted);
  decrypted.free();
  if (!isJsonObject(clear)) return undecryptable("malformed", sessionId);
  const { type, content } = clear;
  if (typeof type !== "string" || !isJsonObject(content)) return undecryptable("malformed", sessionId);
  return { kind: "decrypted", type, content, sessionId, messageIndex, trust };
}

function readTrust(decrypted: DecryptedRoomEvent): SenderTrust {
  const [strict, lax] = [decrypted.shieldState(true), decrypted.shieldState(false)];
  const level = trustLevel(strict, lax);
  const violation = lax.code === ShieldStateCode.VerificationViolation;
  strict.free();
  lax.free();
  const device = level === "unknown_device" ? undefined : decrypted.senderDevice;
  const deviceId = device === undefined ? null : (device.toString() as DeviceId);
  device?.free();
  const sharer = decrypted.forwarder;
  const keySharedBy = sharer?.toString() as UserId | undefined;
  sharer?.free();
  return {
    deviceId,
    level,
    ...(violation ? { violation } : {}),
    ...(keySharedBy === undefined ? {} : { keySharedBy }),
  };
}

type Shield = Pick<ShieldState, "color" | "code">;

/**
 * The library tells its findings in the form of two shields only. The strict one says whether there is any doubt at all, and
 * has one code for several; the lax one tells them apart, and is silent about an owner whom nobody verified.
 */
export function trustLevel(strict: Shield, lax: Shield): SenderTrust["level"] {
  if (strict.color === ShieldColor.None) return "verified";
  // The owner signed the device; that the owner's identity was never verified, or has changed, is another matter.
  if (lax.color === ShieldColor.None || lax.code === ShieldStateCode.VerificationViolation) return "cross_signed";
  return lax.code === ShieldStateCode.UnsignedDevice ? "unsigned_device" : "unknown_device";
}

function readFailure(error: MegolmDecryptionError, sessionId: string): Undecryptable {
  const { code, withheldCode } = error;
  error.free();
  if (withheldCode !== undefined)
    return { ...undecryptable("withheld", sessionId), withheldCode: readWithheldCode(withheldCode) };
  return undecryptable(failureReason(code), sessionId);
}

/** A code is the sender's text: what no specification names is not repeated. */
export function readWithheldCode(code: string): WithheldCode {
  if (code === "io.element.msc4268.history_not_shared") return "m.history_not_shared";
  return withheldCodes.find((known) => known === code) ?? "other";
}

export function failureReason(code: DecryptionErrorCode): UndecryptableReason {
  switch (code) {
    case DecryptionErrorCode.MissingRoomKey:
      return "no_session";
    case DecryptionErrorCode.UnknownMessageIndex:
      return "unknown_index";
    case DecryptionErrorCode.MismatchedIdentityKeys:
    case DecryptionErrorCode.UnknownSenderDevice:
    case DecryptionErrorCode.UnsignedSenderDevice:
    case DecryptionErrorCode.SenderIdentityVerificationViolation:
    case DecryptionErrorCode.MismatchedSender:
      return "untrusted";
    default:
      return "failed";
  }
}

function undecryptable(reason: UndecryptableReason, sessionId: string | null): Undecryptable {
  return { kind: "undecryptable", reason, sessionId };
}
