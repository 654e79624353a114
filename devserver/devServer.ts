/** A running development homeserver in the hands of a test: what can be put in, and what can be seen. */
import type { JsonObject, JsonValue } from "../src/protocol/json.ts";
import type { AuthDelegate } from "./accessTokens.ts";
import type { Changes } from "./changes.ts";
import { createRoom } from "./createRoom.ts";
import { signOut } from "./deviceRoutes.ts";
import type { Fault, FaultRule } from "./faults.ts";
import { Identities } from "./identities.ts";
import type { KeyQueryMode } from "./keys.ts";
import type { Listener } from "./listener.ts";
import type { Media } from "./media.ts";
import type { LoggedEvent, LoggedRequest, RequestQuestion } from "./observer.ts";
import type { ServerParts } from "./parts.ts";
import type { RateLimit } from "./rateLimits.ts";
import type { DeliveryReceipt } from "./receipts.ts";
import { newEventId, type Draft } from "./room.ts";

export interface SignedIn {
  readonly userId: string;
  readonly accessToken: string;
  readonly deviceId: string;
}

export class DevServer {
  /** Cross-signing identities, key backups, account data. */
  readonly identities: Identities;
  /** Uploaded files. */
  readonly media: Media;
  readonly #parts: ServerParts;
  readonly #listener: Listener;
  readonly #anything: Changes;

  /** Use `startDevServer`. @param anything moves with everything that `waitFor` could look at */
  constructor(parts: ServerParts, listener: Listener, anything: Changes) {
    this.identities = new Identities(parts);
    this.media = parts.media;
    this.#parts = parts;
    this.#listener = listener;
    this.#anything = anything;
  }

  /** `http://127.0.0.1:PORT`; stays the same over `pause` and `resume`. */
  get url(): string {
    return this.#listener.url;
  }

  get serverName(): string {
    return this.#parts.serverName;
  }

  /** Cuts every connection and stops listening. Idempotent. */
  async stop(): Promise<void> {
    await this.#listener.close();
    // Only now: a request that hung must not take effect because the server stops.
    this.clearFaults();
  }

  /** The server is "down": connections are cut and refused; the state stays, and the port is kept. */
  pause(): Promise<void> {
    return this.#listener.pause();
  }

  /** Listens again on the same port, with the same state. */
  resume(): Promise<void> {
    return this.#listener.open();
  }

  /** Cuts the connections that are open now, long polls included. */
  cutConnections(): void {
    this.#listener.cutConnections();
  }

  // --- accounts -------------------------------------------------------------------------------------------------

  /**
   * Makes a user with one signed-in device.
   * @param localpart or a whole user ID, such as `@someone:other.example` for a user of "another server"
   * @param password without one `/login` refuses the user
   */
  createAccount(localpart: string, password?: string, { deviceId }: { deviceId?: string } = {}): SignedIn {
    return this.#parts.accounts.signIn(this.#parts.accounts.create(localpart, password ?? null), deviceId);
  }

  /** A further device, or a further access token for a device. */
  signIn(userId: string, deviceId?: string): SignedIn {
    return this.#parts.accounts.signIn(this.#parts.accounts.existing(userId), deviceId);
  }

  /** From now on the token is refused with 401 `M_UNKNOWN_TOKEN`; `soft` says `soft_logout: true`. */
  revokeToken(accessToken: string, how: "hard" | "soft" = "hard"): void {
    this.#parts.accounts.tokens.revoke(accessToken, how);
  }

  /** What differs from now on in how people sign in. @param how.tokenLifetimeMs of access tokens that come with a refresh token */
  setSignIn(how: { flows?: readonly string[]; refreshTokens?: boolean; tokenLifetimeMs?: number }): void {
    const { accounts } = this.#parts;
    accounts.loginFlows = how.flows ?? accounts.loginFlows;
    accounts.tokens.offersRefresh = how.refreshTokens ?? accounts.tokens.offersRefresh;
    accounts.tokens.lifetimeMs = how.tokenLifetimeMs ?? accounts.tokens.lifetimeMs;
  }

