/**
 * Takes over room keys that another client has exported, in batches: between two of them the bot does what else it has to do (100 keys
 * hold it up for some 20 ms). Guarantees: one key that is none costs no other; a better version of a key is never replaced by a worse;
 * what was imported is on disk when a batch resolves.
 */
import { DocketError } from "../errors.ts";
import type { RoomId } from "../protocol/ids.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "../protocol/json.ts";
import type { ImportedBatch, RoomKeyIntake } from "./cryptoEngine.ts";
import type { Machine } from "./machine.ts";
import type { SessionRef } from "./sessionRef.ts";

interface Counted {
  readonly imported: number;
  readonly known: number;
  readonly refused: number;
}

export class RoomKeyImport implements RoomKeyIntake {
  private readonly machine: Machine;

  constructor(machine: Machine) {
    this.machine = machine;
  }

  /** @param keys as they stand in the file, unchecked. @throws CryptoPanicked | Cancelled */
  async take(keys: readonly JsonValue[]): Promise<ImportedBatch> {
    const readable = keys.filter(isJsonObject);
    const counted = await this.takeAll(readable);
    return { ...counted, refused: counted.refused + keys.length - readable.length, sessions: readable.flatMap(ref) };
  }

  private async takeAll(keys: readonly JsonObject[]): Promise<Counted> {
    if (keys.length === 0) return { imported: 0, known: 0, refused: 0 };
    try {
      const json = JSON.stringify(keys);
      return await this.machine.use("importExportedRoomKeys", async (olm) => {
        const result = await olm.importExportedRoomKeys(json, () => undefined);
        const { importedCount: imported, totalCount } = result;
        result.free();
        return { imported, known: totalCount - imported, refused: 0 };
      });
    } catch (error) {
      if (error instanceof DocketError) throw error;
      if (keys.length === 1) return { imported: 0, known: 0, refused: 1 };
      // The library refuses a list as a whole: the bad ones are found by halves.
      const middle = keys.length >> 1;
      const [first, second] = [await this.takeAll(keys.slice(0, middle)), await this.takeAll(keys.slice(middle))];
      return {
        imported: first.imported + second.imported,
        known: first.known + second.known,
        refused: first.refused + second.refused,
      };
    }
  }
}

function ref({ room_id: roomId, session_id: sessionId }: JsonObject): SessionRef[] {
  return typeof roomId === "string" && typeof sessionId === "string" ? [{ roomId: roomId as RoomId, sessionId }] : [];
}
