/**
 * The replay check. The crypto library decrypts a copied ciphertext under a new event ID without complaint, so Docket remembers
 * under which event ID each (room, session, message index) came first.
 */
import type { EventId, RoomId } from "../protocol/ids.ts";
import type { Database } from "./database.ts";

export interface MessagePlace {
  readonly roomId: RoomId;
  readonly sessionId: string;
  readonly messageIndex: number;
  readonly eventId: EventId;
}

export class MessageIndexes {
  private readonly database: Database;

  constructor(database: Database) {
    this.database = database;
  }

  /**
   * Claims places, in one transaction, in the order given.
   * @returns for each place the event ID that it was claimed under first: the event's own where it is no replay
   */
  async claim(places: readonly MessagePlace[]): Promise<readonly EventId[]> {
    if (places.length === 0) return [];
    return this.database.transaction(() =>
      places.map((place) => {
        const key = [place.roomId, place.sessionId, place.messageIndex] as const;
        this.database
          .prepare(
            "INSERT INTO message_indexes (room_id, session_id, message_index, event_id) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
          )
          .run(...key, place.eventId);
        const row = this.database
          .prepare<{ event_id: EventId }>(
            "SELECT event_id FROM message_indexes WHERE room_id = ? AND session_id = ? AND message_index = ?",
          )
          .get(...key);
        return row?.event_id ?? place.eventId;
      }),
    );
  }
}
