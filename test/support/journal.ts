/** A journal on real SQLite, with a clock that the test moves. */
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { Clock } from "../../src/clock.ts";
import { Database } from "../../src/journal/database.ts";
import { Gaps } from "../../src/journal/gaps.ts";
import { noHeldWrites } from "../../src/journal/heldWrites.ts";
import { Inbox } from "../../src/journal/inbox.ts";
import { Invites } from "../../src/journal/invites.ts";
import { Outbox } from "../../src/journal/outbox.ts";
import { RoomStates } from "../../src/journal/roomStates.ts";
import type { RoomUpdate, SyncBatch } from "../../src/journal/syncBatch.ts";
import type { RawEvent } from "../../src/protocol/events.ts";
import type { EventId, RoomId, SyncToken, UserId } from "../../src/protocol/ids.ts";
import { temporaryDirectory } from "./temporaryDirectory.ts";

export const ROOM = "!room:example.org" as RoomId;
export const BOT = "@docket:example.org" as UserId;
export const ALICE = "@alice:example.org" as UserId;

export class ManualClock implements Clock {
  time = 1_700_000_000_000;
  now(): number {
    return this.time;
  }
  async sleep(): Promise<void> {}
}

export function openJournal(t: TestContext, directory: string = temporaryDirectory(t)) {
  const database = Database.open(join(directory, "data"));
  t.after(() => database.close());
  const clock = new ManualClock();
  const rooms = new RoomStates(database);
  const gaps = new Gaps(database);
  const invites = new Invites(database, clock);
  const outbox = new Outbox(database, clock);
  const inbox = new Inbox({ database, clock, rooms, gaps, invites, outbox, ownUser: BOT });
  return { directory, database, clock, rooms, gaps, invites, outbox, inbox };
}

let counter = 0;

export function event(fields: Partial<RawEvent> = {}): RawEvent {
  counter += 1;
  return {
    event_id: `$event${counter}` as EventId,
    room_id: ROOM,
    type: "m.room.message",
    sender: ALICE,
    origin_server_ts: 1_700_000_000_000,
    content: { body: "text" },
    ...fields,
  };
}

export function stateEvent(type: string, stateKey: string, content: RawEvent["content"]): RawEvent {
  return event({ type, state_key: stateKey, content });
}

export function update(fields: Partial<RoomUpdate> = {}): RoomUpdate {
  return {
    roomId: ROOM,
    membership: "join",
    state: [],
    stateIs: "before_timeline",
    timeline: [],
    encryptionSeen: false,
    limited: false,
    prevBatch: null,
    ...fields,
  };
}

export function batch(fields: Partial<SyncBatch> = {}): SyncBatch {
  counter += 1;
  return {
    since: null,
    nextBatch: `token${counter}` as SyncToken,
    receivedAt: 1_700_000_000_000,
    heldWrites: noHeldWrites,
    newSessions: [],
    withheldSessions: [],
    rooms: [],
    invites: [],
    malformed: [],
    ...fields,
  };
}
