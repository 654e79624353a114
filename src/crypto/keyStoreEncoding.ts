/**
 * How IndexedDB keys and values stand in SQLite. Guarantees: keys that IndexedDB holds equal have the same bytes, different
 * ones have different bytes; a value comes back as `structuredClone` would return it.
 */
import { Deserializer, Serializer } from "node:v8";
import { StoreFailed } from "../errors.ts";

/** A valid IndexedDB key (https://w3c.github.io/IndexedDB/#key-construct), as fake-indexeddb keeps it. */
export type IdbKey = number | string | Date | ArrayBuffer | readonly IdbKey[];

const Tag = { number: 1, date: 2, string: 3, looseString: 4, binary: 5, array: 6 } as const;

/** The canonical bytes of a key. */
export function encodeKey(key: IdbKey): Buffer {
  if (typeof key === "number") return tagged(Tag.number, doubleBytes(key));
  if (typeof key === "string") {
    // UTF-8 can't hold half a surrogate pair; IndexedDB can.
    return key.isWellFormed()
      ? tagged(Tag.string, Buffer.from(key, "utf8"))
      : tagged(Tag.looseString, Buffer.from(key, "utf16le"));
  }
  if (key instanceof Date) return tagged(Tag.date, doubleBytes(key.getTime()));
  if (key instanceof ArrayBuffer) return tagged(Tag.binary, Buffer.from(key));
  if (Array.isArray(key)) {
    const parts = (key as readonly IdbKey[]).map(encodeKey);
    return tagged(Tag.array, Buffer.concat(parts.flatMap((part) => [lengthBytes(part.length), part])));
  }
  throw new StoreFailed(
    "The crypto library used a key of a kind that the key store does not know. This is a bug: please report it.",
  );
}

/** @throws StoreFailed for bytes that `encodeKey` did not write */
export function decodeKey(bytes: Uint8Array): IdbKey {
  const body = Buffer.from(bytes.buffer, bytes.byteOffset + 1, bytes.byteLength - 1);
  switch (bytes[0]) {
    case Tag.number:
      return body.readDoubleBE(0);
    case Tag.date:
      return new Date(body.readDoubleBE(0));
    case Tag.string:
      return body.toString("utf8");
    case Tag.looseString:
      return body.toString("utf16le");
    case Tag.binary:
      return new Uint8Array(body).buffer;
    case Tag.array: {
      const parts: IdbKey[] = [];
      for (let at = 0; at < body.length;) {
        const length = body.readUInt32BE(at);
        parts.push(decodeKey(body.subarray(at + 4, at + 4 + length)));
        at += 4 + length;
      }
      return parts;
    }
    default:
      throw new StoreFailed(
        "The key store holds a key that this version can't read. Restore docket.db from a backup; do not delete it: it holds the bot's keys.",
      );
  }
}

/**
 * The plain serializer, not `v8.serialize`: that one writes typed arrays in a way that brings them back as views into the
 * buffer of the whole row.
 * @throws Error for what can't be kept, such as a CryptoKey
 */
export function encodeValue(value: unknown): Buffer {
  const serializer = new Serializer();
  serializer.writeHeader();
  serializer.writeValue(value);
  return serializer.releaseBuffer();
}

export function decodeValue(bytes: Uint8Array): unknown {
  const deserializer = new Deserializer(bytes);
  deserializer.readHeader();
  return deserializer.readValue();
}

function tagged(tag: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.of(tag), body]);
}

function doubleBytes(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value === 0 ? 0 : value); // -0 and 0 are one key
  return bytes;
}

function lengthBytes(length: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(length);
  return bytes;
}
