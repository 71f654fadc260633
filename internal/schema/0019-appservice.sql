-- compatible with v1

-- The application services that are told of what happens. How far the journal is in
-- their transactions their cursors say.
CREATE TABLE appservices (
	service    text   NOT NULL PRIMARY KEY, -- its ID
	mark       text   NOT NULL, -- what the IDs of its transactions begin with: they are not those of another time
	last       bigint NOT NULL, -- the number of the last transaction
	pending    bytea,           -- that transaction, as it is sent; NULL: it has arrived
	gone       bigint           -- since when it is not registered any more, in milliseconds since 1970; NULL: it is
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- The rooms in the directories of third-party networks.
CREATE TABLE network_rooms (
	network    text   NOT NULL, -- as clients call it
	room       bigint NOT NULL,
	PRIMARY KEY (network, room)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX network_rooms_by_room ON network_rooms (room);
