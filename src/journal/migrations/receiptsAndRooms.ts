/** Columns for delivery receipts, invitations under a policy, and rooms in which the bot is alone. */
export const receiptsAndRooms = `
-- Whether the event is from before we joined the room.
ALTER TABLE inbox ADD COLUMN before_join INTEGER NOT NULL DEFAULT 0;

-- Since when nobody else is in the room, nor invited; null where somebody is.
ALTER TABLE rooms ADD COLUMN alone_since INTEGER;
CREATE INDEX rooms_alone ON rooms (alone_since) WHERE alone_since IS NOT NULL;

-- The room's join rule as the invitation showed it; null where it did not.
ALTER TABLE invites ADD COLUMN join_rule TEXT;
ALTER TABLE invites ADD COLUMN joined_at INTEGER;
CREATE INDEX invites_joined ON invites (joined_at) WHERE joined_at IS NOT NULL;
`;
