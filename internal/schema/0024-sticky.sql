-- compatible with v1

-- Events that are to reach all clients of a room for a while, whatever these see of
-- the history, and other servers that come into it.
CREATE TABLE sticky (
	event      integer NOT NULL PRIMARY KEY, -- only: sqlite
	event      bigint NOT NULL PRIMARY KEY, -- only: postgres
	room       bigint NOT NULL,
	pos        bigint,          -- of the entry in the journal by which clients learn of it; NULL: none yet, as it was soft-failed
	own        boolean NOT NULL, -- it was sent here
	expires    bigint NOT NULL  -- milliseconds since 1970
);
CREATE INDEX sticky_by_room ON sticky (room, pos);
CREATE INDEX sticky_by_time ON sticky (expires);
