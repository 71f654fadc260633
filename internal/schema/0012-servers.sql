-- compatible with v1

-- Servers that could not be reached when last tried.
CREATE TABLE outages (
	server      text    NOT NULL PRIMARY KEY,
	failures    bigint  NOT NULL, -- how often it was tried since it was heard of
	retry       bigint  NOT NULL  -- not to be tried again before, in milliseconds since 1970, as all times
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- The keys of other servers, by what they said last of each.
CREATE TABLE server_keys (
	server      text    NOT NULL,
	key_id      text    NOT NULL,
	public      bytea   NOT NULL,
	valid_until bigint  NOT NULL, -- as the server said, cut to a week after it was fetched
	expired     bigint  NOT NULL, -- when the server ceased to use it; 0: it does
	fetched     bigint  NOT NULL,
	response    bytea   NOT NULL, -- the signed object in which the server said so
	PRIMARY KEY (server, key_id)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- The keys that this server signs or has signed with.
CREATE TABLE own_keys (
	key_id      text    NOT NULL PRIMARY KEY,
	public      bytea   NOT NULL,
	expired     bigint  NOT NULL -- when it ceased to sign with it; 0: it does
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- Events that other servers have sent and that wait for what they refer to. They
-- have passed the checks on form, signatures and hash.
CREATE TABLE staged_events (
	room_id     text    NOT NULL,
	place       bigint  NOT NULL, -- in the queue of the room
	origin      text    NOT NULL, -- the server that sent it
	pdu         bytea   NOT NULL,
	PRIMARY KEY (room_id, place)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- Since which position of the journal other servers are owed something. Which
-- events those are is found by the rooms that they are in.
CREATE TABLE owed (
	server      text    NOT NULL PRIMARY KEY,
	since       bigint  NOT NULL
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- Events that they are owed of rooms that they are not in: somebody was invited,
-- is so no longer, may come in, or may not.
CREATE TABLE owed_apart (
	server      text    NOT NULL,
	pos         bigint  NOT NULL, -- of the event in the journal
	room        bigint  NOT NULL,
	event       bigint  NOT NULL,
	PRIMARY KEY (server, pos)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
