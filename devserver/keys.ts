/** Device keys, one-time keys and fallback keys, and whose keys changed when. Checks no signature of a device: clients do. */
import { isDeepStrictEqual } from "node:util";
import { isJsonObject, type JsonObject, type JsonValue } from "../src/protocol/json.ts";
import type { Stream } from "./changes.ts";
import { badJson, badParam, unknown } from "./matrixError.ts";
import { withSignatures } from "./signedJson.ts";

interface DeviceKeys {
  identity: JsonObject | null;
  /** By full key ID such as `signed_curve25519:AAAA`, oldest first. */
  readonly oneTime: Map<string, JsonValue>;
  /** By algorithm. */
  readonly fallback: Map<string, { readonly keyId: string; readonly key: JsonValue; used: boolean }>;
}

/** What the server of a user does when it is asked for keys; `fails` and `hangs` play a dead remote server. */
export type KeyQueryMode = "answers" | "fails" | "hangs";

/** What a key query tells of a device beyond its keys. */
export interface MoreOfDevices {
  displayName(userId: string, deviceId: string): string | null;
  /** Of its owner, by the ID of what signed. */
  signatures(userId: string, deviceId: string): JsonObject;
}

export class Keys {
  readonly #users = new Map<string, Map<string, DeviceKeys>>();
  readonly #modes = new Map<string, KeyQueryMode>();
  readonly #changed: { readonly position: number; readonly userId: string; readonly onlyFor: string | null }[] = [];
  readonly #stream: Stream;

  constructor(stream: Stream) {
    this.#stream = stream;
  }

  setMode(userId: string, mode: KeyQueryMode): void {
    this.#modes.set(userId, mode);
    this.#stream.touch();
  }

  mode(userId: string): KeyQueryMode {
    return this.#modes.get(userId) ?? "answers";
  }

  /** `POST /keys/upload`. @throws MatrixError for keys of another device or shape, or a key ID used twice */
  upload(userId: string, deviceId: string, body: JsonObject): JsonObject {
    const device = this.#device(userId, deviceId);
    checkShape(body);
    const identity = body["device_keys"];
    if (isJsonObject(identity)) {
      if (identity["user_id"] !== userId || identity["device_id"] !== deviceId)
        throw badJson("The keys are for another user or device.");
      if (!isDeepStrictEqual(device.identity, identity)) {
        device.identity = identity;
        this.note(userId);
      }
    }
    const oneTime = entries(body["one_time_keys"]);
    for (const [keyId, key] of oneTime) {
      const old = device.oneTime.get(keyId);
      if (old !== undefined && !isDeepStrictEqual(bare(old), bare(key)))
        throw unknown(
          400,
          `One time key ${keyId} already exists. Old key: ${JSON.stringify(old)}; new key: ${JSON.stringify(key)}`,
        );
    }
    for (const [keyId, key] of oneTime) if (!device.oneTime.has(keyId)) device.oneTime.set(keyId, key);
    for (const [keyId, key] of entries(body["fallback_keys"]))
      device.fallback.set(algorithmOf(keyId), { keyId, key, used: false });
    return { one_time_key_counts: this.counts(userId, deviceId) };
  }

  /** A user's keys have changed, for everybody who shares a room. */
  note(userId: string): void {
    this.#changedFor(null, userId);
  }

  /** These users' keys look different to one user alone, wherever they are. */
  noteFor(viewer: string, users: readonly string[]): void {
    for (const userId of users) this.#changedFor(viewer, userId);
  }

