/** Signed JSON (appendices, "Signing JSON"): checks signatures as Synapse does. Pure. */
import { createPublicKey, verify, type KeyObject } from "node:crypto";
import { isJsonObject, type JsonObject, type JsonValue } from "../src/protocol/json.ts";

/** An ed25519 key that signatures are checked with. */
export interface VerifyKey {
  /** `ed25519:` and the version: a device ID, or of a cross-signing key the public key itself. */
  readonly keyId: string;
  readonly version: string;
  readonly key: KeyObject;
}

/** @param publicKey base64, unpadded or not. @returns null for anything that is no ed25519 key */
export function verifyKey(keyId: string, publicKey: JsonValue | undefined): VerifyKey | null {
  if (!keyId.startsWith("ed25519:") || typeof publicKey !== "string") return null;
  const x = Buffer.from(publicKey, "base64").toString("base64url");
  try {
    const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
    return { keyId, version: keyId.slice("ed25519:".length), key };
  } catch {
    return null;
  }
}

/** Whether the object has the user's signature by this key, and it fits. */
export function isSignedBy(object: JsonObject, userId: string, { keyId, key }: VerifyKey): boolean {
  const signature = signaturesOf(object, userId)[keyId];
  if (typeof signature !== "string") return false;
  return verify(null, Buffer.from(canonicalJson(unsigned(object))), key, Buffer.from(signature, "base64"));
}

/** What the user has signed the object with, by key ID. */
export function signaturesOf(object: JsonObject, userId: string): JsonObject {
  const all = object["signatures"];
  const own = isJsonObject(all) && Object.hasOwn(all, userId) ? all[userId] : undefined;
  return isJsonObject(own) ? own : {};
}

/** Without `signatures` and `unsigned`: what a signature is about. */
export function unsigned(object: JsonObject): JsonObject {
  const { signatures: _, unsigned: __, ...rest } = object;
  return rest;
}

/** A copy with further signatures of one user. */
export function withSignatures(object: JsonObject, userId: string, further: JsonObject): JsonObject {
  if (Object.keys(further).length === 0) return object;
  const all = isJsonObject(object["signatures"]) ? object["signatures"] : {};
  return { ...object, signatures: { ...all, [userId]: { ...signaturesOf(object, userId), ...further } } };
}

/** Appendices, "Canonical JSON". */
export function canonicalJson(value: JsonValue): string {
  if (Array.isArray(value)) return `[${(value as readonly JsonValue[]).map(canonicalJson).join(",")}]`;
  if (!isJsonObject(value)) return JSON.stringify(value);
  const members = Object.entries(value).toSorted(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`).join(",")}}`;
}
