/** What the bot has sent under which room key: journal/sentIndexes.ts reads and writes it. */
export const sentIndexes = `
-- A row for each outbound session. The index of the next message; every one below it may have left.
CREATE TABLE sent_indexes (
  room_id TEXT NOT NULL,
  session_id TEXT NOT NULL,
  next_index INTEGER NOT NULL,
  PRIMARY KEY (room_id, session_id)
) STRICT, WITHOUT ROWID;
`;
