/** `POST /keys/signatures/upload` as Synapse 1.160 does it: good signatures are kept, each bad one is told as a failure of its own. */
import { isDeepStrictEqual } from "node:util";
import { isJsonObject, type JsonObject, type JsonValue } from "../src/protocol/json.ts";
import type { CrossSigning, Signature } from "./crossSigning.ts";
import type { Keys } from "./keys.ts";
import { MatrixError, badParam, notFound, unknown } from "./matrixError.ts";
import { isSignedBy, signaturesOf, unsigned, verifyKey, withSignatures, type VerifyKey } from "./signedJson.ts";

interface Parts {
  readonly keys: Keys;
  readonly crossSigning: CrossSigning;
}

type Failures = Record<string, Record<string, JsonObject>>;

/** @param body signed keys by user and by device ID or public key. @throws MatrixError when it is not even that */
export function uploadSignatures(parts: Parts, userId: string, body: JsonObject): JsonObject {
  const failures: Failures = {};
  const { [userId]: own, ...others } = body;
  const ofSelf = own === undefined ? [] : signaturesOfSelf(parts, userId, objectsIn(own), failures);
  const ofOthers = Object.entries(others).flatMap(
    ([target, signed]) => signatureOfOther(parts, userId, target, objectsIn(signed), failures) ?? [],
  );
  for (const signature of [...ofSelf, ...ofOthers]) parts.crossSigning.addSignature(userId, signature);
  if (ofSelf.length > 0) parts.keys.note(userId);
  parts.keys.noteFor(
    userId,
    ofOthers.map(({ targetUser }) => targetUser),
  );
  return { failures };
}

/** Own devices by the self-signing key, and the own master key by devices. */
function signaturesOfSelf(
  { keys, crossSigning }: Parts,
  userId: string,
  signed: Record<string, JsonObject>,
  failures: Failures,
): Signature[] {
  const failed = (target: string, error: unknown): void => {
    (failures[userId] ??= {})[target] = failure(error);
  };
  let selfSigning: VerifyKey;
  let master: VerifyKey;
  try {
    selfSigning = crossSigning.verifyKey(userId, "self_signing");
    master = crossSigning.verifyKey(userId, "master");
    if (!keys.hasIdentities(userId)) throw notFound("No device keys found");
  } catch (error) {
    for (const target of Object.keys(signed)) failed(target, error);
    return [];
  }
  return Object.entries(signed).flatMap(([target, key]) => {
    try {
      const made = signaturesOf(key, userId);
      if (target === master.version) {
        const stored = crossSigning.key(userId, "master") ?? {};
        return Object.entries(made).map(([keyId, signature]) => {
          const by = deviceKey(keys, userId, keyId);
          if (by === null) throw badSignature();
          check(userId, by, key, stored);
          return { keyId, targetUser: userId, target, signature };
        });
      }
      const signature = made[selfSigning.keyId];
      if (signature === undefined) throw badSignature();
      const identity = keys.identity(userId, target);
      if (identity === null) throw notFound("Unknown device");
      const stored = withSignatures(identity, userId, crossSigning.signaturesOn(userId, userId, target));
      // Not even looked at: it can only be the same. (It is not, when the device has other keys now.)
      if (selfSigning.keyId in signaturesOf(stored, userId)) return [];
      check(userId, selfSigning, key, stored);
      return [{ keyId: selfSigning.keyId, targetUser: userId, target, signature }];
    } catch (error) {
      failed(target, error);
      return [];
    }
  });
}

/** Somebody's master key by the own user-signing key. */
function signatureOfOther(
  { crossSigning }: Parts,
  userId: string,
  target: string,
  signed: Record<string, JsonObject>,
  failures: Failures,
): Signature | null {
  const failed = (ids: readonly string[], error: unknown): void => {
    for (const id of ids) (failures[target] ??= {})[id] = failure(error);
  };
  let master: VerifyKey | null = null;
  try {
    const userSigning = crossSigning.verifyKey(userId, "user_signing");
    const theirs = crossSigning.verifyKey(target, "master");
    const key = signed[theirs.version];
    if (key === undefined) throw notFound("Unknown device");
    master = theirs;
    failed(
      Object.keys(signed).filter((id) => id !== theirs.version),
      notFound("Unknown device"),
    );
    const stored = crossSigning.keyFor(userId, target, "master") ?? {};
    if (userSigning.keyId in signaturesOf(stored, userId)) return null;
    check(userId, userSigning, key, stored);
    const signature = signaturesOf(key, userId)[userSigning.keyId] ?? null;
    return { keyId: userSigning.keyId, targetUser: target, target: master.version, signature };
  } catch (error) {
    failed(master === null ? Object.keys(signed) : [master.version], error);
    return null;
  }
}

function deviceKey(keys: Keys, userId: string, keyId: string): VerifyKey | null {
  const identity = keys.identity(userId, keyId.slice(keyId.indexOf(":") + 1));
  const known = identity?.["keys"];
  return isJsonObject(known) ? verifyKey(keyId, known[keyId]) : null;
}

/** @throws MatrixError */
function check(userId: string, by: VerifyKey, signed: JsonObject, stored: JsonObject): void {
  if (!isDeepStrictEqual(unsigned(signed), unsigned(stored))) throw unknown(400, "Key does not match");
  if (!isSignedBy(signed, userId, by)) throw badSignature();
}

/** @throws MatrixError `M_INVALID_PARAM` */
function objectsIn(value: JsonValue): Record<string, JsonObject> {
  if (!isJsonObject(value)) throw badParam("Invalid parameter");
  const found = Object.entries(value).filter((entry): entry is [string, JsonObject] => isJsonObject(entry[1]));
  if (found.length < Object.keys(value).length) throw badParam("Invalid parameter");
  return Object.fromEntries(found);
}

function badSignature(): MatrixError {
  return new MatrixError(400, "M_INVALID_SIGNATURE", "Invalid signature");
}

function failure(error: unknown): JsonObject {
  if (!(error instanceof MatrixError)) throw error;
  return { status: error.status, errcode: error.errcode, message: `${error.status}: ${error.message}` };
}
