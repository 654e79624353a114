/**
 * The key endpoints of a homeserver, and its media repository, in memory and for several accounts: as little as two devices need to
 * find each other. What a test wants to go wrong it does itself, to the public parts.
 */
import { ServerRefused } from "../../src/errors.ts";
import type { Homeserver, MediaLimits } from "../../src/matrix/homeserver.ts";
import { ReplyTooLong } from "../../src/matrix/refusals.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "../../src/protocol/json.ts";

type Keys = Record<string, JsonObject>;

export class KeyAndMediaServer {
  /** By user, then by device. */
  readonly devices: Record<string, Keys> = {};
  readonly masterKeys: Keys = {};
  readonly selfSigningKeys: Keys = {};
  readonly userSigningKeys: Keys = {};
  /** By `mxc` URI. */
  readonly media = new Map<string, Uint8Array>();
  /** Of each request, in order: `@user METHOD /endpoint`. */
  readonly asked: string[] = [];
  /** Called before a request is answered; what it throws is the answer. */
  before: (endpoint: string, userId: string) => void | Promise<void> = () => undefined;
  private readonly oneTimeKeys = new Map<string, [string, JsonValue][]>();
  private readonly messages = new Map<string, JsonObject[]>();

  /** The server as one device sees it. Only keys, to-device messages and media are there. */
  as(userId: string, deviceId: string): Homeserver {
    const request: Homeserver["request"] = async (method, endpoint, { body }) => {
      this.asked.push(`${userId} ${method} ${endpoint}`);
      await this.before(endpoint, userId);
      return this.answer(userId, deviceId, endpoint, isJsonObject(body) ? body : {});
    };
    const download = async (uri: string, { maxBytes }: MediaLimits): Promise<Uint8Array> => {
      this.asked.push(`${userId} GET ${uri}`);
      if (!/^mxc:\/\/[^/]+\/[^/]+$/.test(uri)) throw new TypeError("no mxc URI");
      await this.before(uri, userId);
      const bytes = this.media.get(uri);
      if (bytes === undefined)
        throw new ServerRefused("GET media: refused with status 404 M_NOT_FOUND", {
          status: 404,
          errcode: "M_NOT_FOUND",
        });
      if (bytes.length > maxBytes) throw new ReplyTooLong({ label: "GET media", origin: "memory" }, maxBytes);
      return bytes;
    };
    return new Proxy({} as Homeserver, {
      get: (_, name) => {
        if (name === "request") return request;
        if (name === "download") return download;
        throw new Error(`nobody must use ${String(name)} here`);
      },
    });
  }

  /** To-device events that wait for a device, as a sync would bring them; they are gone then. */
  take(userId: string, deviceId: string): JsonObject[] {
    return (this.messages.get(`${userId} ${deviceId}`) ?? []).splice(0);
  }

  private answer(userId: string, deviceId: string, endpoint: string, body: JsonObject): JsonObject {
    const path = endpoint.replace("/_matrix/client/v3/", "");
    if (path === "keys/upload") return this.upload(userId, deviceId, body);
    if (path === "keys/query") return this.query(userId, Object.keys(object(body["device_keys"])));
    if (path === "keys/claim") return this.claim(object(body["one_time_keys"]));
    if (path === "keys/signatures/upload") return this.sign(body);
    if (path === "keys/device_signing/upload") return this.publish(userId, body);
    if (path.startsWith("sendToDevice/")) return this.send(userId, decodeURIComponent(path.split("/")[1] ?? ""), body);
    throw new ServerRefused(`${endpoint}: unknown`, { status: 404, errcode: "M_UNRECOGNIZED" });
  }

  private upload(userId: string, deviceId: string, body: JsonObject): JsonObject {
    if (isJsonObject(body["device_keys"])) (this.devices[userId] ??= {})[deviceId] = body["device_keys"];
    const keys = this.oneTimeKeys.get(`${userId} ${deviceId}`) ?? [];
    keys.push(...Object.entries(object(body["one_time_keys"])));
    this.oneTimeKeys.set(`${userId} ${deviceId}`, keys);
    return { one_time_key_counts: { signed_curve25519: keys.length } };
  }

  private query(userId: string, users: readonly string[]): JsonObject {
    const of = (keys: Record<string, JsonValue>): JsonObject =>
      Object.fromEntries(users.flatMap((user) => (keys[user] === undefined ? [] : [[user, keys[user]]])));
    const own = this.userSigningKeys[userId];
    return {
      device_keys: { ...Object.fromEntries(users.map((user) => [user, {}])), ...of(this.devices) },
      master_keys: of(this.masterKeys),
      self_signing_keys: of(this.selfSigningKeys),
      user_signing_keys: users.includes(userId) && own !== undefined ? { [userId]: own } : {},
      failures: {},
    };
  }

  private claim(wanted: JsonObject): JsonObject {
    const claimed = Object.entries(wanted).map(([user, devices]) => [
      user,
      Object.fromEntries(
        Object.keys(object(devices)).flatMap((device) => {
          const key = this.oneTimeKeys.get(`${user} ${device}`)?.shift();
          return key === undefined ? [] : [[device, { [key[0]]: key[1] }]];
        }),
      ),
    ]);
    return { one_time_keys: Object.fromEntries(claimed) as JsonObject, failures: {} };
  }

  private sign(body: JsonObject): JsonObject {
    for (const [user, signed] of Object.entries(body)) {
      for (const [key, value] of Object.entries(object(signed))) {
        const device = this.devices[user]?.[key];
        const target = device ?? this.masterKeys[user];
        if (target === undefined) continue;
        const merged = {
          ...target,
          signatures: merge(object(target["signatures"]), object(object(value)["signatures"])),
        };
        if (device === undefined) this.masterKeys[user] = merged;
        else (this.devices[user] ??= {})[key] = merged;
      }
    }
    return { failures: {} };
  }

  private publish(userId: string, body: JsonObject): JsonObject {
    this.masterKeys[userId] = object(body["master_key"]);
    this.selfSigningKeys[userId] = object(body["self_signing_key"]);
    this.userSigningKeys[userId] = object(body["user_signing_key"]);
    return {};
  }

  private send(sender: string, type: string, body: JsonObject): JsonObject {
    for (const [user, devices] of Object.entries(object(body["messages"]))) {
      for (const [device, content] of Object.entries(object(devices))) {
        const key = `${user} ${device}`;
        this.messages.set(key, [...(this.messages.get(key) ?? []), { type, sender, content }]);
      }
    }
    return {};
  }
}

function object(value: JsonValue | undefined): JsonObject {
  return isJsonObject(value) ? value : {};
}

function merge(old: JsonObject, added: JsonObject): JsonObject {
  return Object.fromEntries(
    [...new Set([...Object.keys(old), ...Object.keys(added)])].map((user) => [
      user,
      { ...object(old[user]), ...object(added[user]) },
    ]),
  );
}
