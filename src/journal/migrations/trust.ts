/** What is known of senders: why they withhold keys, whom they signed, and when their identity became another one. */
export const trust = `
-- Of what is parked as withheld, and stays there when it is given up.
ALTER TABLE inbox ADD COLUMN withheld_code TEXT;
CREATE INDEX inbox_untrusted ON inbox (json_extract(raw, '$.sender')) WHERE state = 'parked' AND reason = 'untrusted';
CREATE INDEX inbox_withheld ON inbox (withheld_code) WHERE withheld_code IS NOT NULL;

ALTER TABLE entries ADD COLUMN withheld_code TEXT;

-- What was found about an entry later than the entry: another trust, or another reason why it can't be read.
CREATE TABLE findings (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  entry INTEGER NOT NULL REFERENCES entries (entry),
  found_at INTEGER NOT NULL,
  trust TEXT,
  undecryptable TEXT,
  withheld_code TEXT
) STRICT;
CREATE INDEX findings_entry ON findings (entry, id);

-- Users whose cross-signing identity became another one.
CREATE TABLE identity_changes (
  user_id TEXT PRIMARY KEY,
  changes INTEGER NOT NULL,
  last_at INTEGER NOT NULL,
  -- Whether the bot had verified the one before.
  was_verified INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`;
