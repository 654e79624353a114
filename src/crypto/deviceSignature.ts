/**
 * Whether a device is signed by its account (client-server API, "Cross-signing"), read from an answer of `/keys/query`: the account's
 * master key signs its self-signing key, and that one signs the device. Signatures are verified; nothing is taken on the server's word
 * but whose master key it is. Pure.
 */
import { createPublicKey, verify } from "node:crypto";
import { isJsonObject, type JsonObject, type JsonValue } from "../protocol/json.ts";

export type DeviceSignature =
  /** The account has no cross-signing keys. */
  | "no_keys"
  | "unsigned"
  /** There is a signature, of the device or of the self-signing key, that is none. */
  | "broken"
  | "signed";

/** Whether the answer's account signs the device that stands in it. */
export function deviceSignature(answer: JsonObject, userId: string, deviceId: string): DeviceSignature {
  const device = inside(answer, "device_keys", userId, deviceId);
  const master = inside(answer, "master_keys", userId);
  const selfSigning = inside(answer, "self_signing_keys", userId);
  const masterKey = keyIn(master);
  const signingKey = keyIn(selfSigning);
  if (!isJsonObject(selfSigning) || masterKey === null || signingKey === null) return "no_keys";
  if (!isSignedBy(selfSigning, userId, masterKey)) return "broken";
  if (!isJsonObject(device) || signatureOf(device, userId, signingKey) === null) return "unsigned";
  return isSignedBy(device, userId, signingKey) ? "signed" : "broken";
}

/** Also for keys that come from a server and may be anything. */
export function inside(value: JsonValue | undefined, ...path: readonly string[]): JsonValue | undefined {
  return path.reduce<JsonValue | undefined>(
    (part, key) => (isJsonObject(part) && Object.hasOwn(part, key) ? part[key] : undefined),
    value,
  );
}

/** The one ed25519 key of a cross-signing key, in unpadded base64. */
export function keyIn(value: JsonValue | undefined): string | null {
  const keys = inside(value, "keys");
  if (!isJsonObject(keys)) return null;
  const [[name, key] = ["", null], ...others] = Object.entries(keys);
  return others.length === 0 && typeof key === "string" && name === `ed25519:${key}` ? key : null;
}

function signatureOf(signed: JsonObject, userId: string, key: string): string | null {
  const signature = inside(signed, "signatures", userId, `ed25519:${key}`);
  return typeof signature === "string" ? signature : null;
}

/** Appendices, "Checking for a signature": over the canonical JSON without `signatures` and `unsigned`. */
function isSignedBy(signed: JsonObject, userId: string, key: string): boolean {
  const signature = signatureOf(signed, userId, key);
  const { signatures: _, unsigned: __, ...rest } = signed;
  if (signature === null) return false;
  try {
    // An ed25519 key as the crypto library of Node takes it.
    const publicKey = createPublicKey({
      key: { kty: "OKP", crv: "Ed25519", x: Buffer.from(key, "base64").toString("base64url") },
      format: "jwk",
    });
    return verify(null, Buffer.from(canonicalJson(rest)), publicKey, Buffer.from(signature, "base64"));
  } catch {
    return false;
  }
}

/** Appendices, "Canonical JSON"; numbers in keys' objects are integers, or the signature does not fit. */
export function canonicalJson(value: JsonValue): string {
  if (Array.isArray(value)) return `[${(value as readonly JsonValue[]).map(canonicalJson).join(",")}]`;
  if (!isJsonObject(value)) return JSON.stringify(value);
  const members = Object.entries(value).toSorted(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`).join(",")}}`;
}
