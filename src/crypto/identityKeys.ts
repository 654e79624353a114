/**
 * A cross-signing identity as keys (client-server API, "Cross-signing"): makes the three of them, and says them to a homeserver. They are
 * made outside of the crypto library, so that they can be on disk before anything depends on them, and so that an identity that the
 * homeserver did not take leaves the one before untouched; the library takes them in once the homeserver has them.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import type { UserId } from "../protocol/ids.ts";
import type { JsonObject } from "../protocol/json.ts";
import { canonicalJson } from "./deviceSignature.ts";

/** Seeds in unpadded base64, as secret storage and the library have them. */
export interface IdentitySecrets {
  readonly master: string;
  readonly selfSigning: string;
  readonly userSigning: string;
}

/** Where secret storage has them. */
export const SECRET_NAMES = {
  master: "m.cross_signing.master",
  selfSigning: "m.cross_signing.self_signing",
  userSigning: "m.cross_signing.user_signing",
} as const satisfies Record<keyof IdentitySecrets, string>;

export const BACKUP_SECRET = "m.megolm_backup.v1";

export function makeIdentitySecrets(): IdentitySecrets {
  return { master: newSeed(), selfSigning: newSeed(), userSigning: newSeed() };
}

/** In unpadded base64: the name of the identity. */
export function masterKeyOf({ master }: IdentitySecrets): string {
  return publicKeyOf(privateKey(master));
}

/** The body of `/keys/device_signing/upload`, without `auth`; the same each time. */
export function publicIdentity(userId: UserId, secrets: IdentitySecrets): JsonObject {
  const master = privateKey(secrets.master);
  const masterName = `ed25519:${publicKeyOf(master)}`;
  const said = (usage: string, key: KeyObject): JsonObject => {
    const publicKey = publicKeyOf(key);
    const object = { user_id: userId, usage: [usage], keys: { [`ed25519:${publicKey}`]: publicKey } };
    const signature = sign(null, Buffer.from(canonicalJson(object)), master)
      .toString("base64")
      .replace(/=+$/, "");
    return { ...object, signatures: { [userId]: { [masterName]: signature } } };
  };
  return {
    master_key: said("master", master),
    self_signing_key: said("self_signing", privateKey(secrets.selfSigning)),
    user_signing_key: said("user_signing", privateKey(secrets.userSigning)),
  };
}

function newSeed(): string {
  const { privateKey: key } = generateKeyPairSync("ed25519");
  return Buffer.from(key.export({ format: "jwk" }).d ?? "", "base64url")
    .toString("base64")
    .replace(/=+$/, "");
}

/** Of a PKCS #8 ed25519 key: the seed follows (RFC 8410). */
const PKCS8_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");

function privateKey(seed: string): KeyObject {
  const bytes = Buffer.from(seed, "base64");
  return createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, bytes]), format: "der", type: "pkcs8" });
}

function publicKeyOf(key: KeyObject): string {
  const { x } = createPublicKey(key).export({ format: "jwk" });
  return Buffer.from(x ?? "", "base64url")
    .toString("base64")
    .replace(/=+$/, "");
}
