/** Columns and indexes for delivery receipts, invitations under a policy, and rooms in which the bot is alone. */
export const receiptsAndRooms = `
-- Whether the event is from before we joined the room.
ALTER TABLE inbox ADD COLUMN before_join INTEGER NOT NULL DEFAULT 0;

-- Since when nobody else is in the room, nor invited; null where somebody is.
ALTER TABLE rooms ADD COLUMN alone_since INTEGER;
UPDATE rooms SET alone_since = unixepoch() * 1000 WHERE membership = 'join' AND NOT EXISTS (
  SELECT 1 FROM members WHERE members.room_id = rooms.room_id AND user_id <> (SELECT value FROM meta WHERE key = 'user_id'));
CREATE INDEX rooms_alone ON rooms (alone_since) WHERE alone_since IS NOT NULL;
CREATE INDEX rooms_joined ON rooms (room_id) WHERE membership = 'join';

-- The room's join rule as the invitation showed it; null where it did not.
ALTER TABLE invites ADD COLUMN join_rule TEXT;
-- 1 when a sync has shown the room that was joined, and what it shows of it was acted upon.
ALTER TABLE invites ADD COLUMN arrived INTEGER NOT NULL DEFAULT 0;
-- Rooms joined before there was a policy on public ones stay.
UPDATE invites SET arrived = 1 WHERE state <> 'pending';
-- What a pending one waits for: to be judged, or, refused, that its inviter is told (decline).
ALTER TABLE invites ADD COLUMN stage TEXT NOT NULL DEFAULT 'judge';
ALTER TABLE invites ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
CREATE INDEX invites_arriving ON invites (room_id) WHERE state = 'joined' AND arrived = 0;

-- When invitations were accepted, one row for each, for an hour.
CREATE TABLE accepted_invites (id INTEGER PRIMARY KEY, accepted_at INTEGER NOT NULL) STRICT;
CREATE INDEX accepted_invites_time ON accepted_invites (accepted_at);

CREATE INDEX gaps_open ON gaps (id) WHERE state = 'open';
`;
