-- compatible with v1

-- Numbers that were given out, by what they number.
CREATE TABLE numbers (
	name       text   NOT NULL PRIMARY KEY,
	last       bigint NOT NULL
);

CREATE TABLE rooms (
	room       bigint NOT NULL PRIMARY KEY,
	room_id    text   NOT NULL UNIQUE,
	version    text   NOT NULL,
	change     bigint NOT NULL, -- names the last append by its last event: the next one depends on it
	head       bytea  NOT NULL, -- the forward extremities
	root       bytea  NOT NULL, -- the current state
	place      bigint NOT NULL  -- the last place in the room's own order
);

CREATE TABLE events (
	event      bigint NOT NULL PRIMARY KEY, -- greater than those of its auth events
	room       bigint NOT NULL,
	event_id   text   NOT NULL UNIQUE,
	place      bigint,                      -- in the room's own order; NULL for an outlier
	before     bytea,                       -- the state before it
	auth       bytea  NOT NULL,             -- its auth events
	json       bytea  NOT NULL              -- the PDU
);
CREATE UNIQUE INDEX events_by_place ON events (room, place) WHERE place IS NOT NULL;

-- The nodes of the tries that are the states of rooms.
CREATE TABLE state_nodes (
	room       bigint NOT NULL,
	address    bytea  NOT NULL,
	node       bytea  NOT NULL,
	PRIMARY KEY (room, address)
);

-- What a user is to a room by its current state.
CREATE TABLE memberships (
	user_id    text   NOT NULL,
	room       bigint NOT NULL,
	membership text   NOT NULL,
	event      bigint NOT NULL,
	PRIMARY KEY (user_id, room)
);
CREATE INDEX memberships_by_room ON memberships (room, membership);
