/**
 * Reads from an Olm ciphertext which key of which chain it was encrypted with, without any key. The same place with another
 * ciphertext is a ratchet that went back.
 *
 * Layout (Olm library, "olm.md", "Message format"): version byte 3; fields in the manner of protocol buffers: 0x0a the ratchet
 * key, 0x10 the index in its chain, 0x22 the ciphertext; then 8 bytes of MAC. A pre-key message (type 0) has such a message in
 * its own field 0x22.
 */
const VERSION = 3;
const MAC_BYTES = 8;
const RATCHET_KEY = 0x0a;
const CHAIN_INDEX = 0x10;
const INNER = 0x22;

/** @param body unpadded base64. @returns the place as text, to be compared with others. @throws Error for another form */
export function olmMessagePlace(type: number, body: string): string {
  const outer = Buffer.from(body, "base64");
  const inner = type === 0 ? fields(outer, 0).get(INNER) : outer;
  if (!Buffer.isBuffer(inner)) throw new Error("a pre-key message without a message");
  const read = fields(inner, MAC_BYTES);
  const key = read.get(RATCHET_KEY);
  const index = read.get(CHAIN_INDEX);
  if (!Buffer.isBuffer(key) || typeof index !== "number") throw new Error("no Olm message");
  return `${key.toString("base64")} ${index}`;
}

function fields(bytes: Buffer, trailer: number): Map<number, Buffer | number> {
  if (bytes[0] !== VERSION) throw new Error("no Olm message of version 3");
  const found = new Map<number, Buffer | number>();
  let at = 1;
  const varint = (): number => {
    let value = 0;
    for (let place = 0; place < 5; place += 1) {
      const byte = bytes[at] ?? 0;
      at += 1;
      value += (byte & 0x7f) * 2 ** (7 * place);
      if (byte < 0x80) return value;
    }
    throw new Error("a number that is too long");
  };
  while (at < bytes.length - trailer) {
    const tag = varint();
    const value = varint();
    if (tag % 8 === 2) {
      found.set(tag, bytes.subarray(at, at + value));
      at += value;
    } else found.set(tag, value);
  }
  return found;
}
