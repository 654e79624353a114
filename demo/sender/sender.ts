/**
 * The independent sender: a small Matrix client with its own HTTP, its own sync loop and its own encryption. Tests and the
 * demo use it to judge the bot, so it imports nothing of the bot but types of JSON.
 * Every event that it sees is kept in `events`, in order of arrival, its own included.
 */
import { randomUUID } from "node:crypto";
import type { JsonObject, JsonValue } from "../../src/protocol/json.ts";
import type { DeliveryReceipt } from "./deliveryReceipts.ts";
import { HttpRefused, MatrixHttp, segment } from "./matrixHttp.ts";
import { asArray, asObject, readResponse, type SeenEvent, type StatusResponse } from "./seenEvent.ts";
import { SenderCrypto } from "./senderCrypto.ts";
import type { SenderRoom } from "./senderRoom.ts";
import { type Probe, SyncFollower } from "./syncFollower.ts";

/** Far more than a wait takes on a busy machine. */
const PATIENCE_MS = 60_000;

export interface SenderAccount {
  readonly baseUrl: string;
  readonly userId: string;
  readonly deviceId: string;
  readonly accessToken: string;
}

export interface SenderOptions {
  /** Rooms of which nothing is wanted, however much is said there. */
  readonly ignoredRooms?: readonly string[];
  /**
   * `make`, also where it is left out: the account's cross-signing identity, in the place of one that is there. A sender of the same
   * account: the device is signed with that one's. `none`: the account is left as it is, and the device unsigned.
   */
  readonly identity?: "make" | "none" | Sender;
}

export interface NewRoom {
  readonly encrypted?: boolean;
  readonly name?: string;
  readonly roomVersion?: string;
  readonly invite?: readonly string[];
  readonly historyVisibility?: "invited" | "joined" | "shared" | "world_readable";
  /** `private_chat` by default. */
  readonly preset?: string;
  /** Further properties of `m.room.encryption`, such as `rotation_period_msgs`. */
  readonly encryption?: JsonObject;
  readonly initialState?: readonly JsonObject[];
  /** Further properties of `m.room.create`. */
  readonly creation?: JsonObject;
}

export interface SendOptions {
  /** By default: if the room is encrypted. `false` sends in the clear even there. */
  readonly encrypted?: boolean;
  readonly txnId?: string;
}

/** An event whose room key was held back. */
export interface HeldEvent {
  readonly eventId: string;
  /** Hands the key out by to-device messages. */
  releaseKeys(): Promise<void>;
}

export class Sender {
  readonly userId: string;
  readonly deviceId: string;
  readonly accessToken: string;
  readonly http: MatrixHttp;
  readonly crypto: SenderCrypto;
  readonly #follower: SyncFollower;

  private constructor(account: SenderAccount, http: MatrixHttp, crypto: SenderCrypto, ignoredRooms: readonly string[]) {
    this.userId = account.userId;
    this.deviceId = account.deviceId;
    this.accessToken = account.accessToken;
    this.http = http;
    this.crypto = crypto;
    this.#follower = new SyncFollower(http, crypto, { userId: account.userId, ignoredRooms });
  }

  /**
   * A new device identity under a token that exists. Its keys are uploaded when this resolves, and signed by its account: who is given
   * no key by others for want of a signature can't read what they answer (MSC4153).
   */
  static async withToken(account: SenderAccount, options: SenderOptions = {}): Promise<Sender> {
    const { ignoredRooms = [], identity = "make" } = options;
    const http = new MatrixHttp(account.baseUrl, account.accessToken);
    const crypto = await SenderCrypto.create(http, account.userId, account.deviceId);
    if (identity === "make") await crypto.makeIdentity();
    else if (identity !== "none") await crypto.signWithIdentityOf(identity.crypto);
    return new Sender(account, http, crypto, ignoredRooms);
  }

  /** Takes the first sync, then follows in the background until `stop`. */
  async start(): Promise<void> {
    await this.#follower.start();
  }

  /** Ends the long poll at once. May be called more than once. */
  async stop(): Promise<void> {
    await this.#follower.stop();
    this.crypto.close();
  }

