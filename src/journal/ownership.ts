/**
 * A data directory belongs to one account and one device: its keys and its sync token are useless, and harmful, to another. And it is
 * a bot's or a requester's: each reads the server's stream in its own way, and what one has read the other would miss.
 */
import { DataDirectoryRefused } from "../errors.ts";
import type { DeviceId, UserId } from "../protocol/ids.ts";
import type { Database } from "./database.ts";

export type Role = "bot" | "requester";

const USED_BY: Readonly<Record<Role, string>> = {
  bot: "a bot (`docket start`)",
  requester: "`docket request`",
};

export interface Owner {
  readonly userId: UserId;
  readonly deviceId: DeviceId;
  readonly role: Role | null;
  /** The device is gone: nobody can use its keys again. */
  readonly isSignedOut: boolean;
}

/** @returns null for a directory that is nobody's yet */
export function ownerOf(database: Database): Owner | null {
  const userId = fact(database, "user_id");
  const deviceId = fact(database, "device_id");
  if (userId === null || deviceId === null) return null;
  return {
    userId: userId as UserId,
    deviceId: deviceId as DeviceId,
    role: fact(database, "role") as Role | null,
    isSignedOut: fact(database, "signed_out") !== null,
  };
}

/** Whether the directory has keys of its device. */
export function holdsKeys(database: Database): boolean {
  return database.prepare("SELECT 1 FROM key_store_records LIMIT 1").get() !== undefined;
}

/**
 * The device was signed out. A directory with its keys keeps its owner, and can't be signed in again.
 * @returns whether the directory is nobody's again, because it has no keys
 */
export function releaseOwnership(database: Database): boolean {
  const hasKeys = holdsKeys(database);
  database.transaction(() => {
    if (hasKeys) database.prepare("INSERT OR REPLACE INTO meta (key, value) VALUES ('signed_out', '1')").run();
    else database.prepare("DELETE FROM meta WHERE key IN ('user_id', 'device_id', 'role')").run();
  });
  return !hasKeys;
}

/**
 * Writes the owner into a new directory, compares it in an old one.
 * @param role what it is used for from now on; null where that is still open
 * @throws DataDirectoryRefused it belongs to another account or device, or is used for something else
 */
export function claimOwnership(
  database: Database,
  owner: { userId: UserId; deviceId: DeviceId },
  role: Role | null,
): void {
  database.transaction(() => {
    claim(database, "user_id", owner.userId, (known) => refusedOwner(database, "account", known, owner.userId));
    claim(database, "device_id", owner.deviceId, (known) => refusedOwner(database, "device", known, owner.deviceId));
    if (role === null) return;
    claim(
      database,
      "role",
      role,
      (known) =>
        new DataDirectoryRefused(
          `The data directory ${database.directory} is used by ${USED_BY[known as Role]}, and ${USED_BY[role]} can't work with the same one. ` +
            "Give it a configuration with an account and a data.directory of its own.",
        ),
    );
  });
}

function fact(database: Database, key: string): string | null {
  return database.prepare<{ value: string }>("SELECT value FROM meta WHERE key = ?").get(key)?.value ?? null;
}

function claim(database: Database, key: string, value: string, refused: (known: string) => Error): void {
  database.prepare("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING").run(key, value);
  const known = fact(database, key) ?? value;
  if (known !== value) throw refused(known);
}

function refusedOwner(database: Database, what: string, known: string, value: string): DataDirectoryRefused {
  return new DataDirectoryRefused(
    `The data directory ${database.directory} belongs to the ${what} ${known}, but the access token is for ${value}. ` +
      "Use the token of that device, or give this one a data.directory of its own.",
  );
}
