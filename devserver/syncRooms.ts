/** The rooms part of a sync response: joined, invited, left and knocked rooms between two points of the stream. */
import { isJsonObject, type JsonObject, type JsonValue } from "../src/protocol/json.ts";
import type { Accounts } from "./accounts.ts";
import { strippedEvent, syncEvent, type Viewer } from "./clientEvent.ts";
import type { SyncFilter } from "./eventFilter.ts";
import type { Receipts } from "./receipts.ts";
import type { Room, StoredEvent } from "./room.ts";
import type { Rooms } from "./rooms.ts";
import { tokenOf } from "./tokens.ts";

interface Sources {
  readonly rooms: Rooms;
  readonly accounts: Accounts;
  readonly receipts: Receipts;
}

export interface RoomsQuestion {
  readonly viewer: Viewer;
  /** Null for an initial sync. */
  readonly since: number | null;
  /** The end: the position of the stream now. */
  readonly upTo: number;
  readonly filter: SyncFilter;
  readonly fullState: boolean;
  /** MSC4222. */
  readonly stateAfter: boolean;
  readonly now: number;
}

/** How the viewer's membership moved since the last sync. */
interface Move {
  readonly membership: string;
  /** Joined now, or in between, after not having been: the room comes with its whole state. */
  readonly newlyJoined: boolean;
  readonly changed: boolean;
  /** Where the last change stands in the stream. */
  readonly lastChange: number;
}

type Section = Record<string, JsonObject>;

/** @returns `rooms` of a sync response; sections without a room are left out, as Synapse does */
export function syncRooms(sources: Sources, question: RoomsQuestion): JsonObject {
  const sections: Record<"join" | "invite" | "leave" | "knock", Section> = {
    join: {},
    invite: {},
    leave: {},
    knock: {},
  };
  const { viewer, since, filter } = question;
  for (const room of sources.rooms.of(viewer.userId)) {
    if (!filter.acceptsRoom(room.id)) continue;
    const move = moveOf(room, question);
    switch (move.membership) {
      case "join": {
        const entry = joinedRoom(room, sources, move, question);
        if (entry !== null) sections.join[room.id] = entry;
        break;
      }
      case "invite":
      case "knock":
        if (since === null || move.changed)
          sections[move.membership][room.id] = pending(room, move.membership, question);
        break;
      default:
        if (since === null ? filter.includeLeave && !room.forgotten(viewer.userId) : move.changed)
          sections.leave[room.id] = leftRoom(room, move, question);
    }
  }
  return Object.fromEntries(Object.entries(sections).filter(([, section]) => Object.keys(section).length > 0));
}

function moveOf(room: Room, { viewer, since, upTo }: RoomsQuestion): Move {
  const before = since === null ? "leave" : room.membershipAt(viewer.userId, since);
  const changes = room.membershipChanges(viewer.userId, since ?? 0, upTo);
  const joinedInBetween = changes.some((change) => change.membership === "join");
  const leftInBetween = changes.some((change) => change.membership !== "join");
  return {
    membership: changes.at(-1)?.membership ?? before,
    newlyJoined: joinedInBetween && (before !== "join" || leftInBetween),
    changed: changes.length > 0,
    lastChange: changes.at(-1)?.position ?? 0,
  };
}

function joinedRoom(room: Room, sources: Sources, move: Move, question: RoomsQuestion): JsonObject | null {
  const { viewer, since, upTo, filter } = question;
  // A newly joined room comes like one of an initial sync, history included, and always says `limited`.
  const from = move.newlyJoined || since === null ? 0 : since;
  const whole = from === 0 || question.fullState;
  const batch = timeline(room, from, upTo, question);
  const state = stateBetween(room, whole ? 0 : from, upTo, batch, question);
  const accountData = sources.accounts
    .dataSince(viewer.userId, room.id, from)
    .filter((event) => filter.accountData.accepts(event));
  const ephemeral = ephemeralEvents(room, sources.receipts, question);
  const parts = [batch.events, state, accountData, ephemeral];
  if (!whole && parts.every((events) => events.length === 0)) return null;
  return {
    timeline: timelineBody(room, batch, batch.limited || (move.newlyJoined && since !== null), question),
    ...stateBody(room, state, question),
    account_data: { events: accountData },
    ephemeral: { events: ephemeral },
    unread_notifications: { notification_count: 0, highlight_count: 0 },
    summary: {},
  };
}

