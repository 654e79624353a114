/** Reads which keys the device has in a data directory that is not to be changed. */
import type { Database } from "../journal/database.ts";
import type { DeviceId, UserId } from "../protocol/ids.ts";
import type { OwnIdentity } from "./ownIdentity.ts";
import { withStoredMachine } from "./storedMachine.ts";

/** A library call that takes longer has panicked. */
const WATCHDOG_MS = 10_000;

/**
 * Not beside another key store in the same process: the library knows one.
 * @returns null where the directory has no keys yet
 * @throws DataDirectoryRefused they are another device's
 * @throws StoreFailed | CryptoPanicked
 */
export async function storedIdentity(
  database: Database,
  owner: { userId: UserId; deviceId: DeviceId },
): Promise<OwnIdentity | null> {
  return await withStoredMachine(database, owner, WATCHDOG_MS, async (machine) => ({
    ...owner,
    ...(await machine.identityKeys()),
  }));
}
