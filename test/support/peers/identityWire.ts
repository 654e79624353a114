/** Orders about the peer's own identity: cross-signing, secret storage, the backup of room keys, and whom it trusts. matrix-js-sdk alone. */

/** What a device says about the identity of its account. */
export interface IdentityStatus {
  /** The public master key of the account, unpadded base64; null where it has none. */
  readonly masterKey: string | null;
  /** Whether this device is signed with the account's self-signing key. */
  readonly deviceSigned: boolean;
  /** Whether this device has all three private keys. */
  readonly hasPrivateKeys: boolean;
  /** Whether secret storage has all three, encrypted for its default key. */
  readonly inSecretStorage: boolean;
  /** The version of the backup that this device writes to; null where it writes to none. */
  readonly backupVersion: string | null;
  /** The backup that the server has, and what the device thinks of it; null where there is none. */
  readonly backup: { readonly version: string; readonly signed: boolean; readonly matchesKey: boolean } | null;
}

/** What a device thinks of a user and of one of that user's devices. */
export interface Trust {
  /** The user's public master key as this device knows it, unpadded base64; null where it knows none. */
  readonly masterKey: string | null;
  /** Verified with this account's user-signing key (or, for the own account, by this device). */
  readonly verified: boolean;
  readonly wasVerified: boolean;
  /** The user has another identity than at first sight, and nobody has agreed to that. */
  readonly changed: boolean;
  /** null where none was asked for, and where the device is not known. */
  readonly device: { readonly signedByOwner: boolean; readonly verified: boolean } | null;
}

export interface IdentityOrders {
  /**
   * Makes cross-signing keys where the account has none, secret storage with a new recovery key, and a new backup; signs the device.
   * `anew`: other cross-signing keys, even where there are some; `backup: false`: no backup. The password is for the server's
   * user-interactive authentication.
   */
  readonly setUpIdentity: {
    readonly order: { readonly password: string; readonly anew?: boolean; readonly backup?: boolean };
    readonly result: { readonly recoveryKey: string } & IdentityStatus;
  };
  readonly identity: { readonly order: Readonly<Record<string, never>>; readonly result: IdentityStatus };
  /** Opens secret storage and takes the cross-signing keys and the backup's key from it; signs the device. Refused where it has none. */
  readonly recover: { readonly order: { readonly recoveryKey: string }; readonly result: IdentityStatus };
  /** The secrets that secret storage has under their names in account data, in the clear; those that are there. */
  readonly readSecrets: {
    readonly order: { readonly recoveryKey: string };
    readonly result: Readonly<Record<string, string>>;
  };
  /** Takes the backup's key from secret storage and every room key out of the backup. */
  readonly restoreBackup: {
    readonly order: { readonly recoveryKey: string };
    readonly result: { readonly total: number; readonly imported: number };
  };
  /** The answer comes when the backup has that many room keys; null: as many as this device. The result is their number. */
  readonly waitForBackup: { readonly order: { readonly keys: number | null }; readonly result: number };
  /** All room keys in a file encrypted with a passphrase, as clients exchange it. */
  readonly exportKeys: { readonly order: { readonly passphrase: string }; readonly result: string };
  /** The result is how many room keys the file had. */
  readonly importKeys: {
    readonly order: { readonly text: string; readonly passphrase: string };
    readonly result: number;
  };
  /** On: room keys go to cross-signed devices alone, and what others send is not read (MSC4153). */
  readonly isolate: { readonly order: { readonly signedOnly: boolean }; readonly result: null };
  readonly trustOf: {
    readonly order: { readonly userId: string; readonly deviceId: string | null };
    readonly result: Trust;
  };
  /** The answer comes when that device is signed by its owner, as this one knows it. */
  readonly waitForSigned: {
    readonly order: { readonly userId: string; readonly deviceId: string };
    readonly result: null;
  };
  /** The answer comes when that user's identity is verified with this account's own. */
  readonly waitForVerified: { readonly order: { readonly userId: string }; readonly result: null };
}
