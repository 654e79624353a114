/** A test's hands and eyes on what users keep at the server for their encryption: `DevServer.identities`. */
import type { JsonObject } from "../src/protocol/json.ts";
import type { IdentityAuth, KeyType } from "./crossSigning.ts";
import type { Backup } from "./keyBackups.ts";
import { MatrixError } from "./matrixError.ts";
import type { ServerParts } from "./parts.ts";

/** As long as Synapse gives for it. */
const APPROVED_FOR_MS = 600_000;

export class Identities {
  readonly #parts: ServerParts;

  constructor(parts: ServerParts) {
    this.#parts = parts;
  }

  /** What is asked from now on of whoever uploads a cross-signing identity. */
  setAuth(auth: IdentityAuth): void {
    this.#parts.crossSigning.auth = auth;
  }

  /** The user approves at the authorization server (or an administrator does) that the identity is replaced: once, within 10 minutes. */
  approveReset(userId: string): void {
    this.#parts.crossSigning.letReplace(userId, APPROVED_FOR_MS);
  }

  /** A cross-signing key as its owner sees it, signatures included; null where there is none. */
  key(userId: string, type: KeyType): JsonObject | null {
    return this.#parts.crossSigning.keyFor(userId, userId, type) ?? null;
  }

  /** The public parts of all cross-signing keys that the user ever had, oldest first. */
  everyKey(userId: string, type: KeyType): readonly string[] {
    return this.#parts.crossSigning.everyKey(userId, type);
  }

  /** How many key backups the user has ever made: their versions are `1` and so on. */
  backupsMade(userId: string): number {
    return this.#parts.keyBackups.made(userId);
  }

  /** The user's current key backup, or the one of that version, with its keys; null where there is none. */
  backup(userId: string, version?: string): Backup | null {
    try {
      return this.#parts.keyBackups.get(userId, version);
    } catch (error) {
      if (error instanceof MatrixError) return null;
      throw error;
    }
  }

  /** Account data of the user (secret storage, for one); null where there is none. */
  accountData(userId: string, type: string): JsonObject | null {
    return this.#parts.accounts.existing(userId).data.get("")?.get(type)?.content ?? null;
  }

  /** The signatures that the owner has uploaded for a device, by the ID of what signed. */
  deviceSignatures(userId: string, deviceId: string): JsonObject {
    return this.#parts.crossSigning.signaturesOn(userId, userId, deviceId);
  }
}
