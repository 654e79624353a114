/**
 * The key endpoints of a homeserver in memory, without the network and without rooms: device keys, cross-signing keys, signatures,
 * one-time keys and to-device messages of several people; and the media that they share. It believes everything, and answers what a
 * test wants it to.
 */
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { ServerRefused } from "../../src/errors.ts";
import type { Homeserver } from "../../src/matrix/homeserver.ts";
import { ReplyTooLong } from "../../src/matrix/refusals.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "../../src/protocol/json.ts";
import { keyServer } from "./loneEngine.ts";

type Mutable = Record<string, JsonValue>;

/** A device as a request comes from it. */
export interface DirectoryDevice {
  readonly userId: string;
  readonly deviceId: string;
}

export class KeyDirectory {
  /** By user, then by device: what `/keys/query` tells. A test may put lies there. */
  readonly devices: Record<string, Record<string, Mutable>> = {};
  /** By kind (`master_keys` and so on), then by user. */
  readonly signing: Record<"master_keys" | "self_signing_keys" | "user_signing_keys", Record<string, Mutable>> = {
    master_keys: {},
    self_signing_keys: {},
    user_signing_keys: {},
  };
  /** By `mxc` URI. */
  readonly media = new Map<string, Uint8Array>();
  /** Requests so far, as `keys/query` and the like; a download as its URI. */
  readonly asked: string[] = [];
  /** Set by a test that wants a query to wait. */
  beforeQuery: (from: DirectoryDevice) => Promise<void> = () => Promise.resolve();
  private readonly oneTimeKeys = new Map<string, [string, JsonValue][]>();
  private readonly queues = new Map<string, JsonObject[]>();
  private readonly changed = new Map<string, Set<string>>();

  /** The endpoints as this device sees them. */
  homeserver(device: DirectoryDevice): Homeserver {
    const keys = keyServer((method, endpoint, body) => this.answer(device, method, endpoint, body));
    const download: Homeserver["download"] = async (uri, { maxBytes }) => this.download(uri, maxBytes);
    return new Proxy(keys, {
      get: (target, name): unknown => (name === "download" ? download : Reflect.get(target, name)),
    });
  }

  /** What a sync brings this device; it is gone then. */
  sync({ userId, deviceId }: DirectoryDevice): { toDevice: readonly JsonObject[]; changedUsers: readonly string[] } {
    const key = `${userId}/${deviceId}`;
    const toDevice = this.queues.get(key) ?? [];
    const changedUsers = [...(this.changed.get(key) ?? [])];
    this.queues.delete(key);
    this.changed.delete(key);
    return { toDevice, changedUsers };
  }

  /** Everybody hears with the next sync that this user's devices are other ones. */
  noteChanged(userId: string): void {
    for (const [user, devices] of Object.entries(this.devices))
      for (const deviceId of Object.keys(devices)) {
        const key = `${user}/${deviceId}`;
        this.changed.set(key, (this.changed.get(key) ?? new Set()).add(userId));
      }
  }

  /** Devices with keys of their own that nobody signed for their owner, named `D0`, `D1` and so on. */
  addUnsignedDevices(userId: string, count: number): void {
    const known = (this.devices[userId] ??= {});
    for (let n = 0; n < count; n += 1) {
      const device = `D${n}`;
      const { publicKey, privateKey } = generateKeyPairSync("ed25519");
      const ed25519 = base64(Buffer.from(publicKey.export({ format: "jwk" }).x ?? "", "base64url"));
      // In the order of canonical JSON.
      const signed = {
        algorithms: ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
        device_id: device,
        keys: { [`curve25519:${device}`]: base64(randomBytes(32)), [`ed25519:${device}`]: ed25519 },
        user_id: userId,
      };
      const signature = base64(sign(null, Buffer.from(JSON.stringify(signed)), privateKey));
      known[device] = { ...signed, signatures: { [userId]: { [`ed25519:${device}`]: signature } } };
    }
    this.noteChanged(userId);
  }

  async answer(from: DirectoryDevice, method: string, endpoint: string, body: JsonObject): Promise<JsonObject> {
    const path = endpoint.replace("/_matrix/client/v3/", "");
    this.asked.push(path);
    if (path === "keys/upload") return this.upload(from, body);
    if (path === "keys/query") {
      await this.beforeQuery(from);
      return this.query(from, body);
    }
    if (path === "keys/claim") return this.claim(body);
    if (path === "keys/device_signing/upload") return this.uploadSigningKeys(from, body);
    if (path === "keys/signatures/upload") return this.addSignatures(body);
    if (path.startsWith("sendToDevice/"))
      return this.sendToDevice(from, decodeURIComponent(path.split("/")[1] ?? ""), body);
    throw new Error(`the key directory does not know ${method} ${endpoint}`);
  }

