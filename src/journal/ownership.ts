/** A data directory belongs to one account and one device: its keys and its sync token are useless, and harmful, to another. */
import { DataDirectoryRefused } from "../errors.ts";
import type { DeviceId, UserId } from "../protocol/ids.ts";
import type { Database } from "./database.ts";

/**
 * Writes the owner into a new directory, compares it in an old one.
 * @throws DataDirectoryRefused it belongs to another account, device or homeserver
 */
export function claimOwnership(database: Database, owner: { userId: UserId; deviceId: DeviceId }): void {
  const facts = { user_id: owner.userId, device_id: owner.deviceId };
  database.transaction(() => {
    for (const [key, value] of Object.entries(facts)) {
      database.prepare("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING").run(key, value);
      const known = database.prepare<{ value: string }>("SELECT value FROM meta WHERE key = ?").get(key)?.value;
      if (known !== value) {
        throw new DataDirectoryRefused(
          `The data directory ${database.directory} belongs to ${key === "user_id" ? "the account" : "the device"} ${known}, but the access token is for ${value}. ` +
            "Use the token of that device, or give this one a data.directory of its own.",
        );
      }
    }
  });
}