  /** Whether any device of the user has uploaded its keys. */
  hasIdentities(userId: string): boolean {
    return [...(this.#users.get(userId)?.values() ?? [])].some(({ identity }) => identity !== null);
  }

  identity(userId: string, deviceId: string): JsonObject | null {
    return this.#users.get(userId)?.get(deviceId)?.identity ?? null;
  }

  /** Unclaimed one-time keys by algorithm. As on Synapse `signed_curve25519` is named even at zero. */
  counts(userId: string, deviceId: string): Record<string, number> {
    const counts: Record<string, number> = { signed_curve25519: 0 };
    for (const keyId of this.#users.get(userId)?.get(deviceId)?.oneTime.keys() ?? [])
      counts[algorithmOf(keyId)] = (counts[algorithmOf(keyId)] ?? 0) + 1;
    return counts;
  }

  unusedFallback(userId: string, deviceId: string): string[] {
    const fallback = this.#users.get(userId)?.get(deviceId)?.fallback ?? [];
    return [...fallback].filter(([, held]) => !held.used).map(([algorithm]) => algorithm);
  }

  /** `device_keys` and `failures` of `POST /keys/query`, once nobody asked for hangs. */
  query(body: JsonObject, more: MoreOfDevices): { device_keys: Record<string, JsonObject>; failures: JsonObject } {
    const deviceKeys: Record<string, JsonObject> = {};
    const failures: Record<string, JsonObject> = {};
    for (const [userId, wanted] of entries(body["device_keys"])) {
      if (this.mode(userId) !== "answers") {
        failures[serverOf(userId)] = { status: 503, message: "Not ready for retry" };
        continue;
      }
      const devices: Record<string, JsonObject> = {};
      for (const [deviceId, held] of this.#users.get(userId) ?? []) {
        if (held.identity === null || (Array.isArray(wanted) && wanted.length > 0 && !wanted.includes(deviceId)))
          continue;
        const name = more.displayName(userId, deviceId);
        const signed = withSignatures(held.identity, userId, more.signatures(userId, deviceId));
        devices[deviceId] = { ...signed, unsigned: name === null ? {} : { device_display_name: name } };
      }
      deviceKeys[userId] = devices;
    }
    return { device_keys: deviceKeys, failures };
  }

  /** `POST /keys/claim`: a one-time key, then the fallback key, then nothing for that device. */
  claim(body: JsonObject): JsonObject {
    const claimed: Record<string, Record<string, JsonObject>> = {};
    const failures: Record<string, JsonObject> = {};
    for (const [userId, devices] of entries(body["one_time_keys"])) {
      if (this.mode(userId) !== "answers") {
        failures[serverOf(userId)] = { status: 503, message: "Not ready for retry" };
        continue;
      }
      for (const [deviceId, algorithm] of entries(devices)) {
        const key = this.#take(userId, deviceId, String(algorithm));
        if (key !== null) (claimed[userId] ??= {})[deviceId] = key;
      }
    }
    return { one_time_keys: claimed, failures };
  }

  /** Users whose devices changed in `(since, upTo]`: for everybody, and for the viewer alone. */
  changedIn(since: number, upTo: number, viewer: string): { forAll: Set<string>; forViewer: Set<string> } {
    const forAll = new Set<string>();
    const forViewer = new Set<string>();
    for (let index = this.#changed.length - 1; index >= 0; index -= 1) {
      const change = this.#changed[index];
      if (change === undefined || change.position <= since) break;
      if (change.position > upTo) continue;
      if (change.onlyFor === null) forAll.add(change.userId);
      else if (change.onlyFor === viewer) forViewer.add(change.userId);
    }
    return { forAll, forViewer };
  }

  /** The device is gone: its keys go, and others hear of it. */
  removeDevice(userId: string, deviceId: string): void {
    if (this.#users.get(userId)?.delete(deviceId)) this.note(userId);
  }

  /** For tests: throws away the one-time keys that are left, so that the next claim gets the fallback key. */
  dropOneTimeKeys(userId: string, deviceId: string): void {
    this.#users.get(userId)?.get(deviceId)?.oneTime.clear();
  }

  #take(userId: string, deviceId: string, algorithm: string): JsonObject | null {
    const device = this.#users.get(userId)?.get(deviceId);
    if (device === undefined) return null;
    for (const [keyId, key] of device.oneTime)
      if (algorithmOf(keyId) === algorithm) {
        device.oneTime.delete(keyId);
        return { [keyId]: key };
      }
    const fallback = device.fallback.get(algorithm);
    if (fallback === undefined) return null;
    fallback.used = true;
    return { [fallback.keyId]: fallback.key };
  }

  #device(userId: string, deviceId: string): DeviceKeys {
    const devices = this.#users.get(userId) ?? new Map<string, DeviceKeys>();
    this.#users.set(userId, devices);
    const device = devices.get(deviceId) ?? { identity: null, oneTime: new Map(), fallback: new Map() };
    devices.set(deviceId, device);
    return device;
  }

  #changedFor(onlyFor: string | null, userId: string): void {
    this.#changed.push({ position: this.#stream.advance(), userId, onlyFor });
  }
}

/** As far as Synapse holds it against its model. */
function checkShape(body: JsonObject): void {
  const identity = body["device_keys"];
  if (identity === null) throw badParam("device_keys must not be null");
  if (identity !== undefined) {
    if (!isJsonObject(identity)) throw badJson("device_keys must be an object");
    const fine =
      Array.isArray(identity["algorithms"]) && isJsonObject(identity["keys"]) && isJsonObject(identity["signatures"]);
    if (!fine) throw badJson("device_keys need algorithms, keys and signatures");
  }
  for (const name of ["one_time_keys", "fallback_keys"])
    for (const [keyId] of entries(body[name]))
      if (keyId.split(":").length !== 2) throw badJson(`Invalid ${name} key ${keyId}`);
}

/** Without signatures: two uploads of one key may differ in them. */
function bare(key: JsonValue): JsonValue {
  if (!isJsonObject(key)) return key;
  const { signatures: _, ...rest } = key;
  return rest;
}

function serverOf(id: string): string {
  return id.slice(id.indexOf(":") + 1);
}

/** The users that a `/keys/query` or `/keys/claim` body asks about. */
export function askedUsers(body: JsonObject, property: string): string[] {
  return entries(body[property]).map(([userId]) => userId);
}

function entries(value: JsonValue | undefined): [string, JsonValue][] {
  return isJsonObject(value) ? Object.entries(value) : [];
}

function algorithmOf(keyId: string): string {
  return keyId.slice(0, keyId.indexOf(":"));
}
