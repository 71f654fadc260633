-- compatible with v1

-- What is left of rooms of which something was purged.
CREATE TABLE room_remains (
	room       integer NOT NULL PRIMARY KEY, -- only: sqlite
	room       bigint NOT NULL PRIMARY KEY, -- only: postgres
	deleted    boolean NOT NULL, -- the room is gone: its row is left, and what local users were to it
	busy       boolean NOT NULL, -- rows are being deleted
	place      bigint NOT NULL,  -- the first in the room's own order that is left
	pos        bigint NOT NULL,  -- of the first event from there on that is in the journal
	event      bigint NOT NULL,  -- the number of the event in the first place that is left
	began      bigint NOT NULL,  -- the position of the journal from which on nobody sees what is purged
	unread     bigint NOT NULL,  -- of the event before the first that is left, as in events
	loud       bigint NOT NULL,
	threaded_unread bigint NOT NULL,
	threaded_loud   bigint NOT NULL,
	events     bigint NOT NULL,  -- how many rows of events were deleted, in all
	bytes      bigint NOT NULL   -- and how many bytes, as in rooms
);

-- Deletions of rooms and of histories: those to be done, and those that were
-- done of late.
CREATE TABLE purges (
	purge      text   NOT NULL PRIMARY KEY,
	room_id    text   NOT NULL,
	kind       bigint NOT NULL, -- of the room, or of its history
	status     text   NOT NULL,
	task       bytea  NOT NULL, -- JSON: what is to be done, and how far it has come
	created    bigint NOT NULL,
	ended      bigint NOT NULL  -- 0: not yet
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX purges_by_room ON purges (room_id);

-- Rooms that no local user may enter.
CREATE TABLE blocked_rooms (
	room_id    text   NOT NULL PRIMARY KEY,
	user_id    text   NOT NULL, -- the administrator who blocked it
	blocked    bigint NOT NULL
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- The rooms in which users get notices of the server.
CREATE TABLE notice_rooms (
	user_id    text   NOT NULL PRIMARY KEY,
	room_id    text   NOT NULL
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
