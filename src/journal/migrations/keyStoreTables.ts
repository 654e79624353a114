/** Tables of crypto/keyStore.ts: the IndexedDB databases of the crypto library, row by row. crypto/keyStoreTables.ts reads and writes them. */
export const keyStoreTables = `
-- One row. commits counts what was written, so that a write on top of a lost one is noticed.
CREATE TABLE key_store (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  library_version TEXT NOT NULL,
  commits INTEGER NOT NULL
) STRICT;
CREATE TABLE key_store_databases (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  version INTEGER NOT NULL
) STRICT;
-- Names are not unique here: two stores may swap theirs in one upgrade.
CREATE TABLE key_store_stores (
  id INTEGER PRIMARY KEY,
  database_id INTEGER NOT NULL REFERENCES key_store_databases (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  key_path TEXT NOT NULL, -- JSON: null, a string or a list of strings
  auto_increment INTEGER NOT NULL,
  generated INTEGER NOT NULL -- the last key the generator gave out
) STRICT;
CREATE INDEX key_store_stores_by_database ON key_store_stores (database_id);
CREATE TABLE key_store_indexes (
  store_id INTEGER NOT NULL REFERENCES key_store_stores (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  key_path TEXT NOT NULL, -- JSON
  only_unique INTEGER NOT NULL,
  multi_entry INTEGER NOT NULL,
  PRIMARY KEY (store_id, name)
) STRICT, WITHOUT ROWID;
-- Keys and values as crypto/keyStoreEncoding.ts writes them.
CREATE TABLE key_store_records (
  store_id INTEGER NOT NULL REFERENCES key_store_stores (id) ON DELETE CASCADE,
  key BLOB NOT NULL,
  value BLOB NOT NULL,
  PRIMARY KEY (store_id, key)
) STRICT;
`;
