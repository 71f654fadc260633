-- compatible with v1

-- What clients were told by sliding sync, on each of their connections. A version is
-- what an answer says to come with the next time; what a client has is what all
-- have on the way from a whole one to it.
CREATE TABLE sliding (
	user_id    text   NOT NULL,
	device     text   NOT NULL,
	conn       text   NOT NULL, -- the conn_id
	version    bigint NOT NULL, -- random
	parent     bigint NOT NULL, -- the version with which the client had come; 0: none
	whole      boolean NOT NULL, -- it is not only what was told behind the parent
	told       bytea  NOT NULL,
	stored     bigint NOT NULL, -- when, in milliseconds since 1970
	PRIMARY KEY (user_id, device, conn, version)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX sliding_by_age ON sliding (stored);
