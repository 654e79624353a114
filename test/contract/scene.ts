/**
 * Users, devices and rooms on the homeserver under test, made over HTTP as anybody would. Every user is new, so that tests of one
 * server don't meet; users are exempt from the message limit unless a test is about it.
 */
import { HttpClient } from "../support/httpClient.ts";
import type { JsonObject } from "../../src/protocol/json.ts";
import type { Homeserver } from "./homeserver.ts";

/** Every user's. */
export const PASSWORD = "correct horse battery staple";

export class Scene {
  readonly #homeserver: () => Homeserver;
  #made = 0;

  /** @param homeserver asked when it is needed: tests are declared before the server starts */
  constructor(homeserver: () => Homeserver) {
    this.#homeserver = homeserver;
  }

  get homeserver(): Homeserver {
    return this.#homeserver();
  }

  /** A new user with one signed-in device. @param how `limited`: with the server's message limit */
  async user(name: string, how: "exempt" | "limited" = "exempt"): Promise<HttpClient> {
    const account = await this.homeserver.createAccount(this.newName(name), PASSWORD);
    if (how === "exempt") await this.homeserver.limitMessages(account.userId, null);
    return new HttpClient(this.homeserver, account);
  }

  users<Names extends readonly string[]>(...names: Names): Promise<{ [Index in keyof Names]: HttpClient }> {
    return Promise.all(names.map((name) => this.user(name))) as Promise<{ [Index in keyof Names]: HttpClient }>;
  }

  /** A localpart, or an alias, that nobody has. */
  newName(name: string): string {
    this.#made += 1;
    return `${name}${this.#made}`;
  }

  /** Signs in a further device of a user. */
  async device(of: HttpClient, deviceId?: string): Promise<HttpClient> {
    const body = await this.anyone().call("POST", "/v3/login", {
      type: "m.login.password",
      identifier: { type: "m.id.user", user: of.userId },
      password: PASSWORD,
      ...(deviceId === undefined ? {} : { device_id: deviceId }),
    });
    const [userId, accessToken, device] = [body["user_id"], body["access_token"], body["device_id"]].map(String);
    return new HttpClient(this.homeserver, {
      userId: userId ?? "",
      accessToken: accessToken ?? "",
      deviceId: device ?? "",
    });
  }

  /** Somebody without an access token, or with another one than the server gave. */
  anyone(accessToken: string | null = null): HttpClient {
    return new HttpClient(this.homeserver, { userId: "", deviceId: "", accessToken });
  }

  /** A room in which the creator and the others are. @returns its ID */
  async room(creator: HttpClient, others: readonly HttpClient[] = [], body: JsonObject = {}): Promise<string> {
    const invite = others.map((other) => other.userId);
    const { room_id: roomId } = await creator.call("POST", "/v3/createRoom", { invite, ...body });
    for (const other of others) await other.call("POST", `/v3/join/${String(roomId)}`, {});
    return String(roomId);
  }
}
