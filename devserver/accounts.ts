/** Users, their devices and access tokens, filters, account data and display names. */
import { randomBytes } from "node:crypto";
import type { JsonObject, JsonValue } from "../src/protocol/json.ts";
import type { Stream } from "./changes.ts";
import { MatrixError, forbidden } from "./matrixError.ts";

export interface Device {
  readonly userId: string;
  readonly deviceId: string;
  displayName: string | null;
}

/** Who makes a request, and with which token. */
export interface Session {
  readonly userId: string;
  readonly deviceId: string;
  readonly accessToken: string;
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

type Token = { readonly session: Session; revoked: "no" | "hard" | "soft" };

export class Accounts {
  readonly #accounts = new Map<string, Account>();
  readonly #tokens = new Map<string, Token>();
  readonly #stream: Stream;
  readonly serverName: string;

  constructor(stream: Stream, serverName: string) {
    this.#stream = stream;
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

  /** Signs a device in. A device that exists keeps its keys and gets a further token. */
  signIn(account: Account, deviceId?: string, displayName?: string): Session {
    const id = deviceId ?? randomBytes(5).toString("hex").toUpperCase();
    if (!account.devices.has(id))
      account.devices.set(id, { userId: account.userId, deviceId: id, displayName: displayName ?? null });
    const session = {
      userId: account.userId,
      deviceId: id,
      accessToken: `syt_${Buffer.from(account.userId).toString("base64url")}_${randomBytes(15).toString("base64url")}`,
    };
    this.#tokens.set(session.accessToken, { session, revoked: "no" });
    return session;
  }

  /** @param user a user ID or a localpart. @throws MatrixError 403 `M_FORBIDDEN` */
  checkPassword(user: string, password: string): Account {
    const account = this.#accounts.get(user.startsWith("@") ? user : `@${user}:${this.serverName}`);
    if (account === undefined || account.password === null || account.password !== password)
      throw forbidden("Invalid username or password");
    return account;
  }

  /** @throws MatrixError 401 `M_MISSING_TOKEN` or `M_UNKNOWN_TOKEN` */
  authenticate(accessToken: string | null): Session {
    if (accessToken === null) throw new MatrixError(401, "M_MISSING_TOKEN", "Missing access token");
    const token = this.#tokens.get(accessToken);
    if (token?.revoked === "soft")
      throw new MatrixError(401, "M_UNKNOWN_TOKEN", "Access token has expired", { soft_logout: true });
    if (token === undefined || token.revoked !== "no")
      throw new MatrixError(401, "M_UNKNOWN_TOKEN", "Invalid access token passed.", { soft_logout: false });
    return token.session;
  }

  /** Whose token it is or was; for the log of requests and for faults. */
  peek(accessToken: string | null): Session | null {
    return accessToken === null ? null : (this.#tokens.get(accessToken)?.session ?? null);
  }

  revoke(accessToken: string, how: "hard" | "soft"): void {
    const token = this.#tokens.get(accessToken);
    if (token === undefined) throw new Error("There is no such access token.");
    token.revoked = how;
  }

  /** Removes the device and every token of it. */
  removeDevice(userId: string, deviceId: string): void {
    this.#accounts.get(userId)?.devices.delete(deviceId);
    for (const token of this.#tokens.values())
      if (token.session.userId === userId && token.session.deviceId === deviceId) token.revoked = "hard";
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
