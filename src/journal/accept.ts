/** What one accepted sync writes, inside the journal's transaction: all of it, or nothing. */
import { createHash } from "node:crypto";
import type { RawEvent } from "../protocol/events.ts";
import type { RoomId, UserId } from "../protocol/ids.ts";
import type { Database } from "./database.ts";
import { placedAroundJoin } from "./aroundJoin.ts";
import type { Gaps } from "./gaps.ts";
import type { Invites } from "./invites.ts";
import { unpark, unparkWithheld } from "./parking.ts";
import type { RoomStates, RoomView } from "./roomStates.ts";
import type { RoomUpdate, SyncBatch } from "./syncBatch.ts";
import { setSyncPosition } from "./syncPosition.ts";

/** What a sync is written through: all on the same connection. */
export interface AcceptPorts {
  readonly database: Database;
  readonly rooms: RoomStates;
  readonly gaps: Gaps;
  readonly invites: Invites;
  /** The bot itself. */
  readonly ownUser: UserId;
}

/**
 * Call inside a transaction.
 * @returns how many events were new, how many parked ones may be decrypted now, and which rooms have a new gap
 */
export function accept(
  batch: SyncBatch,
  { database, rooms, gaps, invites, ownUser }: AcceptPorts,
): { added: number; unparked: number; gaps: readonly RoomId[] } {
  batch.heldWrites.apply();
  let added = 0;
  const gapsIn: RoomId[] = [];
  for (const update of batch.rooms) {
    const before = rooms.view(update.roomId);
    rooms.apply(update, ownUser, batch.receivedAt);
    invites.close(update.roomId, update.membership, batch.receivedAt);
    if (recordGap(update, before, batch, ownUser, gaps)) gapsIn.push(update.roomId);
    for (const { event, beforeJoin } of placedAroundJoin(update.timeline, before?.membership === "join", ownUser))
      added += addEvent(database, event, beforeJoin, batch.receivedAt);
  }
  for (const event of batch.malformed) {
    const raw = JSON.stringify(event.raw);
    database
      .prepare(
        "INSERT INTO malformed_events (room_id, digest, raw, problem, received_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
      )
      .run(
        event.roomId,
        createHash("sha256")
          .update(event.roomId ?? "")
          .update("\n")
          .update(raw)
          .digest("hex"),
        raw,
        event.problem,
        batch.receivedAt,
      );
  }
  for (const invite of batch.invites) {
    rooms.noteInvited(invite.roomId);
    invites.add(invite, batch.receivedAt);
  }
  const unparked = unparkWithheld(database, batch.withheldSessions) + unpark(database, batch.newSessions);
  setSyncPosition(database, batch.nextBatch);
  return { added, unparked, gaps: gapsIn };
}

function addEvent(database: Database, event: RawEvent, beforeJoin: boolean, receivedAt: number): number {
  const redacted = event.unsigned?.["redacted_because"] === undefined ? 0 : 1;
  const { changes } = database
    .prepare(
      `INSERT INTO inbox (event_id, room_id, raw, received_at, arrival, state, redacted, before_join)
       VALUES (?, ?, ?, ?, 'live', 'new', ?, ?)
       ON CONFLICT (event_id) DO NOTHING`,
    )
    .run(event.event_id, event.room_id, JSON.stringify(event), receivedAt, redacted, Number(beforeJoin));
  if (event.type === "m.room.redaction") {
    // Room version 11 moved `redacts` into the content. Where both are there, the top level is the server's own word, and the
    // content, in an older room, is whatever the sender wrote.
    const target = (event as { redacts?: unknown }).redacts ?? event.content["redacts"];
    if (typeof target === "string") {
      database
        .prepare("UPDATE inbox SET redacted = 1 WHERE event_id = ? AND room_id = ? AND state <> 'settled'")
        .run(target, event.room_id);
    }
  }
  return changes;
}

/**
 * A limited timeline is a gap where we were in the room before it. In a room that is new to us it is one only if our own join
 * is not in the timeline; history from before the first sync of all is nobody's gap.
 */
function recordGap(
  update: RoomUpdate,
  before: RoomView | null,
  batch: SyncBatch,
  ownUser: UserId,
  gaps: Gaps,
): boolean {
  if (!update.limited || update.prevBatch === null || batch.since === null) return false;
  const wasIn = before?.membership === "join";
  const joinSeen = update.timeline.some(
    (event) => event.type === "m.room.member" && event.state_key === ownUser && event.content["membership"] === "join",
  );
  if (!wasIn && joinSeen) return false;
  gaps.record(
    { roomId: update.roomId, prevBatch: update.prevBatch, since: wasIn ? batch.since : null },
    batch.receivedAt,
  );
  return true;
}
