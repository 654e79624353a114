/** The device that was signed in for this data directory: its tokens, durable before anybody uses them. */
import type { EpochMs } from "../clock.ts";
import type { DeviceId, UserId } from "../protocol/ids.ts";
import type { Database } from "./database.ts";

export interface SignedInDevice {
  /** Base address of the homeserver that the tokens are for. */
  readonly homeserver: string;
  readonly userId: UserId;
  readonly deviceId: DeviceId;
  readonly accessToken: string;
  /** Null where the server gave none: then the access token is all there is. */
  readonly refreshToken: string | null;
  /** Of the access token; null where the server named no end. */
  readonly expiresAt: EpochMs | null;
  /** Where the tokens came from an authorization server (OAuth 2.0); null where they came from the homeserver itself. */
  readonly authorizationServer: { readonly issuer: string; readonly clientId: string } | null;
}

interface Row {
  readonly homeserver: string;
  readonly user_id: string;
  readonly device_id: string;
  readonly access_token: string;
  readonly refresh_token: string | null;
  readonly expires_at: number | null;
  readonly authorization_server: string | null;
}

/** Beginning of a key in `meta`; the user ID follows. */
const PENDING_DEVICE = "pending_device ";

export class Credentials {
  private readonly database: Database;

  constructor(database: Database) {
    this.database = database;
  }

  /** @returns null where nobody has signed in */
  read(): SignedInDevice | null {
    const row = this.database.prepare<Row>("SELECT * FROM credentials").get();
    if (row === undefined) return null;
    return {
      homeserver: row.homeserver,
      userId: row.user_id as UserId,
      deviceId: row.device_id as DeviceId,
      accessToken: row.access_token,
      refreshToken: row.refresh_token,
      expiresAt: row.expires_at,
      authorizationServer:
        row.authorization_server === null
          ? null
          : (JSON.parse(row.authorization_server) as SignedInDevice["authorizationServer"]),
    };
  }

  /**
   * The device ID of a sign-in of this account that was begun, and of which nothing more is known: whoever tries again takes the same
   * one, so that none is left unused on the homeserver.
   * @param fresh makes one, where none was begun
   */
  deviceIdFor(userId: UserId, fresh: () => DeviceId): DeviceId {
    return this.database.transaction(() => {
      const key = `${PENDING_DEVICE}${userId}`;
      this.database.prepare("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING").run(key, fresh());
      return this.database.prepare<{ value: DeviceId }>("SELECT value FROM meta WHERE key = ?").get(key)
        ?.value as DeviceId;
    });
  }

  /** In place of what was there; on disk when this returns. No sign-in is pending any more. @throws StoreFailed */
  write(device: SignedInDevice): void {
    const { authorizationServer } = device;
    this.database.transaction(() => {
      this.database.prepare("DELETE FROM meta WHERE key = ?").run(`${PENDING_DEVICE}${device.userId}`);
      this.database
        .prepare(
          `INSERT OR REPLACE INTO credentials
             (id, homeserver, user_id, device_id, access_token, refresh_token, expires_at, authorization_server)
           VALUES (1, ?, ?, ?, ?, ?, ?, ?)`,
        )
        .run(
          device.homeserver,
          device.userId,
          device.deviceId,
          device.accessToken,
          device.refreshToken,
          device.expiresAt,
          authorizationServer === null ? null : JSON.stringify(authorizationServer),
        );
    });
  }

  /** @throws StoreFailed */
  clear(): void {
    this.database.transaction(() => this.database.prepare("DELETE FROM credentials").run());
  }
}
