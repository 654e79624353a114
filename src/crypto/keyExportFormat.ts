/**
 * The file in which clients hand room keys to each other: sessions as JSON, under a passphrase (client-server API, "Key exports").
 * Guarantees: what comes out was made with this passphrase and is whole; no file makes it compute without end.
 *
 * node:crypto does it, not the crypto library: for 500,000 rounds the library takes 0.9 s during which nothing else of the process
 * runs; OpenSSL takes 0.2 s, in a thread of its own (2 cores, Node 24).
 */
import { createCipheriv, createDecipheriv, createHmac, pbkdf2, randomBytes, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import type { JsonValue } from "../protocol/json.ts";

const HEADER = "-----BEGIN MEGOLM SESSION DATA-----";
const FOOTER = "-----END MEGOLM SESSION DATA-----";
const VERSION = 1;
/** As many as other clients take. */
const ROUNDS = 500_000;
/** A file names its rounds itself; these take some 4 s. */
const MOST_ROUNDS = 10_000_000;
const LINE_LENGTH = 76;
const SALT_BYTES = 16;
const IV_BYTES = 16;
const HEAD_BYTES = 1 + SALT_BYTES + IV_BYTES + 4;
const MAC_BYTES = 32;

export type KeyFileProblem =
  "no_key_file" | "cut_off" | "damaged" | "other_version" | "too_many_rounds" | "wrong_passphrase" | "no_keys";

export type KeyFile =
  | { readonly ok: true; readonly sessions: readonly JsonValue[] }
  | { readonly ok: false; readonly problem: KeyFileProblem };

/** @param sessions a JSON list, as the library exports it. @returns the text of the file */
export async function encryptKeyFile(sessions: string, passphrase: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const iv = randomBytes(IV_BYTES);
  // Bit 63 is zero: some implementations count in 64 bits.
  iv[8] = (iv[8] ?? 0) & 0x7f;
  const rounds = Buffer.alloc(4);
  rounds.writeUInt32BE(ROUNDS);
  const { aes, mac } = await deriveKeys(passphrase, salt, ROUNDS);
  const cipher = createCipheriv("aes-256-ctr", aes, iv);
  const body = Buffer.concat([
    Buffer.from([VERSION]),
    salt,
    iv,
    rounds,
    cipher.update(sessions, "utf8"),
    cipher.final(),
  ]);
  const whole = Buffer.concat([body, createHmac("sha256", mac).update(body).digest()]).toString("base64");
  const lines: string[] = [HEADER];
  for (let at = 0; at < whole.length; at += LINE_LENGTH) lines.push(whole.slice(at, at + LINE_LENGTH));
  return `${[...lines, FOOTER].join("\n")}\n`;
}

/** Whether a text looks like such a file at all: before anybody is asked for its passphrase. */
export function isKeyFile(text: string): boolean {
  return text.includes(HEADER);
}

/** Never throws for a file, however broken. */
export async function decryptKeyFile(text: string, passphrase: string): Promise<KeyFile> {
  const failed = (problem: KeyFileProblem): KeyFile => ({ ok: false, problem });
  const begin = text.indexOf(HEADER);
  if (begin < 0) return failed("no_key_file");
  const end = text.indexOf(FOOTER, begin);
  if (end < 0) return failed("cut_off");
  const base64 = text.slice(begin + HEADER.length, end).replace(/\s+/g, "");
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return failed("damaged");
  const bytes = Buffer.from(base64, "base64");
  if (bytes[0] !== VERSION) return failed("other_version");
  if (bytes.length < HEAD_BYTES + MAC_BYTES) return failed("damaged");
  const salt = bytes.subarray(1, 1 + SALT_BYTES);
  const iv = bytes.subarray(1 + SALT_BYTES, 1 + SALT_BYTES + IV_BYTES);
  const rounds = bytes.readUInt32BE(HEAD_BYTES - 4);
  if (rounds === 0) return failed("damaged");
  if (rounds > MOST_ROUNDS) return failed("too_many_rounds");
  const { aes, mac } = await deriveKeys(passphrase, salt, rounds);
  const signed = bytes.subarray(0, -MAC_BYTES);
  if (!timingSafeEqual(createHmac("sha256", mac).update(signed).digest(), bytes.subarray(-MAC_BYTES)))
    return failed("wrong_passphrase");
  const decipher = createDecipheriv("aes-256-ctr", aes, iv);
  const clear = Buffer.concat([decipher.update(signed.subarray(HEAD_BYTES)), decipher.final()]);
  try {
    const sessions = JSON.parse(clear.toString("utf8")) as JsonValue;
    return Array.isArray(sessions) ? { ok: true, sessions: sessions as readonly JsonValue[] } : failed("no_keys");
  } catch {
    return failed("no_keys");
  }
}

async function deriveKeys(passphrase: string, salt: Buffer, rounds: number): Promise<{ aes: Buffer; mac: Buffer }> {
  const both = await promisify(pbkdf2)(passphrase, salt, rounds, 64, "sha512");
  return { aes: both.subarray(0, 32), mac: both.subarray(32) };
}
