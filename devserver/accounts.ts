/** Users, their devices, filters, account data and display names. */
import { randomBytes } from "node:crypto";
import type { JsonObject, JsonValue } from "../src/protocol/json.ts";
import { AccessTokens, type Refreshable, type Session } from "./accessTokens.ts";
import type { Stream } from "./changes.ts";
import { MatrixError, forbidden } from "./matrixError.ts";

export interface Device {
  readonly userId: string;
  readonly deviceId: string;
  displayName: string | null;
}

export interface Datum {
  readonly content: JsonObject;
  readonly position: number;
}

export interface Account {
  readonly userId: string;
  password: string | null;
  readonly profile: Map<string, JsonValue>;
  readonly devices: Map<string, Device>;
  readonly filters: JsonObject[];
  /** By room ID ("" for the user's own), then by type. */
  readonly data: Map<string, Map<string, Datum>>;
}

export class Accounts {
  readonly #accounts = new Map<string, Account>();
  readonly #stream: Stream;
  readonly tokens: AccessTokens;
  readonly serverName: string;
  /** What `GET /login` offers; `/login` takes passwords only while `m.login.password` is among them. */
  loginFlows: readonly string[] = ["m.login.password"];

  constructor(stream: Stream, serverName: string, now: () => number) {
    this.#stream = stream;
    this.tokens = new AccessTokens(now);
    this.serverName = serverName;
  }

  /** @throws MatrixError `M_USER_IN_USE` */
  create(localpart: string, password: string | null, serverName = this.serverName): Account {
    const userId = localpart.startsWith("@") ? localpart : `@${localpart}:${serverName}`;
    if (this.#accounts.has(userId)) throw new MatrixError(400, "M_USER_IN_USE", "User ID already taken.");
    const account: Account = {
      userId,
      password,
      profile: new Map(),
      devices: new Map(),
      filters: [],
      data: new Map(),
    };
    this.#accounts.set(userId, account);
    return account;
  }

  get(userId: string): Account | undefined {
    return this.#accounts.get(userId);
  }

  /** @throws MatrixError when there is no such user on this server */
  existing(userId: string): Account {
    const account = this.#accounts.get(userId);
    if (account === undefined) throw new MatrixError(404, "M_NOT_FOUND", "User not found");
    return account;
  }

  /** Signs a device in. A device that exists keeps its keys and its name, and gets a further token. */
  signIn(account: Account, deviceId?: string, displayName?: string): Session {
    return this.tokens.issue(account.userId, this.addDevice(account, deviceId, displayName));
  }

  /** `signIn`, with a refresh token: the access token expires. */
  signInRefreshable(account: Account, deviceId?: string, displayName?: string): Refreshable {
    return this.tokens.issueRefreshable(account.userId, this.addDevice(account, deviceId, displayName));
  }

  /** Does nothing to a device that exists. @returns its ID */
  addDevice(account: Account, deviceId?: string, displayName?: string): string {
    const id = deviceId ?? randomBytes(5).toString("hex").toUpperCase();
    if (!account.devices.has(id))
      account.devices.set(id, { userId: account.userId, deviceId: id, displayName: displayName ?? null });
    return id;
  }

  /** @param user a user ID or a localpart. @throws MatrixError 403 `M_FORBIDDEN` */
  checkPassword(user: string, password: string): Account {
    const account = this.#accounts.get(user.startsWith("@") ? user : `@${user}:${this.serverName}`);
    if (account === undefined || account.password === null || account.password !== password)
      throw forbidden("Invalid username or password");
    return account;
  }

  /** Removes the device and every token of it. */
  removeDevice(userId: string, deviceId: string): void {
    this.#accounts.get(userId)?.devices.delete(deviceId);
    this.tokens.revokeDevice(userId, deviceId);
  }

  /** @param roomId "" for the user's own account data */
  setData(userId: string, roomId: string, type: string, content: JsonObject): void {
    const { data } = this.existing(userId);
    let room = data.get(roomId);
    if (room === undefined) data.set(roomId, (room = new Map()));
    room.set(type, { content, position: this.#stream.advance() });
  }

  /** The account data of one room ("" for the user's own) that changed after `since`, as events. */
  dataSince(userId: string, roomId: string, since: number): JsonObject[] {
    const events: JsonObject[] = [];
    for (const [type, datum] of this.#accounts.get(userId)?.data.get(roomId) ?? [])
      if (datum.position > since) events.push({ type, content: datum.content });
    return events;
  }
}
