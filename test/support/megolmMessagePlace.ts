/**
 * Reads from a Megolm ciphertext at which index it was encrypted, without any key and without the bot's own reader. The same index of
 * a session with another ciphertext is a room key that went back.
 *
 * Layout (Megolm, "Message format"): version byte 3, 0x08 and the index as a varint, 0x12 and the ciphertext.
 */
export function megolmMessagePlace(ciphertext: string): number {
  const bytes = [...Buffer.from(ciphertext, "base64")];
  if (bytes[0] !== 3 || bytes[1] !== 0x08) throw new Error("no Megolm message of version 3");
  const end = bytes.findIndex((byte, at) => at >= 2 && byte < 0x80);
  return bytes.slice(2, end + 1).reduceRight((value, byte) => value * 128 + (byte & 0x7f), 0);
}
