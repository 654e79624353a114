/** A device that `docket login` signed in, and what the data directory is used for. */
export const signedInDevices = `
-- One row at most: the device that docket login signed in. Tokens are secrets: they stay in this table.
CREATE TABLE credentials (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  homeserver TEXT NOT NULL,
  user_id TEXT NOT NULL,
  device_id TEXT NOT NULL,
  access_token TEXT NOT NULL,
  refresh_token TEXT,
  -- Of the access token; null where the server named none.
  expires_at INTEGER,
  -- The authorization server's issuer and our client ID there (JSON); null where the homeserver itself gave the token.
  authorization_server TEXT
) STRICT;

-- Until now there were only bots.
INSERT INTO meta (key, value) SELECT 'role', 'bot' WHERE EXISTS (SELECT 1 FROM meta WHERE key = 'user_id');
`;
