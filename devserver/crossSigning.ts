/**
 * Cross-signing keys and the signatures that were uploaded for keys, as Synapse 1.160 has them: what is uploaded must be signed
 * rightly; signatures are kept by the ID of what they sign and never go, not even with the device.
 */
import { isDeepStrictEqual } from "node:util";
import { isJsonObject, type JsonObject, type JsonValue } from "../src/protocol/json.ts";
import type { Keys } from "./keys.ts";
import { MatrixError, badParam, missingParam, unknown } from "./matrixError.ts";
import { isSignedBy, verifyKey, withSignatures, type VerifyKey } from "./signedJson.ts";

export const KEY_TYPES = ["master", "self_signing", "user_signing"] as const;
export type KeyType = (typeof KEY_TYPES)[number];

/**
 * Who may upload an identity.
 * - `to_replace`: as Synapse (MSC3967): the password is asked for only if another identity would be replaced; where an
 *   authorization server signs people in, they must have approved it there.
 * - `always`: the password is asked for with every upload, as servers before MSC3967 do.
 * - `approvalAt`: as `to_replace` with an authorization server whose pages for it are at this address.
 */
export type IdentityAuth = "to_replace" | "always" | { readonly approvalAt: string };

export interface Signature {
  readonly keyId: string;
  readonly targetUser: string;
  /** A device ID, or the public part of a cross-signing key: they share one namespace. */
  readonly target: string;
  readonly signature: JsonValue;
}

interface Held {
  readonly keys: Map<KeyType, JsonObject>;
  /** The public parts of all keys that the user ever had, oldest first. */
  readonly known: Map<string, KeyType>;
  /** Until when the master key may be replaced without authentication, milliseconds since the Unix epoch. */
  replaceableUntil: number;
}

export class CrossSigning {
  readonly #users = new Map<string, Held>();
  /** By who signed, then by what was signed. */
  readonly #signatures = new Map<string, Map<string, JsonObject>>();
  readonly #keys: Keys;
  auth: IdentityAuth = "to_replace";
  readonly #now: () => number;

  constructor(keys: Keys, now: () => number) {
    this.#keys = keys;
    this.#now = now;
  }

  isSetUp(userId: string): boolean {
    return this.#users.get(userId)?.keys.has("master") === true;
  }

  /** Whether the body of an upload has a key that is not the one that is there. */
  differs(userId: string, body: JsonObject): boolean {
    return KEY_TYPES.some(
      (type) =>
        body[`${type}_key`] !== undefined && !isDeepStrictEqual(body[`${type}_key`], this.key(userId, type) ?? null),
    );
  }

  /** As an administrator, or the authorization server for the user, approves a reset. */
  letReplace(userId: string, forMs: number): void {
    this.#held(userId).replaceableUntil = this.#now() + forMs;
  }

  isReplaceable(userId: string): boolean {
    return this.#now() < (this.#users.get(userId)?.replaceableUntil ?? 0);
  }

  /** `POST /keys/device_signing/upload`, once the user has authenticated if need be. @throws MatrixError */
  upload(userId: string, body: JsonObject): void {
    const master = body["master_key"] ?? this.key(userId, "master");
    if (body["master_key"] !== undefined) checkShape(master, userId, "master");
    if (!isJsonObject(master)) throw missingParam("No master key available");
    const masterKey = keyIn(master);
    if (masterKey === null) throw badParam("Invalid master key");
    for (const type of ["self_signing", "user_signing"] as const) {
      const key = body[`${type}_key`];
      if (key === undefined) continue;
      if (!isSignedBy(checkShape(key, userId, type), userId, masterKey))
        throw new MatrixError(400, "M_INVALID_SIGNATURE", `Invalid signature on ${type} key`);
    }
    for (const type of KEY_TYPES) this.#store(userId, type, body[`${type}_key`]);
    if (body["user_signing_key"] !== undefined) this.#keys.noteFor(userId, [userId]);
    if (body["master_key"] !== undefined || body["self_signing_key"] !== undefined) this.#keys.note(userId);
  }

  key(userId: string, type: KeyType): JsonObject | undefined {
    return this.#users.get(userId)?.keys.get(type);
  }

