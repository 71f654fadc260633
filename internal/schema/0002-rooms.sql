-- compatible with v1

-- Numbers that were given out, by what they number.
CREATE TABLE numbers (
	name       text   NOT NULL PRIMARY KEY,
	last       bigint NOT NULL
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

CREATE TABLE rooms (
	room       integer NOT NULL PRIMARY KEY, -- only: sqlite
	room       bigint NOT NULL PRIMARY KEY, -- only: postgres
	room_id    text   NOT NULL UNIQUE,
	version    text   NOT NULL,
	change     bigint NOT NULL, -- names the last append by its last event: the next one depends on it
	pos        bigint NOT NULL, -- of that append in the journal
	head       bytea  NOT NULL, -- the forward extremities
	root       bytea  NOT NULL, -- the current state
	place      bigint NOT NULL, -- the last place in the room's own order
	joined     bigint NOT NULL, -- how many members are joined
	invited    bigint NOT NULL, -- how many are invited
	unread     bigint NOT NULL, -- of the last event, as in events
	loud       bigint NOT NULL,
	threaded_unread bigint NOT NULL,
	threaded_loud   bigint NOT NULL,
	bumped     bigint NOT NULL, -- when something was said in it last, in milliseconds since 1970
	sticky     bigint NOT NULL, -- until when an event in it is sticky, in milliseconds since 1970; 0: none was
	published  boolean NOT NULL, -- it is in the server's directory
	events     bigint NOT NULL, -- how many were stored, ever
	bytes      bigint NOT NULL, -- of their JSON and of the nodes of states that were stored with them
	whole      bigint NOT NULL  -- the position from which on all members are known: 0 for all the time, -1: they are not
);
-- In the order of the directory. Last is what is the same everywhere, so that
-- counting need not look into the table.
CREATE INDEX rooms_published ON rooms (joined DESC, room_id, published) WHERE published;

CREATE TABLE events (
	-- event: greater than those of its auth events
	event      integer NOT NULL PRIMARY KEY, -- only: sqlite
	event      bigint NOT NULL PRIMARY KEY, -- only: postgres
	room       bigint NOT NULL,
	event_id   text   NOT NULL,
	place      bigint,                      -- in the room's own order; NULL for one that is not shown: outlier, rejected, soft-failed
	pos        bigint,                      -- of its entry in the journal; NULL for what was no news
	status     bigint NOT NULL,             -- accepted, soft-failed or rejected
	before     bytea,                       -- the state before it; NULL for an outlier
	current    bytea,                       -- the state of the room once it was appended; NULL: that before it
	merges     boolean NOT NULL,            -- with it the state changed otherwise than it says itself
	replaces   bigint,                      -- the event that it took the place of in the state, if any
	unread     bigint NOT NULL,             -- how many events of the room up to it notify everybody
	loud       bigint NOT NULL,             -- how many of them are a highlight for everybody
	threaded_unread bigint NOT NULL,        -- the same of those that are in a thread, whichever
	threaded_loud   bigint NOT NULL,
	thread     text,                        -- the root of the thread that it is in, which the room need not have; NULL: the main timeline
	thread_unread bigint,                   -- the same of those in its own thread
	thread_loud   bigint,
	auth       bytea  NOT NULL,             -- its auth events
	follows    bytea,                       -- of a soft-failed or rejected one: the forward extremities that it came after
	json       bytea  NOT NULL,             -- the PDU
	device     text,                        -- the device of its sender that sent it, if it was sent here, and
	txn        text,                        -- the transaction ID that the device chose
	relays     boolean NOT NULL DEFAULT false, -- another server has sent it by this one, which tells the rest
	-- The first redaction of it that applied. The row keeps the content, which
	-- state and authorization go on using; who reads it gets the redacted form.
	redacted_by bigint
);
-- In old room versions servers choose the IDs of their events, and could choose
-- one for several rooms.
CREATE UNIQUE INDEX events_by_id ON events (event_id, room);
CREATE UNIQUE INDEX events_by_place ON events (room, place) WHERE place IS NOT NULL;
CREATE INDEX events_aside ON events (room, event) WHERE place IS NULL;
CREATE INDEX events_by_thread ON events (room, thread, place) WHERE thread IS NOT NULL;

-- The threads of rooms.
CREATE TABLE threads (
	room       bigint NOT NULL,
	thread     text   NOT NULL, -- its root, which the room need not have
	place      bigint NOT NULL, -- of the last event in it that notifies everybody; 0: none does
	last       bigint,          -- of the last event that says that it is in it, and is not redacted
	count      bigint NOT NULL, -- how many such there are
	-- What the last event of the thread that was purged had counted.
	gone_unread bigint NOT NULL DEFAULT 0,
	gone_loud   bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (room, thread)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX threads_by_place ON threads (room, place);
CREATE INDEX threads_by_last ON threads (room, last) WHERE last IS NOT NULL;

-- Where events are missing in a room: before the one in a place, which follows
-- events that the room does not have.
CREATE TABLE gaps (
	room       bigint NOT NULL,
	place      bigint NOT NULL, -- of the first event behind the gap
	missing    bytea  NOT NULL, -- a JSON array of the IDs of the events that it follows
	PRIMARY KEY (room, place)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- Redactions of events that the room did not have: they apply when it gets them.
CREATE TABLE early_redactions (
	room       bigint NOT NULL,
	target     text   NOT NULL, -- an event ID
	event      bigint NOT NULL, -- the redaction
	PRIMARY KEY (room, target, event)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- The nodes of the tries that are the states of rooms.
CREATE TABLE state_nodes (
	room       bigint NOT NULL,
	address    bytea  NOT NULL,
	node       bytea  NOT NULL,
	pos        bigint NOT NULL, -- the last that the journal had given out when somebody needed the node to be there
	PRIMARY KEY (room, address)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- What a user is to a room by its current state.
CREATE TABLE memberships (
	user_id    text   NOT NULL,
	room       bigint NOT NULL,
	membership text   NOT NULL,
	event      bigint NOT NULL,
	pos        bigint NOT NULL, -- of the last change, in the journal
	forgotten  boolean NOT NULL, -- the user left and wants to see no more of it
	PRIMARY KEY (user_id, room)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX memberships_by_room ON memberships (room, membership, event);

-- The servers that have, or had, members in rooms, this one included.
CREATE TABLE room_servers (
	room       bigint NOT NULL,
	server     text   NOT NULL,
	joined     bigint NOT NULL, -- how many members are joined
	pos        bigint NOT NULL, -- of the last change from or to none, in the journal
	PRIMARY KEY (room, server)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX room_servers_by_server ON room_servers (server, room);

-- What local users are to rooms that this server is not in, as long as the
-- membership has the same position.
CREATE TABLE outside (
	room       bigint NOT NULL,
	user_id    text   NOT NULL,
	membership text   NOT NULL, -- invite or knock
	server     text   NOT NULL, -- from which the invite came, to which the knock went
	event      bytea  NOT NULL, -- the member event, which is not in events
	preview    bytea  NOT NULL, -- a JSON array of stripped state
	pos        bigint NOT NULL, -- as in memberships
	PRIMARY KEY (room, user_id)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- Users of this server who joined a room that replaces another, and have not got
-- there yet what they have set for the other.
CREATE TABLE heirs (
	user_id    text   NOT NULL,
	room       bigint NOT NULL, -- the one that was joined
	PRIMARY KEY (user_id, room)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- What decides who may see which part of the history: every member event under
-- its user, and every change of the history visibility under ''.
CREATE TABLE sights (
	room       bigint NOT NULL,
	user_id    text   NOT NULL,
	place      bigint NOT NULL,
	pos        bigint NOT NULL, -- 0 for what was no news
	event      bigint NOT NULL,
	value      text   NOT NULL, -- the membership, or the visibility
	PRIMARY KEY (room, user_id, place)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- Up to where a local user has read a room by speaking in it.
CREATE TABLE spoken (
	user_id    text   NOT NULL,
	room       bigint NOT NULL,
	thread     text   NOT NULL, -- main or the root event of a thread; empty: whatever the thread
	place      bigint NOT NULL,
	unread     bigint NOT NULL, -- of the event there, as in events; of the thread, if it is one
	loud       bigint NOT NULL,
	threaded_unread bigint NOT NULL,
	threaded_loud   bigint NOT NULL,
	PRIMARY KEY (user_id, room, thread)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- Events that count otherwise for one user than for everybody: what they do beside that.
CREATE TABLE highlights (
	user_id    text   NOT NULL,
	room       bigint NOT NULL,
	thread     text   NOT NULL, -- empty: the main timeline
	place      bigint NOT NULL,
	notifies   bigint NOT NULL, -- 1 if the event notifies the user and is not in events.unread, -1 the other way round
	loud       bigint NOT NULL, -- as of events.loud
	PRIMARY KEY (user_id, room, thread, place)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- Places whose events local users do not see who were in the room when these came: by the state before them they were not.
CREATE TABLE hidden (
	room       bigint NOT NULL,
	user_id    text   NOT NULL, -- empty: whoever may not see it by this visibility
	place      bigint NOT NULL,
	visibility text   NOT NULL,
	PRIMARY KEY (room, user_id, place)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- What relates to which event. What is redacted relates to nothing.
CREATE TABLE relations (
	room       bigint NOT NULL,
	parent     text   NOT NULL, -- an event ID; the room need not have the event
	rel_type   text   NOT NULL,
	place      bigint NOT NULL, -- of the child, the event that relates to the parent
	child      bigint NOT NULL,
	type       text   NOT NULL, -- of the child
	sender     text   NOT NULL, -- of the child
	ts         bigint NOT NULL, -- when the child was sent, as its sender says
	edits      boolean NOT NULL, -- by its form the child may take the place of what its sender said
	PRIMARY KEY (room, parent, rel_type, place)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX relations_by_sender ON relations (room, sender, rel_type, parent);

-- What is told of rooms to those who look for one, by their current state.
CREATE TABLE summaries (
	room       integer NOT NULL PRIMARY KEY, -- only: sqlite
	room       bigint NOT NULL PRIMARY KEY, -- only: postgres
	summary    bytea  NOT NULL, -- a JSON object
	room_type  text   NOT NULL, -- empty: an ordinary room
	words      text   NOT NULL, -- what searches look through, as it is compared
	open       boolean NOT NULL -- everybody may join it or read in it
);

-- Users of other servers who are to be invited into a room since it was made.
CREATE TABLE owed_invites (
	room       bigint NOT NULL,
	user_id    text   NOT NULL,
	sender     text   NOT NULL,
	content    bytea  NOT NULL, -- of the member event
	since      bigint NOT NULL, -- in milliseconds since 1970
	PRIMARY KEY (room, user_id)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- Rooms that are being made in more commits than one. The last one deletes the row.
CREATE TABLE unfinished_rooms (
	room       integer NOT NULL PRIMARY KEY, -- only: sqlite
	room       bigint NOT NULL PRIMARY KEY, -- only: postgres
	begun      bigint NOT NULL,
	place      bigint NOT NULL -- of the last event so far, 0 if there is none
);

-- Rooms that were joined without all of their members, which are still to come.
CREATE TABLE partial_joins (
	room       integer NOT NULL PRIMARY KEY, -- only: sqlite
	room       bigint NOT NULL PRIMARY KEY, -- only: postgres
	event      bigint NOT NULL, -- the join
	place      bigint NOT NULL, -- where it stands
	server     text   NOT NULL  -- with whose help it was
);
