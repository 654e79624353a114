/** All rooms, and the actions that change them. Every accepted event passes through here and reaches the observer. */
import { isJsonObject, type JsonObject, type JsonValue } from "../src/protocol/json.ts";
import type { Accounts } from "./accounts.ts";
import type { Stream } from "./changes.ts";
import { checkEvent, repeatedState } from "./eventRules.ts";
import { MatrixError, forbidden, notFound, unknown } from "./matrixError.ts";
import type { Observer } from "./observer.ts";
import { powerLevel, requireJoined, requireLevel, requireSend } from "./permissions.ts";
import type { Draft, Room, StoredEvent } from "./room.ts";

export interface Alias {
  readonly roomId: string;
  /** Who gave it to the room, and may take it away. */
  readonly creator: string;
}

export class Rooms {
  readonly #rooms = new Map<string, Room>();
  readonly #aliases = new Map<string, Alias>();
  /** Rooms in which a user has or had a membership. */
  readonly #byUser = new Map<string, Set<Room>>();
  /** Event IDs by device, room and transaction ID: the event type does not count, as on Synapse. */
  readonly #sent = new Map<string, string>();
  readonly #stream: Stream;
  readonly #accounts: Accounts;
  readonly #observer: Observer;
  readonly #now: () => number;

  constructor(stream: Stream, accounts: Accounts, observer: Observer, now: () => number) {
    this.#stream = stream;
    this.#accounts = accounts;
    this.#observer = observer;
    this.#now = now;
  }

  add(room: Room): void {
    this.#rooms.set(room.id, room);
  }

  get(roomId: string): Room | undefined {
    return this.#rooms.get(roomId);
  }