  /** The public parts of all that the user ever had, oldest first. */
  everyKey(userId: string, type: KeyType): readonly string[] {
    const known = [...(this.#users.get(userId)?.known ?? [])];
    return known.filter(([, knownType]) => knownType === type).map(([version]) => version);
  }

  /** The key with the signatures that `viewer` has made on it: those of others are nobody else's business. */
  keyFor(viewer: string, userId: string, type: KeyType): JsonObject | undefined {
    const key = this.key(userId, type);
    const version = key === undefined ? undefined : versionOf(key);
    if (key === undefined || version === undefined) return key;
    return withSignatures(key, viewer, this.signaturesOn(viewer, userId, version));
  }

  /** @throws MatrixError `M_NOT_FOUND` */
  verifyKey(userId: string, type: KeyType): VerifyKey {
    const key = this.key(userId, type);
    const found = key === undefined ? null : keyIn(key);
    if (found === null) throw new MatrixError(404, "M_NOT_FOUND", `No ${type} key found for ${userId}`);
    return found;
  }

  /** What `POST /keys/query` has of these users' cross-signing keys. */
  query(viewer: string, users: readonly string[]): Record<string, Record<string, JsonObject>> {
    const found = (type: KeyType, of: readonly string[]): Record<string, JsonObject> =>
      Object.fromEntries(
        of.flatMap((userId) => {
          const key = this.keyFor(viewer, userId, type);
          return key === undefined ? [] : [[userId, key]];
        }),
      );
    return {
      master_keys: found("master", users),
      self_signing_keys: found("self_signing", users),
      user_signing_keys: found(
        "user_signing",
        users.filter((userId) => userId === viewer),
      ),
    };
  }

  /** The uploaded signatures of one user on one key, by the ID of what signed. */
  signaturesOn(signer: string, targetUser: string, target: string): JsonObject {
    return this.#signatures.get(signer)?.get(`${targetUser}\u0000${target}`) ?? {};
  }

  addSignature(signer: string, { keyId, targetUser, target, signature }: Signature): void {
    const made = this.#signatures.get(signer) ?? new Map<string, JsonObject>();
    this.#signatures.set(signer, made);
    made.set(`${targetUser}\u0000${target}`, { ...this.signaturesOn(signer, targetUser, target), [keyId]: signature });
  }

  #store(userId: string, type: KeyType, key: JsonValue | undefined): void {
    if (!isJsonObject(key)) return;
    const held = this.#held(userId);
    const version = versionOf(key);
    if (version === undefined || keyIn(key) === null) throw badParam(`Invalid ${type} key`);
    // Synapse fails at a key that it has had before, unless nothing at all is new.
    if (held.known.has(version) || this.#keys.identity(userId, version) !== null)
      throw unknown(500, "Internal server error");
    held.known.set(version, type);
    held.keys.set(type, key);
    if (type === "master") held.replaceableUntil = 0;
  }

  #held(userId: string): Held {
    const held = this.#users.get(userId) ?? { keys: new Map(), known: new Map(), replaceableUntil: 0 };
    this.#users.set(userId, held);
    return held;
  }
}

/** @throws MatrixError `M_INVALID_PARAM` */
function checkShape(key: JsonValue | undefined, userId: string, type: KeyType): JsonObject {
  const usage = isJsonObject(key) ? key["usage"] : null;
  const keys = isJsonObject(key) ? key["keys"] : null;
  const fine = Array.isArray(usage) && usage.includes(type) && isJsonObject(keys) && Object.keys(keys).length === 1;
  if (!isJsonObject(key) || key["user_id"] !== userId || !fine) throw badParam(`Invalid ${type} key`);
  return key;
}

function keyIn({ keys }: JsonObject): VerifyKey | null {
  const [[keyId, key] = ["", null]] = isJsonObject(keys) ? Object.entries(keys) : [];
  return verifyKey(keyId, key);
}

function versionOf({ keys }: JsonObject): string | undefined {
  const [key] = isJsonObject(keys) ? Object.values(keys) : [];
  return typeof key === "string" ? key : undefined;
}
