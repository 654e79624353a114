/**
 * Reads the room keys of a data directory, for an export. On a copy, in the process of the command, whether or not a bot runs: for
 * 20,000 keys the library takes 6 s, in one call, and a running bot that did it could neither read nor answer meanwhile.
 */
import type { Database } from "../journal/database.ts";
import type { DeviceId, UserId } from "../protocol/ids.ts";
import { withStoredMachine } from "./storedMachine.ts";

/** For more keys than anybody has. */
const WATCHDOG_MS = 30 * 60_000;

export interface StoredRoomKeys {
  readonly count: number;
  /** A JSON list of `ExportedSessionData` (client-server API, "Key export format"). */
  readonly json: string;
}

/**
 * Not beside another key store in the same process: the library knows one.
 * @param onProgress told, now and then, how many of how many were read
 * @returns null where the directory has no keys yet
 * @throws DataDirectoryRefused they are another device's
 * @throws StoreFailed | CryptoPanicked
 */
export async function storedRoomKeys(
  database: Database,
  owner: { userId: UserId; deviceId: DeviceId },
  onProgress: (done: number, total: number) => void,
): Promise<StoredRoomKeys | null> {
  return await withStoredMachine(database, owner, WATCHDOG_MS, async (machine, { inboundSessions }) => {
    let count = 0;
    onProgress(0, inboundSessions);
    const json = await machine.use("exportRoomKeys", (olm) =>
      olm.exportRoomKeys((session) => {
        session.free();
        count += 1;
        if (count % PROGRESS_EVERY === 0) onProgress(count, Math.max(count, inboundSessions));
        return true;
      }),
    );
    onProgress(count, count);
    return { count, json };
  });
}

const PROGRESS_EVERY = 100;