  /** Everything seen in timelines, by event ID, in order of arrival. */
  get events(): ReadonlyMap<string, SeenEvent> {
    return this.#follower.events;
  }

  /** What is known of each room that this sender is or was in. */
  get rooms(): ReadonlyMap<string, SenderRoom> {
    return this.#follower.rooms;
  }

  /** Room IDs of open invites. */
  get invites(): ReadonlySet<string> {
    return this.#follower.invites;
  }

  /** The last failure of the sync loop, which goes on after it. */
  get lastSyncError(): unknown {
    return this.#follower.lastError;
  }

  /** @returns the room's ID; invites are part of the creation, and the sender knows the room's state on return */
  async createRoom(room: NewRoom = {}): Promise<string> {
    const state: JsonObject[] = [...(room.initialState ?? [])];
    if (room.encrypted === true) {
      const content = { algorithm: "m.megolm.v1.aes-sha2", ...room.encryption };
      state.push({ type: "m.room.encryption", state_key: "", content });
    }
    if (room.historyVisibility !== undefined) {
      const content = { history_visibility: room.historyVisibility };
      state.push({ type: "m.room.history_visibility", state_key: "", content });
    }
    const answer = await this.http.call("POST", "/_matrix/client/v3/createRoom", {
      body: {
        preset: room.preset ?? "private_chat",
        initial_state: state,
        ...(room.creation === undefined ? {} : { creation_content: room.creation }),
        ...(room.name === undefined ? {} : { name: room.name }),
        ...(room.roomVersion === undefined ? {} : { room_version: room.roomVersion }),
        ...(room.invite === undefined ? {} : { invite: room.invite }),
      },
    });
    const roomId = String(answer["room_id"]);
    await this.waitFor(() => this.membership(roomId, this.userId) === "join" || undefined, PATIENCE_MS, "the new room");
    await this.#follower.learnState(roomId);
    return roomId;
  }

  async invite(roomId: string, userId: string): Promise<void> {
    await this.http.call("POST", `/_matrix/client/v3/rooms/${segment(roomId)}/invite`, { body: { user_id: userId } });
  }

  /** Joins and waits until the sync shows it. */
  async join(roomId: string): Promise<void> {
    await this.http.call("POST", `/_matrix/client/v3/join/${segment(roomId)}`, { body: {} });
    await this.waitFor(
      () => this.membership(roomId, this.userId) === "join" || undefined,
      PATIENCE_MS,
      "the joined room",
    );
  }

  membership(roomId: string, userId: string): string | null {
    return this.rooms.get(roomId)?.members.get(userId) ?? null;
  }

  /** Resolves when that user is joined to the room. */
  async waitForJoin(roomId: string, userId: string, timeoutMs = PATIENCE_MS): Promise<void> {
    const joined = (): true | undefined => this.membership(roomId, userId) === "join" || undefined;
    await this.waitFor(joined, timeoutMs, `${userId} to join the room`);
  }

  /** Resolves when a room key can be sent to that device: its keys are published. */
  async waitForDevice(userId: string, deviceId: string, timeoutMs = PATIENCE_MS): Promise<void> {
    const known = async (): Promise<true | undefined> =>
      (await this.crypto.knowsDevice(userId, deviceId)) ? true : undefined;
    await this.waitFor(known, timeoutMs, `the keys of ${userId}'s device ${deviceId}`);
  }

  /** Sends a message event. @returns its event ID */
  async send(roomId: string, type: string, content: JsonObject, options: SendOptions = {}): Promise<string> {
    const room = await this.#follower.room(roomId);
    if (!(options.encrypted ?? room.encrypted)) return await this.sendWire(roomId, type, content, options.txnId);
    const ciphertext = await this.crypto.encrypt(room, type, content);
    return await this.sendWire(roomId, "m.room.encrypted", ciphertext, options.txnId);
  }

