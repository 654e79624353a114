/**
 * A mark that the data directory and the homeserver both keep, and that moves: a new one at each start and whenever one-time keys were
 * uploaded. A directory that finds a mark on the homeserver which it never put there is older than whoever did. It remembers its own marks for long, so that
 * neither a kill between the two nor a request that arrives late looks like that. A mark is random and says nothing.
 */
import { randomUUID } from "node:crypto";
import { ServerRefused } from "../errors.ts";
import type { Database } from "../journal/database.ts";
import { syncPosition } from "../journal/syncPosition.ts";
import { endpointPath } from "../matrix/endpoint.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import type { DeviceId, UserId } from "../protocol/ids.ts";

/** Type of the account data, followed by the device's ID. */
const MARK_TYPE = "io.github.matrix-docket.device";
const OWN_MARKS = "copy_marks";
const MOST_MARKS = 100;

export interface CopyMarkPorts {
  readonly database: Database;
  readonly homeserver: Pick<Homeserver, "request">;
  readonly userId: UserId;
  readonly deviceId: DeviceId;
}

export class CopyMark {
  private readonly ports: CopyMarkPorts;

  constructor(ports: CopyMarkPorts) {
    this.ports = ports;
  }

  /**
   * @returns whether the mark on the homeserver is another directory's; no mark is nobody's. To a directory that has not synced yet,
   * whatever is there is of a former device of the same name
   * @throws ServerRefused | ServerUnreachable | Cancelled | StoreFailed
   */
  async isForeign(signal: AbortSignal): Promise<boolean> {
    if (syncPosition(this.ports.database) === null) return false;
    try {
      const { mark } = await this.ports.homeserver.request("GET", this.path, { signal, retry: "none" });
      return typeof mark === "string" && !this.own().includes(mark);
    } catch (error) {
      if (error instanceof ServerRefused && error.status === 404) return false;
      throw error;
    }
  }

  /** Puts a new mark in the place of the old one. @throws ServerRefused | ServerUnreachable | Cancelled | StoreFailed */
  async renew(signal: AbortSignal): Promise<void> {
    const mark = randomUUID();
    const { database, homeserver } = this.ports;
    const marks = JSON.stringify([...this.own(), mark].slice(-MOST_MARKS));
    // First here: it is ours from the moment that it may be there.
    database.transaction(() => {
      database.prepare("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)").run(OWN_MARKS, marks);
    });
    await homeserver.request("PUT", this.path, { body: { mark }, signal, retry: "none" });
  }

  private get path(): string {
    const { userId, deviceId } = this.ports;
    return endpointPath("/_matrix/client/v3/user", userId, "account_data", `${MARK_TYPE}.${deviceId}`);
  }

  private own(): readonly string[] {
    const row = this.ports.database.prepare<{ value: string }>("SELECT value FROM meta WHERE key = ?").get(OWN_MARKS);
    return row === undefined ? [] : (JSON.parse(row.value) as string[]);
  }
}