  all(): Room[] {
    return [...this.#rooms.values()];
  }

  /** @throws MatrixError 403, which is what Synapse says about rooms that it does not know */
  existing(roomId: string): Room {
    const room = this.#rooms.get(roomId);
    if (room === undefined) throw forbidden(`Room ${roomId} is unknown, or you are not in it.`);
    return room;
  }

  setAlias(alias: string, to: Alias): void {
    this.#aliases.set(alias, to);
  }

  removeAlias(alias: string): void {
    this.#aliases.delete(alias);
  }

  withAlias(alias: string): Room | undefined {
    return this.#rooms.get(this.#aliases.get(alias)?.roomId ?? "");
  }

  aliasCreator(alias: string): string | undefined {
    return this.#aliases.get(alias)?.creator;
  }

  /** The room that somebody wants to get into, or out of. @throws MatrixError 404, 400 for what is neither ID nor alias */
  resolve(roomIdOrAlias: string): Room {
    const room = this.#rooms.get(roomIdOrAlias) ?? this.withAlias(roomIdOrAlias);
    if (room !== undefined) return room;
    if (roomIdOrAlias.startsWith("#")) throw notFound(`Room alias ${roomIdOrAlias} not found`);
    if (roomIdOrAlias.startsWith("!")) throw unknown(404, "No known servers are in the room.");
    throw unknown(400, `${roomIdOrAlias} was not legal room ID or room alias`);
  }

  of(userId: string): Iterable<Room> {
    return this.#byUser.get(userId) ?? [];
  }

  /** Appends without asking for permission. */
  append(room: Room, draft: Draft, eventId?: string): StoredEvent {
    return this.#accepted(room, room.append(draft, this.#stream.advance(), this.#now(), eventId));
  }

  /** Appends anything, exactly as it is. */
  inject(room: Room, event: JsonValue): StoredEvent {
    return this.#accepted(room, room.inject(event, this.#stream.advance(), this.#now()));
  }

  /**
   * Sends an event as a client does. @returns the event ID, the first one's if the transaction is known
   * @throws MatrixError
   */
  send(room: Room, draft: Draft): string {
    const transaction =
      draft.txnId === undefined ? null : [draft.sender, draft.deviceId, room.id, draft.txnId].join("\u0000");
    const known = transaction === null ? undefined : this.#sent.get(transaction);
    if (known !== undefined) return known;
    requireSend(room, draft.sender, draft.type, draft.stateKey !== undefined);
    checkEvent(room, draft);
    if (draft.redacts !== undefined) this.#checkRedaction(room, draft.sender, draft.redacts);
    const eventId = repeatedState(room, draft) ?? String(this.append(room, draft).eventId);
    if (transaction !== null) this.#sent.set(transaction, eventId);
    return eventId;
  }

  /** The transaction's event, if this device has sent it before. */
  known(room: Room, userId: string, deviceId: string, txnId: string): string | undefined {
    return this.#sent.get([userId, deviceId, room.id, txnId].join("\u0000"));
  }

  forgetTransactions(): void {
    this.#sent.clear();
  }

  /** @param direct says that the room is for a conversation of two. @throws MatrixError 403 */
  invite(room: Room, inviter: string, userId: string, reason?: JsonValue, direct = false): void {
    requireJoined(room, inviter);
    requireLevel(room, inviter, "invite");
    if (room.membership(userId) === "ban") throw badState(`${userId} is banned from the room`);
    if (room.membership(userId) === "join") throw forbidden(`${userId} is already in the room.`);
    this.#setMembership(room, inviter, userId, "invite", reason, direct ? { is_direct: true } : {});
  }

  /** @throws MatrixError 403 */
  join(room: Room, userId: string, reason?: JsonValue): void {
    const membership = room.membership(userId);
    if (membership === "join") return;
    if (membership === "ban") throw badState("You are banned from this room");
    const rule = room.stateContent("m.room.join_rules")["join_rule"] ?? "invite";
    if (rule !== "public" && membership !== "invite") throw forbidden("You are not invited to this room.");
    this.#setMembership(room, userId, userId, "join", reason);
  }

  /** @throws MatrixError 403 */
  knock(room: Room, userId: string, reason?: JsonValue): void {
    if (room.stateContent("m.room.join_rules")["join_rule"] !== "knock")
      throw forbidden("You don't have permission to knock");
    this.#setMembership(room, userId, userId, "knock", reason);
  }

  /** @throws MatrixError 403 */
  leave(room: Room, userId: string, reason?: JsonValue): void {
    const membership = room.membership(userId);
    if (membership === "ban") throw forbidden("You are banned from this room");
    if (membership === "leave") throw forbidden(`User ${userId} not in room ${room.id}`);
    this.#setMembership(room, userId, userId, "leave", reason);
  }

  /** Kick, ban or unban. @throws MatrixError 403 */
  remove(room: Room, by: string, userId: string, how: "kick" | "ban" | "unban", reason?: JsonValue): void {
    requireJoined(room, by);
    requireLevel(room, by, how === "kick" ? "kick" : "ban");
    if (powerLevel(room, by) <= powerLevel(room, userId)) throw forbidden(`You cannot ${how} user ${userId}.`);
    const membership = room.membership(userId);
    if (how === "kick" && !["join", "invite", "knock"].includes(membership))
      throw forbidden("The target user is not in the room");
    if (how === "unban" && membership !== "ban") throw badState("The user is not banned");
    this.#setMembership(room, by, userId, how === "ban" ? "ban" : "leave", reason);
  }

  #setMembership(
    room: Room,
    sender: string,
    userId: string,
    membership: string,
    reason: JsonValue | undefined,
    more: JsonObject = {},
  ): void {
    const displayName = this.#accounts.get(userId)?.profile.get("displayname");
    const named = membership === "join" || membership === "invite" || membership === "knock";
    this.append(room, {
      type: "m.room.member",
      sender,
      stateKey: userId,
      content: {
        membership,
        ...(named && displayName !== undefined ? { displayname: displayName } : {}),
        ...(typeof reason === "string" ? { reason } : {}),
        ...more,
      },
    });
  }

  #checkRedaction(room: Room, userId: string, target: string): void {
    const event = room.event(target)?.current;
    // As on Synapse the redaction of an event that is not there stands.
    if (event === undefined) return;
    if (isJsonObject(event) && event["sender"] === userId) return;
    requireLevel(room, userId, "redact");
  }

  #accepted(room: Room, stored: StoredEvent): StoredEvent {
    const event = stored.original;
    if (isJsonObject(event) && event["type"] === "m.room.member" && typeof event["state_key"] === "string") {
      const rooms = this.#byUser.get(event["state_key"]) ?? new Set();
      this.#byUser.set(event["state_key"], rooms.add(room));
    }
    this.#observer.accepted(stored);
    return stored;
  }
}

function badState(message: string): MatrixError {
  return new MatrixError(403, "M_BAD_STATE", message);
}