  /** Sends an encrypted event under a new room key that nobody gets until `releaseKeys`: the key comes late. */
  async sendHoldingKeys(roomId: string, type: string, content: JsonObject): Promise<HeldEvent> {
    const held = await this.crypto.encryptHoldingKeys(await this.#follower.room(roomId), type, content);
    const eventId = await this.sendWire(roomId, "m.room.encrypted", held.content);
    return { eventId, releaseKeys: () => held.releaseKeys() };
  }

  /** Sends the same bytes as an event that this sender has seen, as a new event: a replay. */
  async sendReplay(eventId: string): Promise<string> {
    const seen = await this.seen(eventId);
    return await this.sendWire(seen.roomId, String(seen.wire["type"]), asObject(seen.wire["content"]));
  }

  /** Sends exactly this, whatever the room is. */
  async sendWire(roomId: string, type: string, content: JsonObject, txnId: string = randomUUID()): Promise<string> {
    const path = `/_matrix/client/v3/rooms/${segment(roomId)}/send/${segment(type)}/${segment(txnId)}`;
    return String((await this.http.call("PUT", path, { body: content }))["event_id"]);
  }

  async sendState(roomId: string, type: string, stateKey: string, content: JsonObject): Promise<string> {
    const path = `/_matrix/client/v3/rooms/${segment(roomId)}/state/${segment(type)}/${segment(stateKey)}`;
    return String((await this.http.call("PUT", path, { body: content }))["event_id"]);
  }

  async redact(roomId: string, eventId: string): Promise<string> {
    const path = `/_matrix/client/v3/rooms/${segment(roomId)}/redact/${segment(eventId)}/${segment(randomUUID())}`;
    return String((await this.http.call("PUT", path, { body: {} }))["event_id"]);
  }

  /** Every status response to this event so far, in order of arrival, of any dialect, encrypted or not, from anybody. */
  responsesTo(eventId: string): readonly StatusResponse[] {
    return [...this.events.values()].flatMap((event) => readResponse(event, eventId) ?? []);
  }

  /** Resolves with the first response to this event. @throws Error when none came in time */
  async waitForResponse(eventId: string, timeoutMs = PATIENCE_MS): Promise<StatusResponse> {
    return await this.waitFor(() => this.responsesTo(eventId)[0], timeoutMs, `a response to ${eventId}`);
  }

  /** Every delivery receipt (MSC4089) for this event so far, in order of arrival, from anybody. */
  receiptsFor(eventId: string): readonly DeliveryReceipt[] {
    return this.#follower.receipts.of(eventId);
  }

  /** Resolves with the first delivery receipt for this event. @throws Error when none came in time */
  async waitForReceipt(eventId: string, timeoutMs = 10_000): Promise<DeliveryReceipt> {
    return await this.waitFor(() => this.receiptsFor(eventId)[0], timeoutMs, `a delivery receipt for ${eventId}`);
  }

  /** What the homeserver says that it knows (`/versions`). */
  async versions(): Promise<{ readonly versions: readonly string[]; readonly unstableFeatures: JsonObject }> {
    const answer = await this.http.call("GET", "/_matrix/client/versions");
    return {
      versions: asArray(answer["versions"]).map(String),
      unstableFeatures: asObject(answer["unstable_features"]),
    };
  }

  /** A field of a profile (MSC4133); null where that user has none. @throws HttpRefused where the server knows no such fields */
  async profileField(userId: string, key: string): Promise<JsonValue> {
    const path = `/_matrix/client/v3/profile/${segment(userId)}/${segment(key)}`;
    try {
      return (await this.http.call("GET", path))[key] ?? null;
    } catch (error) {
      if (error instanceof HttpRefused && error.errcode === "M_NOT_FOUND") return null;
      throw error;
    }
  }

  /** Resolves with this event once the sync has shown it. */
  async seen(eventId: string, timeoutMs = PATIENCE_MS): Promise<SeenEvent> {
    return await this.waitFor(() => this.events.get(eventId), timeoutMs, `the event ${eventId}`);
  }

  /** Asks `probe` after every sync until it gives something (see SyncFollower). @param timeoutMs milliseconds */
  async waitFor<Found>(probe: Probe<Found>, timeoutMs: number, what: string): Promise<Found> {
    return await this.#follower.waitFor(probe, timeoutMs, what);
  }
}
