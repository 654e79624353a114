/**
 * What must outlive a kill while the account's identity is made: its private keys and the recovery key, durable before the homeserver
 * hears of either; and the recovery key until somebody has it. Guarantees: one draft at most; what is gone from here is in secret storage
 * (a draft) or in somebody's hands (a recovery key), or another draft took its place.
 */
import type { Database } from "./database.ts";

export interface IdentityDraft {
  /** The master key of the identity that the account had when this one was made; null: it had none. */
  readonly replaces: string | null;
  /** The public master key. */
  readonly master: string;
  /** Seeds in unpadded base64. */
  readonly secrets: { readonly master: string; readonly selfSigning: string; readonly userSigning: string };
  /** Of the secret storage that it goes to. */
  readonly keyId: string;
  readonly recoveryKey: string;
}

export interface KeptRecoveryKey {
  readonly keyId: string;
  readonly recoveryKey: string;
}

interface Row {
  readonly replaces: string | null;
  readonly master: string;
  readonly master_seed: string;
  readonly self_signing_seed: string;
  readonly user_signing_seed: string;
  readonly key_id: string;
  readonly recovery_key: string;
}

export class IdentityDrafts {
  private readonly database: Database;

  constructor(database: Database) {
    this.database = database;
  }

  current(): IdentityDraft | null {
    const row = this.database.prepare<Row>("SELECT * FROM identity_draft").get();
    if (row === undefined) return null;
    const { replaces, master } = row;
    return {
      replaces,
      master,
      secrets: { master: row.master_seed, selfSigning: row.self_signing_seed, userSigning: row.user_signing_seed },
      keyId: row.key_id,
      recoveryKey: row.recovery_key,
    };
  }

  /** On disk when it returns; in place of one before. @throws StoreFailed */
  begin({ replaces, master, secrets, keyId, recoveryKey }: IdentityDraft): void {
    this.database.transaction(() =>
      this.database
        .prepare(
          `INSERT OR REPLACE INTO identity_draft
             (id, replaces, master, master_seed, self_signing_seed, user_signing_seed, key_id, recovery_key)
           VALUES (1, ?, ?, ?, ?, ?, ?, ?)`,
        )
        .run(replaces, master, secrets.master, secrets.selfSigning, secrets.userSigning, keyId, recoveryKey),
    );
  }

  /**
   * Secret storage has all of it.
   * @param isHandedOver somebody has the recovery key already: it is not kept
   * @throws StoreFailed
   */
  finish({ isHandedOver }: { isHandedOver: boolean }): void {
    this.database.transaction(() => {
      this.database.prepare("DELETE FROM kept_recovery_key").run();
      if (!isHandedOver)
        this.database
          .prepare(
            "INSERT INTO kept_recovery_key (id, key_id, recovery_key) SELECT 1, key_id, recovery_key FROM identity_draft",
          )
          .run();
      this.database.prepare("DELETE FROM identity_draft").run();
    });
  }

  /** The recovery key that nobody has yet. */
  kept(): KeptRecoveryKey | null {
    const row = this.database
      .prepare<{ key_id: string; recovery_key: string }>("SELECT key_id, recovery_key FROM kept_recovery_key")
      .get();
    return row === undefined ? null : { keyId: row.key_id, recoveryKey: row.recovery_key };
  }

  /** Somebody has it now. @throws StoreFailed */
  handedOver(): void {
    this.database.transaction(() => this.database.prepare("DELETE FROM kept_recovery_key").run());
  }
}
