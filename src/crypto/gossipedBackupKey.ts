/**
 * Takes the backup's key from another device of the account, which sends it when this one was verified (client-server API, "Secrets",
 * "Sharing"). The library takes secrets from the account's own verified devices only, and keeps them until they are deleted.
 */
import type { Logger } from "../logging.ts";
import type { CurrentBackup } from "./currentBackup.ts";
import { BACKUP_SECRET } from "./identityKeys.ts";
import type { Machine } from "./machine.ts";

export class GossipedBackupKey {
  private readonly machine: Machine;
  private readonly log: Logger;
  /** One may have come before this start. */
  private isDue = true;

  constructor(machine: Machine, log: Logger) {
    this.machine = machine;
    this.log = log;
  }

  /** @param onSecret told when one has come: `take` it */
  async listen(onSecret: () => void): Promise<void> {
    await this.machine.use("registerReceiveSecretCallback", (olm) => {
      olm.registerReceiveSecretCallback((name: string) => {
        if (name === BACKUP_SECRET) {
          this.isDue = true;
          onSecret();
        }
        return Promise.resolve();
      });
      return Promise.resolve();
    });
  }

  /**
   * Offers what has come to the backup.
   * @throws ServerRefused | ServerUnreachable | Cancelled | CryptoPanicked; what came is kept then
   */
  async take(backup: CurrentBackup, signal: AbortSignal): Promise<void> {
    if (!this.isDue) return;
    this.isDue = false;
    try {
      const secrets = await this.machine.use("getSecretsFromInbox", async (olm) => {
        const found: unknown = await olm.getSecretsFromInbox(BACKUP_SECRET);
        return found instanceof Set ? [...found].filter((secret) => typeof secret === "string") : [];
      });
      if (secrets.length === 0) return;
      let fits = false;
      for (const secret of secrets) fits ||= await backup.adopt(secret, signal);
      const what = fits ? "the backup's key" : "a key that is not that of the account's present backup";
      this.log.info({}, `another session has shared ${what}`);
      await this.machine.use("deleteSecretsFromInbox", (olm) => olm.deleteSecretsFromInbox(BACKUP_SECRET));
    } catch (error) {
      this.isDue = true;
      throw error;
    }
  }
}