/** Delivery receipts since the last sync. An initial sync has none: who asks for the first time waits for none. */
function ephemeralEvents(room: Room, receipts: Receipts, { viewer, since, upTo, filter }: RoomsQuestion): JsonObject[] {
  const event = since === null ? null : receipts.between(viewer.userId, room.id, since, upTo);
  return event !== null && filter.ephemeral.accepts(event) ? [event] : [];
}

/** The room up to and including the leave, kick or ban: what was said just before must not be lost. */
function leftRoom(room: Room, move: Move, question: RoomsQuestion): JsonObject {
  const end = move.lastChange;
  const from = question.since ?? 0;
  const batch = timeline(room, from, end, question);
  const state = stateBetween(room, move.newlyJoined ? 0 : from, end, batch, question);
  return {
    timeline: timelineBody(room, batch, batch.limited || move.newlyJoined, question),
    ...stateBody(room, state, question),
    account_data: { events: [] },
  };
}

function pending(room: Room, membership: "invite" | "knock", { viewer, now }: RoomsQuestion): JsonObject {
  const member = room.state("m.room.member", viewer.userId);
  const inviter = isJsonObject(member?.current) ? String(member.current["sender"]) : "";
  const wanted = [
    room.state("m.room.create", ""),
    room.state("m.room.join_rules", ""),
    room.state("m.room.canonical_alias", ""),
    room.state("m.room.avatar", ""),
    room.state("m.room.encryption", ""),
    room.state("m.room.name", ""),
    room.state("m.room.topic", ""),
    ...(inviter === viewer.userId ? [] : [room.state("m.room.member", inviter)]),
  ];
  const events: JsonValue[] = wanted
    .filter((stored) => stored !== undefined)
    .filter((stored) => !room.withheld(stored, viewer.userId))
    .map(strippedEvent);
  // Synapse adds the invite itself as a whole event.
  if (member !== undefined) events.push(syncEvent(room, member, viewer, now));
  return { [`${membership}_state`]: { events } };
}

interface Batch {
  readonly events: readonly StoredEvent[];
  readonly limited: boolean;
  /** Everything after this position and up to the end is in `events`, as far as the filter lets it. */
  readonly start: number;
}

/** The last events of `(from, upTo]`, walking back so that a long history costs nothing. */
function timeline(room: Room, from: number, upTo: number, { viewer, filter }: RoomsQuestion): Batch {
  const found: StoredEvent[] = [];
  let limited = false;
  for (let index = room.indexAfter(upTo) - 1; index >= 0; index -= 1) {
    const stored = room.events[index];
    if (stored === undefined || stored.position <= from) break;
    if (!room.visible(stored, viewer.userId) || !filter.timeline.accepts(stored.current)) continue;
    if (found.length >= filter.timeline.limit) {
      limited = true;
      break;
    }
    found.push(stored);
  }
  found.reverse();
  const first = found[0];
  const start = first !== undefined ? first.position - 1 : limited ? upTo : from;
  return { events: found, limited, start };
}

/**
 * MSC4222: the changes of state up to the end of the timeline. Otherwise: up to its start, and besides what the
 * filter kept out of it.
 */
function stateBetween(
  room: Room,
  from: number,
  upTo: number,
  batch: Batch,
  { viewer, filter, stateAfter }: RoomsQuestion,
): StoredEvent[] {
  const shown = new Set(batch.events);
  const atEnd = room.latestState(from, upTo);
  const wanted = stateAfter
    ? [...atEnd.values()]
    : [...new Set([...room.latestState(from, batch.start).values(), ...atEnd.values()])].filter(
        (stored) => !shown.has(stored),
      );
  // Members see the state whatever the history visibility was when it was set; only what a test withholds is missing.
  return wanted.filter((stored) => !room.withheld(stored, viewer.userId) && filter.state.accepts(stored.current));
}

function timelineBody(room: Room, batch: Batch, limited: boolean, { viewer, now }: RoomsQuestion): JsonObject {
  return {
    events: batch.events.map((stored) => syncEvent(room, stored, viewer, now)),
    prev_batch: tokenOf(batch.start),
    limited,
  };
}

function stateBody(room: Room, state: readonly StoredEvent[], { viewer, now, stateAfter }: RoomsQuestion): JsonObject {
  const events = state.map((stored) => syncEvent(room, stored, viewer, now));
  return stateAfter ? { "org.matrix.msc4222.state_after": { events } } : { state: { events } };
}
