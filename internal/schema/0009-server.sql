-- compatible with v1

-- The one server whose data this is. The name is in every event that its users
-- sent, so it stays.
CREATE TABLE server (
	one         integer NOT NULL PRIMARY KEY CHECK (one = 1), -- only: sqlite
	one         bigint  NOT NULL PRIMARY KEY CHECK (one = 1), -- only: postgres
	name        text    NOT NULL
);
