/**
 * `GET /sync`: what is new for one device since a token. The answer is computed from the stream alone and changes
 * nothing but to acknowledge to-device messages, so the same token asks for the same things again.
 */
import { isJsonObject, type JsonObject } from "../src/protocol/json.ts";
import type { Session } from "./accessTokens.ts";
import type { Accounts } from "./accounts.ts";
import type { Stream } from "./changes.ts";
import { syncFilter, type SyncFilter } from "./eventFilter.ts";
import { STATE_AFTER, type Features } from "./features.ts";
import type { Keys } from "./keys.ts";
import { MatrixError, badJson, badParam } from "./matrixError.ts";
import type { Receipts } from "./receipts.ts";
import type { Room } from "./room.ts";
import type { Rooms } from "./rooms.ts";
import { syncRooms } from "./syncRooms.ts";
import type { ToDevice } from "./toDevice.ts";
import { positionOf, tokenOf, type Position } from "./tokens.ts";

interface SyncParts {
  readonly stream: Stream;
  readonly accounts: Accounts;
  readonly rooms: Rooms;
  readonly receipts: Receipts;
  readonly keys: Keys;
  readonly toDevice: ToDevice;
  readonly now: () => number;
  readonly features: Features;
}

interface Asked {
  readonly session: Session;
  readonly since: Position | null;
  readonly filter: SyncFilter;
  readonly fullState: boolean;
  readonly stateAfter: boolean;
}

/** A response, or words that a test put in its place. */
export type SyncAnswer = { readonly body: JsonObject } | { readonly raw: string };

export class Sync {
  readonly #parts: SyncParts;
  readonly #raw = new Map<string, string[]>();

  constructor(parts: SyncParts) {
    this.#parts = parts;
  }

  /** The next sync of this user, one that waits now included, is answered with exactly this text. */
  answerNext(userId: string, raw: string): void {
    const waiting = this.#raw.get(userId) ?? [];
    waiting.push(raw);
    this.#raw.set(userId, waiting);
    this.#parts.stream.touch();
  }

  /** Waits up to the query's `timeout` for news. @throws MatrixError */
  async answer(session: Session, query: URLSearchParams, signal: AbortSignal): Promise<SyncAnswer> {
    const asked = this.#asked(session, query);
    const { stream, toDevice } = this.#parts;
    if (asked.since !== null) toDevice.acknowledge(session.userId, session.deviceId, asked.since.toDevice);
    const endsAt = performance.now() + Number(query.get("timeout") ?? 0);
    for (;;) {
      const raw = this.#raw.get(session.userId)?.shift();
      if (raw !== undefined) return { raw };
      const found = this.#now(asked);
      const waitMs = endsAt - performance.now();
      if (found.news || asked.since === null || asked.fullState || !(waitMs > 0) || signal.aborted)
        return { body: found.body };
      await stream.changes.next(waitMs, signal);
    }
  }

  #now(asked: Asked): { body: JsonObject; news: boolean } {
    const { stream, accounts, keys, toDevice, now } = this.#parts;
    const { session, since, filter, fullState, stateAfter } = asked;
    const { userId, deviceId } = session;
    const upTo = stream.position;
    const roomsBody = syncRooms(this.#parts, {
      viewer: session,
      since: since?.stream ?? null,
      upTo,
      filter,
      fullState,
      stateAfter,
      now: now(),
    });
    const messages = toDevice.after(userId, deviceId, since?.toDevice ?? 0);
    const data = accounts
      .dataSince(userId, "", since?.stream ?? 0)
      .filter((event) => filter.accountData.accepts(event));
    const lists = since === null ? null : this.#deviceLists(userId, since.stream, upTo);
    const unused = keys.unusedFallback(userId, deviceId);
    const news = Object.keys(roomsBody).length > 0 || messages.events.length > 0 || data.length > 0 || lists !== null;
    return {
      news,
      body: {
        next_batch: tokenOf(upTo, messages.upTo),
        ...(data.length > 0 ? { account_data: { events: data } } : {}),
        ...(messages.events.length > 0 ? { to_device: { events: messages.events } } : {}),
        ...(lists === null ? {} : { device_lists: lists }),
        device_one_time_keys_count: keys.counts(userId, deviceId),
        device_unused_fallback_key_types: unused,
        ...(Object.keys(roomsBody).length > 0 ? { rooms: roomsBody } : {}),
      },
    };
  }

  /** `changed` and `left` in `(since, upTo]`; null when both are empty. Also answers `/keys/changes`. */
  #deviceLists(userId: string, since: number, upTo: number): JsonObject | null {
    const lists = this.deviceLists(userId, since, upTo);
    if (lists.changed.length === 0 && lists.left.length === 0) return null;
    return {
      ...(lists.changed.length > 0 ? { changed: lists.changed } : {}),
      ...(lists.left.length > 0 ? { left: lists.left } : {}),
    };
  }

  deviceLists(userId: string, since: number, upTo: number): { changed: string[]; left: string[] } {
    const { rooms, keys } = this.#parts;
    const shared = new Set<string>([userId]);
    const maybeLeft = new Set<string>();
    const changed = new Set<string>();
    const moved = keys.changedIn(since, upTo, userId);
    for (const room of rooms.of(userId)) {
      const now = room.membershipAt(userId, upTo) === "join";
      const before = room.membershipAt(userId, since) === "join";
      if (!now && !before) continue;
      const joined = now ? room.members("join") : [];
      for (const member of joined) shared.add(member);
      if (now && !before) for (const member of joined) changed.add(member);
      else if (before && !now) for (const member of room.members("join")) maybeLeft.add(member);
      for (const member of membersThatMoved(room, since, upTo))
        if (["join", "invite"].includes(room.membershipAt(member, upTo))) {
          if (now) changed.add(member);
        } else if (before) maybeLeft.add(member);
    }
    for (const member of moved.forAll) if (shared.has(member)) changed.add(member);
    for (const member of moved.forViewer) changed.add(member);
    return {
      changed: [...changed],
      left: [...maybeLeft].filter((member) => !shared.has(member) && member !== userId),
    };
  }

  #asked(session: Session, query: URLSearchParams): Asked {
    const since = query.get("since");
    return {
      session,
      since: since === null ? null : positionOf(since),
      filter: syncFilter(this.#filter(session.userId, query.get("filter"))),
      fullState: query.get("full_state") === "true",
      stateAfter: this.#parts.features.has(STATE_AFTER) && query.get("org.matrix.msc4222.use_state_after") === "true",
    };
  }

  #filter(userId: string, filter: string | null): JsonObject {
    if (filter === null) return {};
    if (!filter.startsWith("{")) {
      const stored = this.#parts.accounts.existing(userId).filters[Number(filter)];
      if (stored === undefined) throw badParam("No such filter");
      return stored;
    }
    try {
      const value: unknown = JSON.parse(filter);
      if (isJsonObject(value)) return value;
    } catch {
      throw new MatrixError(400, "M_NOT_JSON", "Invalid filter JSON");
    }
    throw badJson("The filter must be a JSON object");
  }
}

function membersThatMoved(room: Room, since: number, upTo: number): Set<string> {
  const moved = new Set<string>();
  for (let index = room.indexAfter(since); index < room.events.length; index += 1) {
    const stored = room.events[index];
    if (stored === undefined || stored.position > upTo) break;
    const event = stored.original;
    if (isJsonObject(event) && event["type"] === "m.room.member" && typeof event["state_key"] === "string")
      moved.add(event["state_key"]);
  }
  return moved;
}
