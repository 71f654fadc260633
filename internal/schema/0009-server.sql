-- compatible with v1

-- The one server whose data this is. The name is in every event that its users
-- sent, so it stays.
CREATE TABLE server (
	one         bigint  NOT NULL PRIMARY KEY CHECK (one = 1),
	name        text    NOT NULL
);
