/** Tables of the journal, the rooms and the record. */
export const journalTables = `
-- Facts about this installation: account, device, sync token.
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
`;
