/**
 * Recovery keys as people keep them (client-server API, appendix "Cryptographic key representation"): base 58 of two bytes that say what
 * it is, the 32 bytes of the key, and a parity byte, in groups of four. What is read may have been copied by hand; no message quotes it.
 */
import bs58 from "bs58";

const PREFIX = [0x8b, 0x01] as const;
const KEY_BYTES = 32;
const BYTES = PREFIX.length + KEY_BYTES + 1;
/** Decoding takes time that grows with the square of the length. */
const LONGEST_TEXT = 256;

export type ReadRecoveryKey =
  | { readonly kind: "key"; readonly key: Buffer }
  /** `problem` says what is wrong with the text, without a word of it. */
  | { readonly kind: "none"; readonly problem: string };

/** @param key 32 bytes */
export function recoveryKeyOf(key: Uint8Array): string {
  if (key.length !== KEY_BYTES) throw new TypeError(`a recovery key has ${KEY_BYTES} bytes, not ${key.length}`);
  const bytes = [...PREFIX, ...key];
  const text = bs58.encode(Uint8Array.from([...bytes, parityOf(bytes)]));
  return text.match(/.{1,4}/g)?.join(" ") ?? text;
}

/** Spaces, tabs, line breaks and hyphens between the groups don't matter. */
export function readRecoveryKey(text: string): ReadRecoveryKey {
  const compact = text.replace(/[\s\u00a0-]+/gu, "");
  if (compact === "") return none("it is empty");
  if (compact.length > LONGEST_TEXT) return none("it is too long");
  const foreign = /[^1-9A-HJ-NP-Za-km-z]/u.exec(compact);
  if (foreign !== null)
    return none(
      `its character ${foreign.index + 1} (spaces not counted) can't be in one: there is no 0, O, I or l in it, and no punctuation`,
    );
  const bytes = bs58.decode(compact);
  if (bytes.length !== BYTES) return none("it is too short or too long; a part of it may be missing");
  if (parityOf([...bytes]) !== 0) return none("a character of it is wrong (the check at its end does not fit)");
  if (PREFIX.some((byte, index) => bytes[index] !== byte)) return none("it is a key for something else");
  return { kind: "key", key: Buffer.from(bytes.subarray(PREFIX.length, PREFIX.length + KEY_BYTES)) };
}

function none(problem: string): ReadRecoveryKey {
  return { kind: "none", problem };
}

function parityOf(bytes: readonly number[]): number {
  return bytes.reduce((parity, byte) => parity ^ byte, 0);
}
