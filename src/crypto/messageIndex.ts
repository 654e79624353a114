/**
 * Reads the Megolm message index out of a ciphertext, without any key. The index and the session ID name a message once and
 * for all: the same pair under another event ID is a replay, which the crypto library decrypts without complaint.
 *
 * Layout (Matrix specification, "Megolm", "Message format"): version byte 3; then fields in the manner of protocol buffers,
 * 0x08 the index as a varint and 0x12 the ciphertext with its length; then 8 bytes of MAC and 64 bytes of signature. Both
 * cover everything before them, so that only the session's own sender could arrange the fields in another way.
 */
const VERSION = 3;
const INDEX_TAG = 0x08;
const TRAILER_BYTES = 8 + 64;
const WIRE_VARINT = 0;
const WIRE_BYTES = 2;

/**
 * @param ciphertext `content.ciphertext` of an `m.room.encrypted` event with `m.megolm.v1.aes-sha2`, unpadded base64
 * @returns the index, 0 to 2^32-1, or null when this is no Megolm message
 */
export function messageIndexOf(ciphertext: string): number | null {
  const bytes = Buffer.from(ciphertext, "base64");
  const end = bytes.length - TRAILER_BYTES;
  if (bytes[0] !== VERSION || end <= 1) return null;
  let at = 1;
  let index: number | null = null;
  while (at < end) {
    const tag = varintAt(bytes, at, end);
    if (tag === null) return null;
    const value = varintAt(bytes, tag.next, end);
    if (value === null) return null;
    at = value.next;
    // Of a field that comes twice the last one counts, as it does for the library.
    if (tag.value === INDEX_TAG) index = value.value;
    else if (tag.value % 8 === WIRE_BYTES) at += value.value;
    else if (tag.value % 8 !== WIRE_VARINT) return null;
  }
  return at === end ? index : null;
}

/** A varint has seven bits a byte, lowest first, ten bytes at most; all but the lowest 32 bits are cut off, as in the library. */
function varintAt(bytes: Uint8Array, start: number, end: number): { value: number; next: number } | null {
  let value = 0;
  for (let at = start; at < end && at < start + 10; at += 1) {
    const byte = bytes[at] ?? 0;
    const shift = 7 * (at - start);
    if (shift < 32) value = (value + (byte & 0x7f) * 2 ** shift) % 2 ** 32;
    if (byte < 0x80) return { value, next: at + 1 };
  }
  return null;
}
