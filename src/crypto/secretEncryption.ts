/**
 * How a secret is encrypted in secret storage (client-server API, "m.secret_storage.v1.aes-hmac-sha2"): HKDF makes two keys for each name,
 * AES-256-CTR encrypts, HMAC-SHA-256 authenticates. What is read comes from a server: anything that does not fit is no secret. Pure.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  hkdfSync,
  pbkdf2,
  randomBytes,
  timingSafeEqual,
} from "node:crypto";
import { promisify } from "node:util";
import { isJsonObject, type JsonObject, type JsonValue } from "../protocol/json.ts";

const STORAGE_ALGORITHM = "m.secret_storage.v1.aes-hmac-sha2";

const ZERO_SALT = Buffer.alloc(8);
const KEY_BYTES = 32;
const IV_BYTES = 16;
const MAC_BYTES = 32;
/** A secret is a few dozen bytes. */
const LONGEST_CIPHERTEXT = 64 * 1024;
/**
 * Other clients take 500,000; ten times as many take seconds. With far fewer a homeserver that describes a storage of its own could
 * guess the passphrase from what is put there.
 */
const LEAST_ITERATIONS = 100_000;
const MOST_ITERATIONS = 5_000_000;

/** In padded base64. */
export interface EncryptedSecret extends JsonObject {
  readonly iv: string;
  readonly ciphertext: string;
  readonly mac: string;
}

/** Whether a key is the one that a key description is about; `unknown` where the description can't be used. */
export type KeyCheck = "fits" | "other" | "unknown";

/** @param name of the secret, which the encryption is bound to */
export function encryptSecret(key: Uint8Array, name: string, secret: string): EncryptedSecret {
  const iv = randomBytes(IV_BYTES);
  // The specification wants bit 63 to be zero: some implementations count only below it.
  iv.writeUInt8(iv.readUInt8(8) & 0x7f, 8);
  return sealed(key, name, Buffer.from(secret), iv);
}

/** @returns null where it is not authentic: another key or name, or damaged */
export function decryptSecret(key: Uint8Array, name: string, encrypted: JsonValue | undefined): string | null {
  if (!isJsonObject(encrypted)) return null;
  const iv = bytesOf(encrypted["iv"], IV_BYTES);
  const mac = bytesOf(encrypted["mac"], MAC_BYTES);
  const ciphertext = bytesOf(encrypted["ciphertext"], null);
  if (iv === null || mac === null || ciphertext === null) return null;
  const { aes, hmac } = keysFor(key, name);
  if (!timingSafeEqual(createHmac("sha256", hmac).update(ciphertext).digest(), mac)) return null;
  const decipher = createDecipheriv("aes-256-ctr", aes, iv);
  return Buffer.concat([decipher.update(ciphertext), decipher.final()]).toString("utf8");
}

/** What the account's data say of a key, so that others can tell whether they have the same one. */
export function describeKey(key: Uint8Array): JsonObject {
  const { iv, mac } = encryptSecret(key, "", "\0".repeat(KEY_BYTES));
  return { algorithm: STORAGE_ALGORITHM, iv, mac };
}

export function checkKey(key: Uint8Array, description: JsonObject): KeyCheck {
  if (description["algorithm"] !== STORAGE_ALGORITHM) return "unknown";
  // Without a check the specification has any key pass; a secret tells then.
  if (description["mac"] === undefined) return "fits";
  const iv = bytesOf(description["iv"], IV_BYTES);
  const mac = bytesOf(description["mac"], MAC_BYTES);
  if (iv === null || mac === null) return "unknown";
  const { mac: expected } = sealed(key, "", Buffer.alloc(KEY_BYTES), iv);
  return timingSafeEqual(Buffer.from(expected, "base64"), mac) ? "fits" : "other";
}

/**
 * The key of a passphrase, as the key's description says to derive it (client-server API, "Deriving keys from passphrases").
 * @returns null where the description names no way, or one that is not known, takes too long, or protects too little
 */
export async function keyOfPassphrase(passphrase: string, description: JsonObject): Promise<Buffer | null> {
  const { passphrase: way } = description;
  if (!isJsonObject(way) || way["algorithm"] !== "m.pbkdf2") return null;
  const { salt, iterations, bits = KEY_BYTES * 8 } = way;
  const isUsable =
    typeof salt === "string" &&
    typeof iterations === "number" &&
    Number.isInteger(iterations) &&
    iterations >= LEAST_ITERATIONS &&
    iterations <= MOST_ITERATIONS &&
    bits === KEY_BYTES * 8;
  return isUsable ? await promisify(pbkdf2)(passphrase, salt, iterations, KEY_BYTES, "sha512") : null;
}

function sealed(key: Uint8Array, name: string, secret: Buffer, iv: Buffer): EncryptedSecret {
  const { aes, hmac } = keysFor(key, name);
  const cipher = createCipheriv("aes-256-ctr", aes, iv);
  const ciphertext = Buffer.concat([cipher.update(secret), cipher.final()]);
  const mac = createHmac("sha256", hmac).update(ciphertext).digest("base64");
  return { iv: iv.toString("base64"), ciphertext: ciphertext.toString("base64"), mac };
}

function keysFor(key: Uint8Array, name: string): { aes: Buffer; hmac: Buffer } {
  const bytes = Buffer.from(hkdfSync("sha256", key, ZERO_SALT, name, 2 * KEY_BYTES));
  return { aes: bytes.subarray(0, KEY_BYTES), hmac: bytes.subarray(KEY_BYTES) };
}

/** @param length in bytes; null: any, up to the longest. Base64 may be padded or not. */
function bytesOf(value: JsonValue | undefined, length: number | null): Buffer | null {
  if (typeof value !== "string" || value.length > LONGEST_CIPHERTEXT || !/^[A-Za-z0-9+/]*={0,2}$/.test(value))
    return null;
  const bytes = Buffer.from(value, "base64");
  return length === null || bytes.length === length ? bytes : null;
}