  private download(uri: string, maxBytes: number): Uint8Array {
    this.asked.push(uri);
    if (!/^mxc:\/\/[^/]+\/[^/]+$/.test(uri)) throw new TypeError("no mxc URI");
    const bytes = this.media.get(uri);
    if (bytes === undefined) throw new ServerRefused("GET media: not found", { status: 404, errcode: "M_NOT_FOUND" });
    if (bytes.length > maxBytes) throw new ReplyTooLong({ label: "GET media", origin: "memory" }, maxBytes);
    return bytes;
  }

  private upload({ userId, deviceId }: DirectoryDevice, body: JsonObject): JsonObject {
    if (isJsonObject(body["device_keys"])) {
      (this.devices[userId] ??= {})[deviceId] = structuredClone(body["device_keys"]) as Mutable;
      this.noteChanged(userId);
    }
    const keys = this.oneTimeKeys.get(`${userId}/${deviceId}`) ?? [];
    if (isJsonObject(body["one_time_keys"])) keys.push(...Object.entries(body["one_time_keys"]));
    this.oneTimeKeys.set(`${userId}/${deviceId}`, keys);
    return { one_time_key_counts: { signed_curve25519: keys.length } };
  }

  private query(from: DirectoryDevice, body: JsonObject): JsonObject {
    const users = Object.keys(isJsonObject(body["device_keys"]) ? body["device_keys"] : {});
    const of = (all: Record<string, JsonValue>): JsonObject =>
      Object.fromEntries(users.flatMap((user) => (all[user] === undefined ? [] : [[user, all[user]]])));
    const own = this.signing.user_signing_keys[from.userId];
    return {
      device_keys: Object.fromEntries(users.map((user) => [user, this.devices[user] ?? {}])),
      master_keys: of(this.signing.master_keys),
      self_signing_keys: of(this.signing.self_signing_keys),
      user_signing_keys: users.includes(from.userId) && own !== undefined ? { [from.userId]: own } : {},
      failures: {},
    };
  }

  private claim(body: JsonObject): JsonObject {
    const claimed: Record<string, Mutable> = {};
    for (const [user, devices] of Object.entries(body["one_time_keys"] as JsonObject))
      for (const device of Object.keys(devices as JsonObject)) {
        const key = this.oneTimeKeys.get(`${user}/${device}`)?.shift();
        if (key !== undefined) (claimed[user] ??= {})[device] = { [key[0]]: key[1] };
      }
    return { one_time_keys: claimed, failures: {} };
  }

  private uploadSigningKeys({ userId }: DirectoryDevice, body: JsonObject): JsonObject {
    for (const kind of ["master", "self_signing", "user_signing"] as const) {
      const key = body[`${kind}_key`];
      if (isJsonObject(key)) this.signing[`${kind}_keys`][userId] = structuredClone(key) as Mutable;
    }
    this.noteChanged(userId);
    return {};
  }

  /** A server adds what it is given to what it has. */
  private addSignatures(body: JsonObject): JsonObject {
    for (const [userId, objects] of Object.entries(body))
      for (const [id, object] of Object.entries(objects as JsonObject)) {
        const known =
          this.devices[userId]?.[id] ??
          Object.values(this.signing)
            .map((keys) => keys[userId])
            .find((key) => key !== undefined && Object.hasOwn(key["keys"] as object, `ed25519:${id}`));
        if (known === undefined || !isJsonObject(object)) continue;
        const signatures = (known["signatures"] ??= {}) as Record<string, Mutable>;
        for (const [signer, made] of Object.entries(object["signatures"] as JsonObject))
          signatures[signer] = { ...signatures[signer], ...(made as Mutable) };
        this.noteChanged(userId);
      }
    return {};
  }

  private sendToDevice(from: DirectoryDevice, type: string, body: JsonObject): JsonObject {
    for (const [userId, devices] of Object.entries(body["messages"] as JsonObject))
      for (const [deviceId, content] of Object.entries(devices as JsonObject)) {
        const key = `${userId}/${deviceId}`;
        this.queues.set(key, [...(this.queues.get(key) ?? []), { type, sender: from.userId, content }]);
      }
    return {};
  }
}

function base64(bytes: Buffer): string {
  return bytes.toString("base64").replace(/=+$/, "");
}
