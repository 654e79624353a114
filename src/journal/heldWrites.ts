/** Writes of the key store that wait for the journal's transaction: a sync is committed as a whole or not at all. */
export interface HeldWrites {
  /** Writes them through the journal's connection. Call inside an open transaction, once. @throws StoreFailed */
  apply(): void;
}

/** For syncs that changed no keys, and for tests of the journal alone. */
export const noHeldWrites: HeldWrites = { apply() {} };