  /** From now on an authorization server issues tokens too. */
  delegateAuth(delegate: AuthDelegate | null): void {
    this.#parts.accounts.tokens.delegate = delegate;
  }

  /** A device without a token of this server: an authorization server has signed it in. */
  addDevice(userId: string, deviceId: string, displayName?: string): void {
    this.#parts.accounts.addDevice(this.#parts.accounts.existing(userId), deviceId, displayName);
  }

  /** The devices of a user, and what each is called. */
  devices(userId: string): ReadonlyMap<string, string | null> {
    const { devices } = this.#parts.accounts.existing(userId);
    return new Map([...devices.values()].map(({ deviceId, displayName }) => [deviceId, displayName]));
  }

  /** As `/logout` does it: the device is gone, with its keys, its messages and its tokens. */
  removeDevice(userId: string, deviceId: string): void {
    signOut(this.#parts, userId, deviceId);
  }

  // --- rooms: done as if over HTTP by that user ------------------------------------------------------------------

  /** @param body as for `POST /createRoom`. @returns the room ID. @throws MatrixError */
  createRoom(creator: string, body: JsonObject = {}): string {
    const { rooms, defaultRoomVersion: roomVersion, serverName } = this.#parts;
    return createRoom(rooms, creator, body, { roomVersion, serverName }).id;
  }

  invite(roomId: string, inviter: string, userId: string): void {
    this.#parts.rooms.invite(this.#parts.rooms.existing(roomId), inviter, userId);
  }

  join(roomId: string, userId: string): void {
    this.#parts.rooms.join(this.#parts.rooms.existing(roomId), userId);
  }

  leave(roomId: string, userId: string): void {
    this.#parts.rooms.leave(this.#parts.rooms.existing(roomId), userId);
  }

  remove(roomId: string, by: string, userId: string, how: "kick" | "ban" | "unban" = "kick"): void {
    this.#parts.rooms.remove(this.#parts.rooms.existing(roomId), by, userId, how);
  }

  membership(roomId: string, userId: string): string {
    return this.#parts.rooms.existing(roomId).membership(userId);
  }

  /** The content of a state event; `{}` when there is none. */
  state(roomId: string, type: string, stateKey = ""): JsonObject {
    return this.#parts.rooms.existing(roomId).stateContent(type, stateKey);
  }

  // --- what a test puts in ----------------------------------------------------------------------------------------

  /** Appends a well-formed event with any sender and time; nobody is asked for permission. @returns its ID */
  append(roomId: string, draft: Draft): string {
    const { rooms } = this.#parts;
    return String(rooms.append(rooms.existing(roomId), draft).eventId);
  }

  /** Appends anything at all as the next timeline "event"; clients get it exactly so. */
  inject(roomId: string, event: JsonValue): void {
    this.#parts.rooms.inject(this.#parts.rooms.existing(roomId), event);
  }

  /** Appends a copy of an event (its ciphertext, say) under a new event ID. @returns the new ID */
  replay(roomId: string, eventId: string, changes: JsonObject = {}): string {
    const original = this.#parts.rooms.existing(roomId).event(eventId)?.original;
    if (typeof original !== "object" || original === null) throw new Error(`There is no event ${eventId} in the room.`);
    const newId = newEventId();
    this.inject(roomId, { ...original, event_id: newId, ...changes });
    return newId;
  }

  /** This user no longer sees events of this type, state included (`m.room.encryption`, say). */
  hide(roomId: string, userId: string, type: string): void {
    this.#parts.rooms.existing(roomId).hide(userId, type);
  }

  unhide(roomId: string, userId: string, type: string): void {
    this.#parts.rooms.existing(roomId).unhide(userId, type);
  }

  /** Forgets every transaction ID, as a real server does after a time: a repeated send sends again. */
  forgetTransactions(): void {
    this.#parts.rooms.forgetTransactions();
  }

  /** The user's next `/sync`, a waiting one included, is answered 200 with exactly this text. */
  answerNextSync(userId: string, text: string): void {
    this.#parts.sync.answerNext(userId, text);
  }

  fault(rule: FaultRule): Fault {
    return this.#parts.faults.plan(rule);
  }

  /** @param id as given by `fault`. @throws Error when there is none */
  existingFault(id: number): Fault {
    const fault = this.#parts.faults.find(id);
    if (fault === undefined) throw new Error(`There is no fault ${id}.`);
    return fault;
  }

  clearFaults(): void {
    this.#parts.faults.clear();
  }

  /** From now on `/versions` says so of this unstable feature, and the server has it or not: an upgrade, or a step back. */
  setFeature(name: string, on: boolean): void {
    this.#parts.features.set(name, on);
  }

  /** From now on the `Date` of each answer is off by so many milliseconds, and nothing else. */
  shiftDate(ms: number): void {
    this.#listener.dateShiftMs = ms;
  }

  /** @param userId null for everyone without a limit of their own. @param limit null for none */
  setRateLimit(userId: string | null, limit: RateLimit | null): void {
    this.#parts.rateLimits.set(userId, limit);
  }

  /** What `/keys/query` and `/keys/claim` do when they are asked about this user: answer, fail, or hang. */
  setKeyQueries(userId: string, mode: KeyQueryMode): void {
    this.#parts.keys.setMode(userId, mode);
  }

  /** The next claims for this device get its fallback key, if it has one. */
  dropOneTimeKeys(userId: string, deviceId: string): void {
    this.#parts.keys.dropOneTimeKeys(userId, deviceId);
  }

  /** Keeps back to-device messages for this device until `releaseToDevice`. */
  holdToDevice(userId: string, deviceId: string): void {
    this.#parts.toDevice.hold(userId, deviceId);
  }

  heldToDevice(userId: string, deviceId: string): readonly JsonObject[] {
    return this.#parts.toDevice.held(userId, deviceId);
  }

  /** To-device messages that the device has not acknowledged by a sync; held ones are not among them. */
  pendingToDevice(userId: string, deviceId: string): readonly JsonObject[] {
    return this.#parts.toDevice.pending(userId, deviceId);
  }

  /** @param arrange reorders, repeats or drops them; by default they come as they were sent */
  releaseToDevice(
    userId: string,
    deviceId: string,
    arrange?: (held: readonly JsonObject[]) => readonly JsonObject[],
  ): void {
    this.#parts.toDevice.release(userId, deviceId, arrange);
  }

  /** Puts a to-device message into a device's queue. `event` needs `type`, `sender` and `content`. */
  sendToDevice(userId: string, deviceId: string, event: JsonObject): void {
    this.#parts.toDevice.send(userId, deviceId, event);
  }

  // --- what a test sees -------------------------------------------------------------------------------------------

  /** Every accepted event, in order of receipt. @param after only those with a higher `index` */
  events(after = 0): LoggedEvent[] {
    return this.#parts.observer.events(undefined, after);
  }

  eventsIn(roomId: string, after = 0): LoggedEvent[] {
    return this.#parts.observer.events(roomId, after);
  }

  /** Every request that matches, in order of arrival. @param after only those with a higher `id` */
  requests(question: RequestQuestion = {}, after = 0): LoggedRequest[] {
    return this.#parts.observer.requests(question, after);
  }

  /** Every accepted delivery receipt, in order of acceptance. @param after only those with a higher `index` */
  receipts(after = 0): DeliveryReceipt[] {
    return this.#parts.receipts.all(after);
  }

  /** The device keys that a device has uploaded, or null. */
  deviceKeys(userId: string, deviceId: string): JsonObject | null {
    return this.#parts.keys.identity(userId, deviceId);
  }

  /**
   * Waits until `look` finds something (neither undefined, null nor false); looks again after every change.
   * @param what is named in the error
   * @throws Error after `timeoutMs` milliseconds; whatever `look` throws
   */
  async waitFor<T>(look: () => T | undefined | null | false, timeoutMs: number, what = "something"): Promise<T> {
    const endsAt = performance.now() + timeoutMs;
    for (;;) {
      const found = look();
      if (found !== undefined && found !== null && found !== false) return found;
      const leftMs = endsAt - performance.now();
      if (leftMs <= 0) throw new Error(`Waited ${timeoutMs} ms in vain for ${what}.`);
      await this.#anything.next(leftMs);
    }
  }
}
