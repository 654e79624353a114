/** What counts as trusted: a device that its owner has cross-signed, unless we had verified that owner and the identity is another one now. */
import type { SenderTrust } from "./cryptoEngine.ts";

/** Whose events are handled: anybody's, or those that a trusted device encrypted. */
export type DecryptFrom = "any" | "cross_signed";

/** False also for what came unencrypted. */
export function isTrusted({ level, violation }: SenderTrust): boolean {
  return (level === "cross_signed" || level === "verified") && violation !== true;
}

/** Whether an event is handled. What came unencrypted is another setting's matter (`encryption.plain_in_encrypted_room`). */
export function isAccepted(trust: SenderTrust, from: DecryptFrom): boolean {
  return from === "any" || trust.level === "plain" || isTrusted(trust);
}
