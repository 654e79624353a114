/** Tables of crypto/keyStore.ts. */
export const keyStoreTables = `SELECT 1`;
