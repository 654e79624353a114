/**
 * The file in which clients hand room keys from one to the other, encrypted with a passphrase, written from the specification ("Key
 * exports") with the platform's own cryptography: matrix-js-sdk leaves it to the applications, and the crypto library's own is what
 * the bot uses.
 */
const { subtle } = globalThis.crypto;

const HEADER = "-----BEGIN MEGOLM SESSION DATA-----";
const TRAILER = "-----END MEGOLM SESSION DATA-----";
const VERSION = 1;
/** Few, since tests write and read their own; what is read says its own number. */
const ROUNDS = 10_000;
const [SALT, IV, MAC] = [16, 16, 32] as const;
/** The version, salt, initialization vector and number of rounds. */
const HEAD = 1 + SALT + IV + 4;

async function deriveKeys(passphrase: string, salt: Uint8Array<ArrayBuffer>, iterations: number) {
  const raw = await subtle.importKey("raw", new TextEncoder().encode(passphrase), "PBKDF2", false, ["deriveBits"]);
  const bits = await subtle.deriveBits({ name: "PBKDF2", salt, iterations, hash: "SHA-512" }, raw, 512);
  return {
    aes: await subtle.importKey("raw", bits.slice(0, 32), "AES-CTR", false, ["encrypt", "decrypt"]),
    hmac: await subtle.importKey("raw", bits.slice(32), { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]),
  };
}

/** @returns the file's text */
export async function encryptRoomKeys(plain: string, passphrase: string): Promise<string> {
  const head = Buffer.alloc(HEAD);
  head[0] = VERSION;
  globalThis.crypto.getRandomValues(head.subarray(1, 1 + SALT + IV));
  // Bit 63 is zero, so that every implementation counts alike.
  head[1 + SALT + 8] = (head[1 + SALT + 8] ?? 0) & 0x7f;
  head.writeUInt32BE(ROUNDS, 1 + SALT + IV);
  const { salt, iv } = parts(head);
  const { aes, hmac } = await deriveKeys(passphrase, salt, ROUNDS);
  const body = await subtle.encrypt({ name: "AES-CTR", counter: iv, length: 64 }, aes, Buffer.from(plain, "utf8"));
  const signed = Buffer.concat([head, Buffer.from(body)]);
  const all = Buffer.concat([signed, Buffer.from(await subtle.sign("HMAC", hmac, signed))]);
  return [HEADER, ...(all.toString("base64").match(/.{1,96}/g) ?? []), TRAILER, ""].join("\n");
}

/** @throws Error when it is no such file, or the passphrase is another */
export async function decryptRoomKeys(text: string, passphrase: string): Promise<string> {
  const [before, rest] = text.split(HEADER);
  const [inside, after] = (rest ?? "").split(TRAILER);
  if (before === undefined || inside === undefined || after === undefined) throw new Error("not a file of room keys");
  const all = Buffer.from(inside, "base64");
  const signed = Uint8Array.from(all.subarray(0, -MAC));
  if (all[0] !== VERSION) throw new Error(`version ${all[0]} of the file of room keys is not known`);
  const { salt, iv, rounds } = parts(all);
  const { aes, hmac } = await deriveKeys(passphrase, salt, rounds);
  if (!(await subtle.verify("HMAC", hmac, Uint8Array.from(all.subarray(-MAC)), signed)))
    throw new Error("the passphrase is not that of the file of room keys");
  const plain = await subtle.decrypt({ name: "AES-CTR", counter: iv, length: 64 }, aes, signed.slice(HEAD));
  return Buffer.from(plain).toString("utf8");
}

function parts(bytes: Buffer) {
  return {
    salt: Uint8Array.from(bytes.subarray(1, 1 + SALT)),
    iv: Uint8Array.from(bytes.subarray(1 + SALT, 1 + SALT + IV)),
    rounds: bytes.readUInt32BE(1 + SALT + IV),
  };
}
