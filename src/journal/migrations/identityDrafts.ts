/** An identity on its way to the homeserver, and the recovery key that nobody has been given yet. */
export const identityDrafts = `
-- One row at most: the identity that is being set up. It goes when secret storage has all of it. Secrets: they stay in this table.
CREATE TABLE identity_draft (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  -- The public master key of the identity that the account had before, which this one takes the place of; null: it had none.
  replaces TEXT,
  -- Public and private keys (seeds).
  master TEXT NOT NULL,
  master_seed TEXT NOT NULL,
  self_signing_seed TEXT NOT NULL,
  user_signing_seed TEXT NOT NULL,
  -- Of the secret storage that it goes to: the key's name in the account's data, and the key as people read it.
  key_id TEXT NOT NULL,
  recovery_key TEXT NOT NULL
) STRICT;

-- One row at most: a recovery key that stands in no file yet and was not shown. It goes when it has been handed over.
CREATE TABLE kept_recovery_key (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  key_id TEXT NOT NULL,
  recovery_key TEXT NOT NULL
) STRICT;
`;
