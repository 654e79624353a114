/** Tables of the journal, the rooms and the record. Times are milliseconds since the Unix epoch. */
export const journalTables = `
-- Facts about this installation: account, device, sync token.
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Rooms as the last accepted sync left them. ever_encrypted and encryption only ever become stricter.
CREATE TABLE rooms (
  room_id TEXT PRIMARY KEY,
  membership TEXT NOT NULL,
  ever_encrypted INTEGER NOT NULL,
  encryption TEXT NOT NULL,
  history_visibility TEXT NOT NULL,
  join_rule TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE members (
  room_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  membership TEXT NOT NULL,
  PRIMARY KEY (room_id, user_id)
) STRICT, WITHOUT ROWID;

-- Every timeline event, once for each event ID, until it is settled and its body's time is over.
CREATE TABLE inbox (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  event_id TEXT NOT NULL UNIQUE,
  room_id TEXT NOT NULL,
  raw TEXT,
  received_at INTEGER NOT NULL,
  arrival TEXT NOT NULL CHECK (arrival IN ('live', 'gap')),
  state TEXT NOT NULL CHECK (state IN ('new', 'parked', 'ready', 'settled')),
  redacted INTEGER NOT NULL DEFAULT 0,
  expires_at INTEGER,
  -- When the handler must have finished; the largest integer where nobody waits.
  deadline INTEGER NOT NULL DEFAULT 9007199254740991,
  ordered INTEGER NOT NULL DEFAULT 0,
  lease_until INTEGER NOT NULL DEFAULT 0,
  session_id TEXT,
  parked_at INTEGER,
  decision TEXT,
  reason TEXT,
  settled_at INTEGER
) STRICT;
CREATE INDEX inbox_new ON inbox (arrival DESC, seq) WHERE state = 'new';
CREATE INDEX inbox_parked ON inbox (room_id, session_id) WHERE state = 'parked';
CREATE INDEX inbox_parked_age ON inbox (parked_at) WHERE state = 'parked';
CREATE INDEX inbox_ready ON inbox (room_id, ordered, deadline, seq) WHERE state = 'ready';
CREATE INDEX inbox_deadline ON inbox (deadline) WHERE state = 'ready';
CREATE INDEX inbox_leased ON inbox (room_id) WHERE state = 'ready' AND lease_until > 0;
CREATE INDEX inbox_ordered ON inbox (room_id, seq) WHERE state = 'ready' AND ordered = 1;
CREATE INDEX inbox_settled ON inbox (settled_at) WHERE state = 'settled';
CREATE INDEX inbox_bodies ON inbox (settled_at) WHERE state = 'settled' AND raw IS NOT NULL;

-- What a server sent as an event and what is none: kept as it came, so that nothing received is lost.
CREATE TABLE malformed_events (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  -- Null for a to-device message.
  room_id TEXT,
  digest TEXT NOT NULL UNIQUE,
  raw TEXT NOT NULL,
  problem TEXT NOT NULL,
  received_at INTEGER NOT NULL
) STRICT;

-- Which event a ciphertext came under first.
CREATE TABLE message_indexes (
  room_id TEXT NOT NULL,
  session_id TEXT NOT NULL,
  message_index INTEGER NOT NULL,
  event_id TEXT NOT NULL,
  PRIMARY KEY (room_id, session_id, message_index)
) STRICT, WITHOUT ROWID;

-- Parts of a timeline that /sync left out.
CREATE TABLE gaps (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  room_id TEXT NOT NULL,
  -- Page backwards from here ...
  prev_batch TEXT NOT NULL,
  -- ... to here; null where the room was new to us and our own join is the end.
  since TEXT,
  state TEXT NOT NULL CHECK (state IN ('open', 'filled', 'unfillable')),
  recorded_at INTEGER NOT NULL,
  UNIQUE (room_id, prev_batch)
) STRICT;

CREATE TABLE invites (
  room_id TEXT PRIMARY KEY,
  inviter TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('pending', 'joined', 'ignored', 'failed', 'withdrawn')),
  reason TEXT,
  received_at INTEGER NOT NULL,
  not_before INTEGER NOT NULL,
  attempts INTEGER NOT NULL
) STRICT;
CREATE INDEX invites_pending ON invites (not_before) WHERE state = 'pending';

-- What is to be sent; at most one row for each cause and purpose, ever.
CREATE TABLE outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  cause_event_id TEXT NOT NULL,
  purpose TEXT NOT NULL,
  lane TEXT NOT NULL CHECK (lane IN ('response', 'receipt', 'notice')),
  room_id TEXT NOT NULL,
  type TEXT NOT NULL,
  content TEXT,
  must_encrypt INTEGER NOT NULL,
  txn_id TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'dropped')),
  not_before INTEGER NOT NULL,
  lease_until INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  doubtful INTEGER NOT NULL DEFAULT 0,
  event_id TEXT,
  reason TEXT,
  queued_at INTEGER NOT NULL,
  finished_at INTEGER,
  UNIQUE (cause_event_id, purpose)
) STRICT;
CREATE INDEX outbox_pending ON outbox (lane, room_id, expires_at, id) WHERE state = 'pending';
CREATE INDEX outbox_waiting ON outbox (lane, not_before) WHERE state = 'pending' AND lease_until = 0;
CREATE INDEX outbox_finished ON outbox (finished_at) WHERE state <> 'pending';

-- The record: append-only. What is learned later about an entry stands in amendments.
CREATE TABLE entries (
  entry INTEGER PRIMARY KEY AUTOINCREMENT,
  event_id TEXT NOT NULL UNIQUE,
  room_id TEXT NOT NULL,
  sender TEXT NOT NULL,
  origin_server_ts INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  recorded_at INTEGER NOT NULL,
  arrival TEXT NOT NULL,
  original TEXT NOT NULL,
  type TEXT,
  content TEXT,
  trust TEXT,
  undecryptable TEXT,
  replay_of TEXT
) STRICT;
CREATE INDEX entries_room ON entries (room_id, entry);

CREATE TABLE amendments (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  entry INTEGER NOT NULL UNIQUE REFERENCES entries (entry),
  amended_at INTEGER NOT NULL,
  type TEXT NOT NULL,
  content TEXT NOT NULL,
  trust TEXT NOT NULL,
  replay_of TEXT
) STRICT;
`;
